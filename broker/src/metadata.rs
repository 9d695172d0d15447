//! The cluster as this broker knows it: the latest image of the metadata log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;
use vltava_metadata::Image;
use vltava_wire::BrokerEpoch;

/// The latest image; cheap to read, and to wait for a newer one.
#[derive(Debug, Clone)]
pub struct ClusterView {
    image: watch::Receiver<Arc<Image>>,
    broker_epoch: Arc<AtomicI64>,
}

impl ClusterView {
    /// A view of what `image` is given; the broker epoch is −1 until the broker is registered.
    pub fn new(image: watch::Receiver<Arc<Image>>) -> Self {
        Self { image, broker_epoch: Arc::new(AtomicI64::new(-1)) }
    }

    /// The latest image.
    pub fn image(&self) -> Arc<Image> {
        self.image.borrow().clone()
    }

    /// A receiver that is told of each newer image.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Image>> {
        self.image.clone()
    }

    /// The epoch of this broker's present registration; −1 before the first.
    pub fn broker_epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.broker_epoch.load(Ordering::Acquire))
    }

    /// Notes the epoch of a new registration.
    pub fn set_broker_epoch(&self, epoch: BrokerEpoch) {
        self.broker_epoch.store(epoch.get(), Ordering::Release);
    }
}

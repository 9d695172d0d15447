//! The cluster as this broker knows it: the latest image of the metadata log.

pub mod departed;
pub mod reached;
pub mod regex;
mod suspicion;
pub mod topic;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use parking_lot::RwLock;
use tokio::sync::watch;
use vltava_config::Values;
use vltava_metadata::configuration::dynamic_values;
use vltava_metadata::{Changes, ConfigResource, Image};
use vltava_wire::{BrokerEpoch, NodeId};

use self::departed::Departed;
use self::reached::{Reach, Reached};

/// The latest image; cheap to read, and to wait for a newer one.
#[derive(Debug, Clone)]
pub struct ClusterView {
    id: NodeId,
    image: watch::Receiver<Arc<Image>>,
    broker_epoch: Arc<AtomicI64>,
    values: Arc<RwLock<Values>>,
    departed: Arc<RwLock<Departed>>,
    reached: Arc<Reached>,
    suspicions: Arc<suspicion::Suspicions>,
}

impl ClusterView {
    /// A view of what `image` is given; the broker epoch is −1 until the broker is registered, and
    /// the configuration is that of the start until an image changes it.
    pub fn new(id: NodeId, image: watch::Receiver<Arc<Image>>, values: Values) -> Self {
        Self {
            id,
            image,
            broker_epoch: Arc::new(AtomicI64::new(-1)),
            values: Arc::new(RwLock::new(values)),
            suspicions: Arc::default(),
            departed: Arc::default(),
            reached: Arc::default(),
        }
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

    /// The broker's configuration, with what was set at run time.
    pub fn values(&self) -> Values {
        self.values.read().clone()
    }

    /// Notes who is fenced by an image that is about to become the latest. A broker stands still if
    /// it is fenced for its silence: it left no word, and did not close its connections.
    pub fn note_departed(&self, next: &Image, changes: &Changes) {
        let before = self.image();
        let stands_still = |node| {
            let leaves = before.broker(node).is_some_and(|it| it.in_controlled_shutdown);
            !leaves && self.reached.contains(node)
        };
        self.departed.write().note(&before, next, changes, stands_still, Instant::now());
    }

    /// Notes that a connection to that broker is open, for as long as what it returns is kept.
    pub fn reached(&self, broker: NodeId) -> Reach {
        Reached::open(&self.reached, broker)
    }

    /// Whether a broker was fenced a moment ago: clients are told of it for that long.
    pub fn departed_just_now(&self, node: NodeId) -> bool {
        self.departed.read().contains(node, Instant::now())
    }

    /// Takes over what an image sets for this broker or for all; true if anything changed.
    pub fn take_configuration(&self, image: &Image, changes: &Changes) -> bool {
        let (own, all) = (ConfigResource::broker(self.id), ConfigResource::all_brokers());
        if !changes.configs.contains(&own) && !changes.configs.contains(&all) {
            return false;
        }
        let mut values = self.values.write();
        let (now, notices) = dynamic_values(&values, self.id, image);
        *values = now;
        for notice in notices {
            tracing::warn!(
                key = notice.key,
                "set at run time, and cannot be used: {}",
                notice.what
            );
        }
        true
    }
}

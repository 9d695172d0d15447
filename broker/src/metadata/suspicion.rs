//! Brokers that have most likely just died, as their closed connections say.
//!
//! A client whose leader dies asks for metadata at once, and librdkafka then asks again only after
//! a second. The coordinators need half of that to elect another leader. So an answer that would
//! name a leader under suspicion waits until it is known what became of it.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use vltava_metadata::Image;
use vltava_wire::{BrokerEpoch, NodeId};

use super::ClusterView;

/// How long a suspicion lasts: a little longer than the grace that the coordinators give a broker
/// whose heartbeat connection closed (`vltava.fence.grace.ms`, 500).
const SUSPICION: Duration = Duration::from_millis(700);

/// Who is suspected, in which life, and until when.
#[derive(Debug, Default)]
pub(super) struct Suspicions(Mutex<HashMap<NodeId, (BrokerEpoch, Instant)>>);

impl ClusterView {
    /// A connection to that broker was closed by it, or is refused.
    pub fn suspect(&self, broker: NodeId) {
        if let Some(registration) = self.image().broker(broker) {
            let until = Instant::now() + SUSPICION;
            let mut suspicions = self.suspicions.0.lock();
            let suspicion = suspicions.entry(broker).or_insert((registration.epoch, until));
            // A broker that stays away is suspected once a life, not for as long as it is tried.
            if suspicion.0 != registration.epoch {
                *suspicion = (registration.epoch, until);
            }
        }
    }

    /// Until when the leaders are in doubt; `None` if none of them is.
    fn doubt(&self, image: &Image, leaders: &[NodeId]) -> Option<Instant> {
        let now = Instant::now();
        let suspicions = self.suspicions.0.lock();
        let in_doubt = leaders.iter().filter_map(|leader| {
            let (epoch, until) = suspicions.get(leader)?;
            let registration = image.broker(*leader)?;
            let is_current = registration.epoch == *epoch && !registration.fenced;
            (is_current && *until > now).then_some(*until)
        });
        in_doubt.max()
    }

    /// Whether one of these brokers is under suspicion.
    pub fn is_in_doubt(&self, leaders: &[NodeId]) -> bool {
        self.doubt(&self.image(), leaders).is_some()
    }

    /// Waits until an image says what became of these brokers, or the suspicion is over.
    pub async fn without_doubt(&self, leaders: &[NodeId]) {
        let mut images = self.subscribe();
        loop {
            let image = images.borrow_and_update().clone();
            let Some(until) = self.doubt(&image, leaders) else { return };
            // Both a newer image and the end of the suspicion are looked at above.
            let _ = tokio::time::timeout_at(until, images.changed()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;
    use vltava_config::Values;
    use vltava_metadata::{Changes, MetadataRecord};
    use vltava_wire::records::metadata::{BrokerRegistrationChangeRecord, RegisterBrokerRecord};

    use super::*;

    fn alive() -> Image {
        let mut image = Image::new("cluster".into());
        let record = RegisterBrokerRecord { broker_id: 2, broker_epoch: 7, ..Default::default() };
        let record = RegisterBrokerRecord { fenced: false, ..record };
        image.apply(&MetadataRecord::from(record), &mut Changes::default()).expect("a broker");
        image
    }

    #[tokio::test(start_paused = true)]
    async fn a_fenced_broker_ends_the_doubt_at_once() {
        let (images, image) = watch::channel(Arc::new(alive()));
        let view = ClusterView::new(NodeId(1), image, Values::default());
        assert!(!view.is_in_doubt(&[NodeId(2)]));
        view.suspect(NodeId(2));
        assert!(view.is_in_doubt(&[NodeId(2)]) && !view.is_in_doubt(&[NodeId(3)]));

        let waiting = tokio::spawn({
            let view = view.clone();
            async move { view.without_doubt(&[NodeId(2)]).await }
        });
        let mut fenced = alive();
        let change = BrokerRegistrationChangeRecord {
            broker_id: 2,
            broker_epoch: 7,
            fenced: 1,
            ..Default::default()
        };
        let record = MetadataRecord::from(change);
        fenced.apply(&record, &mut Changes::default()).expect("it is fenced");
        images.send_replace(Arc::new(fenced));
        let start = Instant::now();
        waiting.await.expect("the wait ends");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspicion_that_nothing_bears_out_ends() {
        let (_images, image) = watch::channel(Arc::new(alive()));
        let view = ClusterView::new(NodeId(1), image, Values::default());
        view.suspect(NodeId(2));
        let start = Instant::now();
        view.without_doubt(&[NodeId(2)]).await;
        assert_eq!(start.elapsed(), SUSPICION);
        view.suspect(NodeId(2));
        assert!(!view.is_in_doubt(&[NodeId(2)]), "it is suspected once a life");
    }
}

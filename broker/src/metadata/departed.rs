//! Brokers that were fenced a moment ago, which Metadata goes on listing for that moment.
//!
//! A client that learns by one answer that a partition has a new leader and that the old leader's
//! broker is gone takes that broker apart while it moves the partition: librdkafka 2.12 then loses
//! the new leader again, and asks once more a second later. With the broker still listed it moves
//! the partition at once.
//!
//! A broker that stands still, to which connections are open, is not listed: its clients have not
//! noticed anything, and others would choose it and wait for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vltava_metadata::{Changes, Image};
use vltava_wire::NodeId;

/// How long a fenced broker is listed: clients ask for metadata each second while a leader is gone,
/// so all of them have moved by then.
const LISTED_FOR: Duration = Duration::from_secs(3);

/// When brokers were fenced, as far as that is not long ago.
#[derive(Clone, Debug, Default)]
pub struct Departed(BTreeMap<NodeId, Instant>);

impl Departed {
    /// Notes who was fenced between two images, but for those that stand still.
    pub fn note(
        &mut self,
        before: &Image,
        after: &Image,
        changes: &Changes,
        stands_still: impl Fn(NodeId) -> bool,
        now: Instant,
    ) {
        self.0.retain(|node, since| {
            now.saturating_duration_since(*since) <= LISTED_FOR && !after.is_unfenced(*node)
        });
        for node in &changes.brokers {
            let is_fenced = before.is_unfenced(*node) && !after.is_unfenced(*node);
            if is_fenced && !stands_still(*node) {
                self.0.insert(*node, now);
            }
        }
    }

    /// Whether a broker was fenced a moment ago.
    pub fn contains(&self, node: NodeId, now: Instant) -> bool {
        self.0.get(&node).is_some_and(|since| now.saturating_duration_since(*since) <= LISTED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use vltava_metadata::MetadataRecord;
    use vltava_wire::records::metadata::RegisterBrokerRecord;

    use super::*;

    fn register(image: &Image, fenced: bool) -> (Image, Changes) {
        let (mut image, mut changes) = (image.clone(), Changes::default());
        let record =
            RegisterBrokerRecord { broker_id: 1, fenced, rack: None, ..Default::default() };
        image.apply(&MetadataRecord::from(record), &mut changes).expect("a broker");
        (image, changes)
    }

    #[test]
    fn a_broker_is_listed_for_a_moment_after_it_was_fenced() {
        let (start, node) = (Instant::now(), NodeId(1));
        let at = |ms| start + Duration::from_millis(ms);
        let empty = Image::new("prague".into());
        let (alive, born) = register(&empty, false);
        let mut departed = Departed::default();
        departed.note(&empty, &alive, &born, |_| false, at(0));
        assert!(!departed.contains(node, at(0)), "it lives");

        let (dead, died) = register(&alive, true);
        departed.note(&alive, &dead, &died, |_| false, at(10));
        assert!(departed.contains(node, at(3010)));
        assert!(!departed.contains(node, at(3011)));

        let (back, returned) = register(&dead, false);
        departed.note(&dead, &back, &returned, |_| false, at(20));
        assert!(!departed.contains(node, at(20)), "it lives again");

        departed.note(&alive, &dead, &died, |still| still == node, at(30));
        assert!(!departed.contains(node, at(30)), "who asks for it would wait");
    }
}

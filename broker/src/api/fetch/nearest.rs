//! Which replica a consumer had better read from: one in its own rack (KIP-392).

use std::cmp::Reverse;
use std::sync::Arc;

use vltava_metadata::Image;
use vltava_wire::{NodeId, Offset, Str};

/// The class in Kafka's configuration that has consumers read in their rack.
const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// The first version of Fetch in which a consumer names its rack, and may read from followers.
const RACK_SINCE: i16 = 11;

/// Whether a consumer that speaks this version may read from a follower.
pub fn reads_from_followers(version: i16) -> bool {
    version >= RACK_SINCE
}

/// What a leader knows of a consumer and of the brokers around.
#[derive(Clone, Debug)]
pub struct Nearest {
    image: Arc<Image>,
    listener: Arc<str>,
    leader: NodeId,
    rack: Str,
}

impl Nearest {
    /// For a consumer in that rack, which came by that listener; `None` where the leader is as good
    /// as any: no such class is configured, or the consumer names no rack, or the leader is in it.
    pub fn of(
        class: Option<&str>,
        image: Arc<Image>,
        listener: Arc<str>,
        leader: NodeId,
        rack: Str,
    ) -> Option<Self> {
        let own = image.broker(leader).and_then(|broker| broker.rack.as_ref());
        if class != Some(RACK_AWARE) || rack.is_empty() || own == Some(&rack) {
            return None;
        }
        Some(Self { image, listener, leader, rack })
    }

    /// The best of these replicas, each with the end of its log: in the consumer's rack, reachable
    /// by its listener, and as far as any.
    pub fn choose(&self, replicas: &[(NodeId, Offset)]) -> Option<NodeId> {
        let is_near = |node: NodeId| {
            let broker = self.image.broker(node);
            node != self.leader
                && self.image.is_unfenced(node)
                && broker.is_some_and(|broker| {
                    broker.rack.as_ref() == Some(&self.rack)
                        && broker.endpoint(&self.listener).is_some()
                })
        };
        let near = replicas.iter().filter(|(node, _)| is_near(*node));
        near.max_by_key(|(node, end)| (*end, Reverse(*node))).map(|(node, _)| *node)
    }
}

#[cfg(test)]
mod tests {
    use vltava_metadata::Changes;
    use vltava_wire::Uuid;
    use vltava_wire::records::metadata::{BrokerEndpoint, RegisterBrokerRecord};

    use super::*;

    const LISTENER: &str = "EXTERNAL";

    /// Brokers with their racks; the last one has no such listener, and 9 is fenced.
    fn image() -> Arc<Image> {
        let mut image = Image::new("prague".into());
        let brokers = [(1, "a"), (2, "b"), (3, "b"), (4, "c"), (9, "b"), (10, "b")];
        for (broker_id, rack) in brokers {
            let name = if broker_id == 10 { "INTERNAL" } else { LISTENER };
            let record = RegisterBrokerRecord {
                broker_id,
                incarnation_id: Uuid(broker_id as u128),
                end_points: vec![BrokerEndpoint {
                    name: name.into(),
                    host: "localhost".into(),
                    port: 9092,
                    security_protocol: 0,
                }],
                rack: Some(rack.into()),
                fenced: broker_id == 9,
                ..RegisterBrokerRecord::default()
            };
            image.apply(&record.into(), &mut Changes::default()).expect("a record that fits");
        }
        Arc::new(image)
    }

    fn nearest(class: Option<&str>, rack: &str) -> Option<Nearest> {
        Nearest::of(class, image(), LISTENER.into(), NodeId(1), rack.into())
    }

    fn chosen(rack: &str, replicas: &[(i32, i64)]) -> Option<i32> {
        let replicas: Vec<_> =
            replicas.iter().map(|(node, end)| (NodeId(*node), Offset(*end))).collect();
        nearest(Some(RACK_AWARE), rack)?.choose(&replicas).map(NodeId::get)
    }

    #[test]
    fn a_consumer_is_sent_to_the_replica_of_its_rack_that_has_most() {
        assert_eq!(chosen("b", &[(2, 5), (3, 7), (4, 9)]), Some(3));
        assert_eq!(chosen("b", &[(2, 7), (3, 7)]), Some(2));
        assert_eq!(chosen("c", &[(2, 5), (4, 9)]), Some(4));
    }

    #[test]
    fn the_leader_serves_whom_nobody_is_nearer_to() {
        assert_eq!(chosen("z", &[(2, 5)]), None);
        assert_eq!(chosen("b", &[(9, 5), (10, 5), (4, 5)]), None, "fenced, or out of reach");
        assert!(nearest(Some(RACK_AWARE), "a").is_none(), "it is in that rack itself");
        assert!(nearest(Some(RACK_AWARE), "").is_none());
        assert!(nearest(None, "b").is_none());
    }
}

//! What a client is told about a partition's leader along with an error, so that it need not ask
//! for metadata first (KIP-951).

use vltava_metadata::{Endpoint, Image};
use vltava_wire::{LeaderEpoch, NodeId, PartitionId, Str, Uuid};

/// A partition's leader and its epoch; `None` if the partition is not known or has no leader.
pub fn leader_of(image: &Image, topic: Uuid, index: i32) -> Option<(NodeId, LeaderEpoch)> {
    let registration = image.partition(topic, PartitionId(index))?;
    Some((registration.leader()?, registration.leader_epoch))
}

/// Where a broker can be reached.
#[derive(Clone, Debug)]
pub struct LeaderEndpoint {
    /// The broker.
    pub id: NodeId,
    /// Its host.
    pub host: Str,
    /// Its port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<Str>,
}

/// Where these brokers can be reached by a listener, each once.
pub fn endpoints(image: &Image, listener: &str, mut brokers: Vec<NodeId>) -> Vec<LeaderEndpoint> {
    brokers.sort_unstable();
    brokers.dedup();
    let endpoint = |id| {
        let broker = image.broker(id)?;
        let Endpoint { host, port, .. } = broker.endpoint(listener)?;
        let (host, port) = (host.clone(), i32::from(*port));
        Some(LeaderEndpoint { id, host, port, rack: broker.rack.clone() })
    };
    brokers.into_iter().filter_map(endpoint).collect()
}

//! FindCoordinator (10): which broker coordinates a group, or the transactions of an id, or keeps
//! the state of a share-partition.

use std::collections::BTreeSet;
use std::sync::Arc;

use vltava_metadata::Image;
use vltava_net::Reply;
use vltava_node::named::once;
use vltava_wire::messages::find_coordinator::Coordinator;
use vltava_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use vltava_wire::{ErrorCode, NodeId, Str};

use crate::api::context::Call;
use crate::metadata::topic;
use crate::server::Broker;
use crate::shard::partition_of;
use crate::share::coordinator::record::ShareKey;

/// The kind of coordinator that keeps what became of a share-partition's records.
const SHARE: i8 = 2;

/// What kinds of coordinators keep their state in.
fn topic_of(key_type: i8) -> Option<&'static str> {
    match key_type {
        0 => Some(topic::GROUP_OFFSETS),
        1 => Some(topic::TRANSACTION_STATE),
        SHARE => Some(topic::SHARE_GROUP_STATE),
        _ => None,
    }
}

/// Answers with the leader of the partition of the coordinator's topic that the key falls into.
/// The topic is made when the first one asks.
///
/// An answer that would name a broker whose connections have just closed waits until it is known
/// what became of it, as Metadata does: clients ask at that very moment.
pub async fn handle(broker: &Arc<Broker>, call: Call<FindCoordinatorRequest>) -> Reply {
    let response = answer(broker, &call);
    let named = named(&response);
    if !broker.cluster.is_in_doubt(&named) {
        return call.reply(&response);
    }
    let broker = Arc::clone(broker);
    let call = Arc::new(call);
    let waiting = Arc::clone(&call);
    call.reply_later(async move {
        broker.cluster.without_doubt(&named).await;
        answer(&broker, &waiting)
    })
}

/// The brokers that an answer names.
fn named(response: &FindCoordinatorResponse) -> Vec<NodeId> {
    let one = std::iter::once(response.node_id);
    let all = one.chain(response.coordinators.iter().map(|it| it.node_id));
    all.filter(|id| *id >= 0).map(NodeId).collect()
}

fn answer(broker: &Arc<Broker>, call: &Call<FindCoordinatorRequest>) -> FindCoordinatorResponse {
    let image = broker.cluster.image();
    let request = &call.request;
    let find = |key: &Str| find(broker, &image, &call.listener, request.key_type, key);
    if call.version() >= 4 {
        let keys = once(&request.coordinator_keys, |key| key.as_str());
        let coordinators = keys.map(find).collect();
        return FindCoordinatorResponse { node_id: -1, coordinators, ..Default::default() };
    }
    let found = find(&request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

fn find(
    broker: &Arc<Broker>,
    image: &Image,
    listener: &str,
    key_type: i8,
    key: &Str,
) -> Coordinator {
    let refused = |error_code, message: String| Coordinator {
        key: key.clone(),
        node_id: -1,
        host: Str::default(),
        port: -1,
        error_code,
        error_message: Some(message.into()),
    };
    let Some(name) = topic_of(key_type) else {
        let message = "there are no coordinators of that kind";
        return refused(ErrorCode::INVALID_REQUEST, message.to_owned());
    };
    if key_type == SHARE && ShareKey::parse(key).is_none() {
        let message = "Share coordinator key is invalid";
        return refused(ErrorCode::INVALID_REQUEST, message.to_owned());
    }
    let Some(topic) = image.topic(name) else {
        broker.create_topics_in_background(BTreeSet::from([Str::from_static(name)]));
        let message = format!("{name} is being created");
        return refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, message);
    };
    let partition = partition_of(key, topic.partitions.len());
    let leader = topic.partition(partition).and_then(|partition| partition.leader());
    let endpoint = leader
        .and_then(|leader| image.broker(leader))
        .filter(|leader| !leader.fenced)
        .and_then(|leader| Some((leader.id, leader.endpoint(listener)?)));
    match endpoint {
        Some((id, endpoint)) => Coordinator {
            key: key.clone(),
            node_id: id.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            error_code: ErrorCode::NONE,
            error_message: None,
        },
        None => {
            let message = format!("the key's partition of {name} has no leader");
            refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, message)
        }
    }
}

//! FindCoordinator (10): which broker coordinates a group.

use std::collections::BTreeSet;
use std::sync::Arc;

use vltava_metadata::Image;
use vltava_net::Reply;
use vltava_wire::messages::find_coordinator::Coordinator;
use vltava_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::group;
use crate::metadata::topic;
use crate::server::Broker;

/// The kind of coordinator that is asked for.
const GROUP: i8 = 0;

/// Answers with the leader of the partition of `__consumer_offsets` that the group falls into.
/// The topic is made when the first group asks.
pub async fn handle(broker: &Arc<Broker>, call: Call<FindCoordinatorRequest>) -> Reply {
    let image = broker.cluster.image();
    let request = &call.request;
    let find = |key: &Str| find(broker, &image, &call.listener, request.key_type, key);
    if call.version() >= 4 {
        let coordinators = request.coordinator_keys.iter().map(find).collect();
        return call.reply(&FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let found = find(&request.key);
    call.reply(&FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    })
}

fn find(
    broker: &Arc<Broker>,
    image: &Image,
    listener: &str,
    key_type: i8,
    key: &Str,
) -> Coordinator {
    let refused = |error_code, message: &'static str| Coordinator {
        key: key.clone(),
        node_id: -1,
        host: Str::default(),
        port: -1,
        error_code,
        error_message: Some(Str::from_static(message)),
    };
    if key_type != GROUP {
        let message = "only groups have coordinators in this version";
        return refused(ErrorCode::INVALID_REQUEST, message);
    }
    let Some(offsets) = image.topic(topic::GROUP_OFFSETS) else {
        broker
            .create_topics_in_background(BTreeSet::from([Str::from_static(topic::GROUP_OFFSETS)]));
        let message = "__consumer_offsets is being created";
        return refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, message);
    };
    let partition = group::partition_of(key, offsets.partitions.len());
    let leader = offsets.partition(partition).and_then(|partition| partition.leader());
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
            refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, "the group's partition has no leader")
        }
    }
}

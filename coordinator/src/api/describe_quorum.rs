//! DescribeQuorum (55): who votes, who leads, how far everybody is (KIP-836, KIP-853).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use vltava_net::Reply;
use vltava_quorum::{Instant, ReplicaInfo};
use vltava_wire::messages::describe_quorum::{
    Listener, Node, PartitionDataResponse, ReplicaState, TopicDataResponse,
};
use vltava_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use vltava_wire::{ErrorCode, Offset};

use super::{Call, Context};
use crate::driver::View;

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<DescribeQuorumRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let topic = vltava_quorum::rpc::METADATA_TOPIC;
    let asks_for_it = request.topics.iter().all(|asked| {
        asked.topic_name == topic && asked.partitions.iter().all(|p| p.partition_index == 0)
    });
    if !asks_for_it {
        let response = DescribeQuorumResponse {
            error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            error_message: None,
            ..DescribeQuorumResponse::default()
        };
        return call.answer::<DescribeQuorumRequest>(&response);
    }
    let not_controller = Arc::clone(&call.not_controller);
    let answer = move |partition: PartitionDataResponse, nodes| {
        if partition.error_code.is_err() {
            not_controller.store(true, Ordering::Release);
        }
        DescribeQuorumResponse {
            error_message: None,
            nodes,
            topics: vec![TopicDataResponse { topic_name: topic, partitions: vec![partition] }],
            ..DescribeQuorumResponse::default()
        }
    };
    let unknown = answer.clone();
    context.inspect::<DescribeQuorumRequest>(
        call,
        move |view| answer(describe(view), nodes(view)),
        move || unknown(not_leader(), Vec::new()),
    )
}

fn not_leader() -> PartitionDataResponse {
    PartitionDataResponse {
        error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
        error_message: None,
        ..PartitionDataResponse::default()
    }
}

fn describe(view: &View<'_>) -> PartitionDataResponse {
    let Some(info) = view.machine.describe(view.clock.now()) else { return not_leader() };
    let wall = |moment: Option<Instant>| moment.map_or(-1, |moment| view.clock.wall_of(moment));
    let state = |replica: &ReplicaInfo| ReplicaState {
        replica_id: replica.key.id.get(),
        replica_directory_id: replica.key.directory_id,
        log_end_offset: replica.log_end_offset.map_or(-1, Offset::get),
        last_fetch_timestamp: wall(replica.last_fetch),
        last_caught_up_timestamp: wall(replica.last_caught_up),
    };
    PartitionDataResponse {
        leader_id: info.leader.get(),
        leader_epoch: info.epoch.get(),
        high_watermark: info.high_watermark.map_or(-1, Offset::get),
        current_voters: info.voters.iter().map(state).collect(),
        observers: info.observers.iter().map(state).collect(),
        error_message: None,
        ..PartitionDataResponse::default()
    }
}

fn nodes(view: &View<'_>) -> Vec<Node> {
    let voters = view.machine.voters().iter();
    let node = |voter: &vltava_quorum::Voter| Node {
        node_id: voter.key.id.get(),
        listeners: voter
            .endpoints
            .iter()
            .map(|endpoint| Listener {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
            })
            .collect(),
    };
    voters.map(node).collect()
}

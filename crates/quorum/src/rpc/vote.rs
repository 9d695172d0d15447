//! Vote (52) on the wire.

use vltava_wire::messages::vote::{
    NodeEndpoint, PartitionData, PartitionDataResponse, TopicData, TopicDataResponse,
};
use vltava_wire::messages::{VoteRequest as WireRequest, VoteResponse as WireResponse};
use vltava_wire::{LeaderEpoch, NodeId, Offset, Str};

use super::{
    METADATA_TOPIC, RpcError, check_cluster, check_partition, join_error, leader_endpoint,
    leader_info, number, only, split_error,
};
use crate::message::{VoteRequest, VoteResponse};
use crate::voter_set::ReplicaKey;

/// The request as it goes out.
pub fn vote_request_to_wire(request: &VoteRequest, cluster_id: &Str) -> WireRequest {
    let partition = PartitionData {
        partition_index: 0,
        replica_epoch: request.epoch.get(),
        replica_id: request.candidate.id.get(),
        replica_directory_id: request.candidate.directory_id,
        voter_directory_id: request.voter.directory_id,
        last_offset_epoch: request.last_epoch.get(),
        last_offset: request.end_offset.get(),
        pre_vote: request.pre_vote,
    };
    let topic = TopicData { topic_name: METADATA_TOPIC, partitions: vec![partition] };
    WireRequest {
        cluster_id: Some(cluster_id.clone()),
        voter_id: request.voter.id.get(),
        topics: vec![topic],
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster, or of another partition.
pub fn vote_request_from_wire(
    request: WireRequest,
    cluster_id: &str,
) -> Result<VoteRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let topic = only(request.topics)?;
    let partition = only(topic.partitions)?;
    check_partition(&topic.topic_name, partition.partition_index)?;
    Ok(VoteRequest {
        voter: ReplicaKey::new(NodeId(request.voter_id), partition.voter_directory_id),
        candidate: ReplicaKey::new(NodeId(partition.replica_id), partition.replica_directory_id),
        epoch: LeaderEpoch(partition.replica_epoch),
        last_epoch: LeaderEpoch(partition.last_offset_epoch),
        end_offset: Offset(partition.last_offset),
        pre_vote: partition.pre_vote,
    })
}

/// The answer as it goes out.
pub fn vote_response_to_wire(response: &VoteResponse) -> WireResponse {
    let (error_code, partition_error) = split_error(response.error);
    let partition = PartitionDataResponse {
        partition_index: 0,
        error_code: partition_error,
        leader_id: number(response.leader.leader),
        leader_epoch: response.leader.epoch.get(),
        vote_granted: response.granted,
    };
    let topic = TopicDataResponse { topic_name: METADATA_TOPIC, partitions: vec![partition] };
    WireResponse {
        error_code,
        topics: if error_code.is_ok() { vec![topic] } else { Vec::new() },
        node_endpoints: leader_endpoint(&response.leader, |node_id, host, port| NodeEndpoint {
            node_id,
            host,
            port,
        }),
    }
}

/// The answer as it came in.
///
/// # Errors
/// An answer that names no partition and no error.
pub fn vote_response_from_wire(response: WireResponse) -> Result<VoteResponse, RpcError> {
    let WireResponse { error_code, topics, node_endpoints } = response;
    if error_code.is_err() {
        let leader = leader_info(-1, -1, []);
        return Ok(VoteResponse { error: error_code, leader, granted: false });
    }
    let partition = only(only(topics)?.partitions)?;
    let endpoints = node_endpoints.into_iter().map(|node| (node.node_id, node.host, node.port));
    Ok(VoteResponse {
        error: join_error(error_code, partition.error_code),
        leader: leader_info(partition.leader_id, partition.leader_epoch, endpoints),
        granted: partition.vote_granted,
    })
}

//! BeginQuorumEpoch (53) and EndQuorumEpoch (54) on the wire.

use vltava_wire::messages::{
    BeginQuorumEpochRequest as WireBegin, BeginQuorumEpochResponse as WireBegun,
    EndQuorumEpochRequest as WireEnd, EndQuorumEpochResponse as WireEnded, begin_quorum_epoch,
    end_quorum_epoch,
};
use vltava_wire::{LeaderEpoch, NodeId, Str};

use super::{
    METADATA_TOPIC, RpcError, check_cluster, check_partition, join_error, leader_endpoint,
    leader_info, number, only, split_error,
};
use crate::message::{BeginQuorumEpochRequest, EndQuorumEpochRequest, QuorumEpochResponse};
use crate::voter_set::{Endpoint, ReplicaKey};

/// The request as it goes out.
pub fn begin_request_to_wire(request: &BeginQuorumEpochRequest, cluster_id: &Str) -> WireBegin {
    let partition = begin_quorum_epoch::PartitionData {
        partition_index: 0,
        voter_directory_id: request.voter.directory_id,
        leader_id: request.leader.get(),
        leader_epoch: request.epoch.get(),
    };
    let endpoint = |endpoint: &Endpoint| begin_quorum_epoch::LeaderEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    WireBegin {
        cluster_id: Some(cluster_id.clone()),
        voter_id: request.voter.id.get(),
        topics: vec![begin_quorum_epoch::TopicData {
            topic_name: METADATA_TOPIC,
            partitions: vec![partition],
        }],
        leader_endpoints: request.endpoints.iter().map(endpoint).collect(),
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster, or of another partition.
pub fn begin_request_from_wire(
    request: WireBegin,
    cluster_id: &str,
) -> Result<BeginQuorumEpochRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let topic = only(request.topics)?;
    let partition = only(topic.partitions)?;
    check_partition(&topic.topic_name, partition.partition_index)?;
    let endpoints = request.leader_endpoints.into_iter();
    Ok(BeginQuorumEpochRequest {
        voter: ReplicaKey::new(NodeId(request.voter_id), partition.voter_directory_id),
        leader: NodeId(partition.leader_id),
        epoch: LeaderEpoch(partition.leader_epoch),
        endpoints: endpoints.map(|it| endpoint(&it.name, &it.host, it.port)).collect(),
    })
}

/// The request as it goes out.
pub fn end_request_to_wire(request: &EndQuorumEpochRequest, cluster_id: &Str) -> WireEnd {
    let candidate = |key: &ReplicaKey| end_quorum_epoch::ReplicaInfo {
        candidate_id: key.id.get(),
        candidate_directory_id: key.directory_id,
    };
    let partition = end_quorum_epoch::PartitionData {
        partition_index: 0,
        leader_id: request.leader.get(),
        leader_epoch: request.epoch.get(),
        preferred_successors: Vec::new(),
        preferred_candidates: request.preferred_candidates.iter().map(candidate).collect(),
    };
    let endpoint = |endpoint: &Endpoint| end_quorum_epoch::LeaderEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    WireEnd {
        cluster_id: Some(cluster_id.clone()),
        topics: vec![end_quorum_epoch::TopicData {
            topic_name: METADATA_TOPIC,
            partitions: vec![partition],
        }],
        leader_endpoints: request.endpoints.iter().map(endpoint).collect(),
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster, or of another partition.
pub fn end_request_from_wire(
    request: WireEnd,
    cluster_id: &str,
) -> Result<EndQuorumEpochRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let topic = only(request.topics)?;
    let partition = only(topic.partitions)?;
    check_partition(&topic.topic_name, partition.partition_index)?;
    let candidates = partition.preferred_candidates.into_iter();
    let endpoints = request.leader_endpoints.into_iter();
    Ok(EndQuorumEpochRequest {
        leader: NodeId(partition.leader_id),
        epoch: LeaderEpoch(partition.leader_epoch),
        preferred_candidates: candidates
            .map(|it| ReplicaKey::new(NodeId(it.candidate_id), it.candidate_directory_id))
            .collect(),
        endpoints: endpoints.map(|it| endpoint(&it.name, &it.host, it.port)).collect(),
    })
}

fn endpoint(name: &Str, host: &Str, port: u16) -> Endpoint {
    Endpoint { name: name.detach(), host: host.detach(), port }
}

/// The two answers differ in nothing but their names.
macro_rules! answers {
    ($module:ident, $wire:ident, $to:ident, $from:ident) => {
        /// The answer as it goes out.
        pub fn $to(response: &QuorumEpochResponse) -> $wire {
            let (error_code, partition_error) = split_error(response.error);
            let partition = $module::PartitionDataResponse {
                partition_index: 0,
                error_code: partition_error,
                leader_id: number(response.leader.leader),
                leader_epoch: response.leader.epoch.get(),
            };
            let topic = $module::TopicDataResponse {
                topic_name: METADATA_TOPIC,
                partitions: vec![partition],
            };
            $wire {
                error_code,
                topics: if error_code.is_ok() { vec![topic] } else { Vec::new() },
                node_endpoints: leader_endpoint(&response.leader, |node_id, host, port| {
                    $module::NodeEndpoint { node_id, host, port }
                }),
            }
        }

        /// The answer as it came in.
        ///
        /// # Errors
        /// An answer that names no partition and no error.
        pub fn $from(response: $wire) -> Result<QuorumEpochResponse, RpcError> {
            let $wire { error_code, topics, node_endpoints } = response;
            if error_code.is_err() {
                let leader = leader_info(-1, -1, []);
                return Ok(QuorumEpochResponse { error: error_code, leader });
            }
            let partition = only(only(topics)?.partitions)?;
            let nodes = node_endpoints.into_iter();
            let endpoints = nodes.map(|node| (node.node_id, node.host, node.port));
            Ok(QuorumEpochResponse {
                error: join_error(error_code, partition.error_code),
                leader: leader_info(partition.leader_id, partition.leader_epoch, endpoints),
            })
        }
    };
}

answers!(begin_quorum_epoch, WireBegun, begin_response_to_wire, begin_response_from_wire);
answers!(end_quorum_epoch, WireEnded, end_response_to_wire, end_response_from_wire);

//! FetchSnapshot (59) on the wire.

use vltava_wire::messages::fetch_snapshot::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionSnapshot, PartitionSnapshotResponse,
    SnapshotId as WireId, SnapshotIdResponse, TopicSnapshot, TopicSnapshotResponse,
};
use vltava_wire::messages::{
    FetchSnapshotRequest as WireRequest, FetchSnapshotResponse as WireResponse,
};
use vltava_wire::{LeaderEpoch, NodeId, Offset, Str};

use super::{
    METADATA_TOPIC, RpcError, check_cluster, check_partition, join_error, leader_endpoint,
    leader_info, number, only, split_error,
};
use crate::message::{FetchSnapshotRequest, FetchSnapshotResponse, SnapshotId};
use crate::voter_set::ReplicaKey;

/// The request as it goes out.
pub fn snapshot_request_to_wire(request: &FetchSnapshotRequest, cluster_id: &Str) -> WireRequest {
    let partition = PartitionSnapshot {
        partition: 0,
        current_leader_epoch: request.epoch.get(),
        snapshot_id: WireId {
            end_offset: request.snapshot_id.end_offset.get(),
            epoch: request.snapshot_id.epoch.get(),
        },
        position: i64::try_from(request.position).unwrap_or(i64::MAX),
        replica_directory_id: request.replica.directory_id,
    };
    WireRequest {
        cluster_id: Some(cluster_id.clone()),
        replica_id: request.replica.id.get(),
        max_bytes: i32::try_from(request.max_bytes).unwrap_or(i32::MAX),
        topics: vec![TopicSnapshot { name: METADATA_TOPIC, partitions: vec![partition] }],
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster, or of another partition.
pub fn snapshot_request_from_wire(
    request: WireRequest,
    cluster_id: &str,
) -> Result<FetchSnapshotRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let topic = only(request.topics)?;
    let partition = only(topic.partitions)?;
    check_partition(&topic.name, partition.partition)?;
    Ok(FetchSnapshotRequest {
        replica: ReplicaKey::new(NodeId(request.replica_id), partition.replica_directory_id),
        epoch: LeaderEpoch(partition.current_leader_epoch),
        snapshot_id: SnapshotId {
            end_offset: Offset(partition.snapshot_id.end_offset),
            epoch: LeaderEpoch(partition.snapshot_id.epoch),
        },
        // A negative position is past every end, and so is refused as out of range.
        position: u64::try_from(partition.position).unwrap_or(u64::MAX),
        max_bytes: u32::try_from(request.max_bytes).unwrap_or(0),
    })
}

/// The answer as it goes out.
pub fn snapshot_response_to_wire(response: &FetchSnapshotResponse) -> WireResponse {
    let (error_code, partition_error) = split_error(response.error);
    let partition = PartitionSnapshotResponse {
        index: 0,
        error_code: partition_error,
        snapshot_id: SnapshotIdResponse {
            end_offset: response.snapshot_id.end_offset.get(),
            epoch: response.snapshot_id.epoch.get(),
        },
        current_leader: LeaderIdAndEpoch {
            leader_id: number(response.leader.leader),
            leader_epoch: response.leader.epoch.get(),
        },
        size: i64::try_from(response.size).unwrap_or(i64::MAX),
        position: i64::try_from(response.position).unwrap_or(i64::MAX),
        unaligned_records: response.bytes.clone(),
    };
    let topic = TopicSnapshotResponse { name: METADATA_TOPIC, partitions: vec![partition] };
    WireResponse {
        throttle_time_ms: 0,
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
pub fn snapshot_response_from_wire(
    response: WireResponse,
) -> Result<FetchSnapshotResponse, RpcError> {
    if response.error_code.is_err() {
        return Ok(FetchSnapshotResponse { error: response.error_code, ..Default::default() });
    }
    let partition = only(only(response.topics)?.partitions)?;
    let nodes = response.node_endpoints.into_iter();
    let endpoints = nodes.map(|node| (node.node_id, node.host, node.port));
    let leader = partition.current_leader;
    Ok(FetchSnapshotResponse {
        error: join_error(response.error_code, partition.error_code),
        leader: leader_info(leader.leader_id, leader.leader_epoch, endpoints),
        snapshot_id: SnapshotId {
            end_offset: Offset(partition.snapshot_id.end_offset),
            epoch: LeaderEpoch(partition.snapshot_id.epoch),
        },
        size: u64::try_from(partition.size).unwrap_or(0),
        position: u64::try_from(partition.position).unwrap_or(0),
        bytes: partition.unaligned_records,
    })
}

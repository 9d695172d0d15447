//! Fetch (1) of the metadata log on the wire, version 17 and later.

use vltava_wire::messages::fetch::{
    EpochEndOffset as WireEpochEnd, FetchPartition, FetchTopic, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData, ReplicaState, SnapshotId as WireSnapshotId,
};
use vltava_wire::messages::{FetchRequest as WireRequest, FetchResponse as WireResponse};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset, Str, Uuid};

use super::{
    METADATA_TOPIC, RpcError, check_cluster, check_partition, join_error, leader_endpoint,
    leader_info, number, only, records_from_bytes, split_error,
};
use crate::message::{EpochEndOffset, FetchRequest, FetchResponse, SnapshotId};
use crate::voter_set::ReplicaKey;

/// Whether a fetch is one of the metadata log.
pub fn is_metadata_fetch(request: &WireRequest) -> bool {
    let is_metadata = |topic: &FetchTopic| {
        topic.topic_id == Uuid::METADATA_TOPIC || topic.topic == METADATA_TOPIC
    };
    request.topics.iter().any(is_metadata)
}

/// The request as it goes out.
pub fn fetch_request_to_wire(request: &FetchRequest, cluster_id: &Str) -> WireRequest {
    let partition = FetchPartition {
        partition: 0,
        current_leader_epoch: request.epoch.get(),
        fetch_offset: request.fetch_offset.get(),
        last_fetched_epoch: request.last_fetched_epoch.get(),
        log_start_offset: -1,
        partition_max_bytes: i32::try_from(request.max_bytes).unwrap_or(i32::MAX),
        replica_directory_id: request.replica.directory_id,
        high_watermark: request.high_watermark.map_or(i64::MAX, Offset::get),
    };
    let topic = FetchTopic {
        topic: METADATA_TOPIC,
        topic_id: Uuid::METADATA_TOPIC,
        partitions: vec![partition],
    };
    WireRequest {
        cluster_id: Some(cluster_id.clone()),
        replica_id: request.replica.id.get(),
        replica_state: ReplicaState { replica_id: request.replica.id.get(), replica_epoch: -1 },
        max_wait_ms: i32::try_from(request.max_wait_ms).unwrap_or(i32::MAX),
        min_bytes: 1,
        max_bytes: i32::try_from(request.max_bytes).unwrap_or(i32::MAX),
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster, or of another partition.
pub fn fetch_request_from_wire(
    request: WireRequest,
    cluster_id: &str,
) -> Result<FetchRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let topic = only(request.topics)?;
    let partition = only(topic.partitions)?;
    if topic.topic_id != Uuid::METADATA_TOPIC {
        check_partition(&topic.topic, partition.partition)?;
    }
    let id = match request.replica_state.replica_id {
        -1 => request.replica_id,
        id => id,
    };
    Ok(FetchRequest {
        replica: ReplicaKey::new(NodeId(id), partition.replica_directory_id),
        epoch: LeaderEpoch(partition.current_leader_epoch),
        fetch_offset: Offset(partition.fetch_offset),
        last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
        max_wait_ms: u32::try_from(request.max_wait_ms).unwrap_or(0),
        max_bytes: u32::try_from(partition.partition_max_bytes.min(request.max_bytes)).unwrap_or(0),
        high_watermark: match partition.high_watermark {
            i64::MAX => None,
            known => Some(Offset(known)),
        },
    })
}

/// The answer as it goes out.
pub fn fetch_response_to_wire(response: &FetchResponse) -> WireResponse {
    let (error_code, partition_error) = split_error(response.error);
    let high_watermark = response.high_watermark.map_or(-1, Offset::get);
    let partition = PartitionData {
        partition_index: 0,
        error_code: partition_error,
        high_watermark,
        last_stable_offset: high_watermark,
        log_start_offset: response.log_start_offset.get(),
        diverging_epoch: response.diverging_epoch.map_or_else(Default::default, |end| {
            WireEpochEnd { epoch: end.epoch.get(), end_offset: end.end_offset.get() }
        }),
        current_leader: LeaderIdAndEpoch {
            leader_id: number(response.leader.leader),
            leader_epoch: response.leader.epoch.get(),
        },
        snapshot_id: response.snapshot_id.map_or_else(Default::default, |id| WireSnapshotId {
            end_offset: id.end_offset.get(),
            epoch: id.epoch.get(),
        }),
        aborted_transactions: None,
        preferred_read_replica: -1,
        records: Some(response.records.bytes.clone().into()),
    };
    let topic = FetchableTopicResponse {
        topic: METADATA_TOPIC,
        topic_id: Uuid::METADATA_TOPIC,
        partitions: vec![partition],
    };
    WireResponse {
        error_code,
        responses: if error_code.is_ok() { vec![topic] } else { Vec::new() },
        node_endpoints: leader_endpoint(&response.leader, |node_id, host, port| NodeEndpoint {
            node_id,
            host,
            port: i32::from(port),
            rack: None,
        }),
        ..Default::default()
    }
}

/// The answer as it came in, its batches checked.
///
/// # Errors
/// An answer that names no partition and no error; batches that are damaged.
pub fn fetch_response_from_wire(response: WireResponse) -> Result<FetchResponse, RpcError> {
    if response.error_code.is_err() {
        return Ok(FetchResponse { error: response.error_code, ..Default::default() });
    }
    let partition = only(only(response.responses)?.partitions)?;
    let nodes = response.node_endpoints.into_iter();
    let endpoints = nodes.filter_map(|it| Some((it.node_id, it.host, it.port.try_into().ok()?)));
    let WireEpochEnd { epoch, end_offset } = partition.diverging_epoch;
    let snapshot = partition.snapshot_id;
    let leader = partition.current_leader;
    let records =
        records_from_bytes(partition.records.unwrap_or_default().into_bytes()).map_err(|_| {
            RpcError { code: ErrorCode::CORRUPT_MESSAGE, what: "the batches are damaged" }
        })?;
    Ok(FetchResponse {
        error: join_error(response.error_code, partition.error_code),
        leader: leader_info(leader.leader_id, leader.leader_epoch, endpoints),
        high_watermark: (partition.high_watermark >= 0).then_some(Offset(partition.high_watermark)),
        log_start_offset: Offset(partition.log_start_offset),
        diverging_epoch: (end_offset >= 0).then_some(EpochEndOffset {
            epoch: LeaderEpoch(epoch),
            end_offset: Offset(end_offset),
        }),
        snapshot_id: (snapshot.end_offset >= 0).then_some(SnapshotId {
            end_offset: Offset(snapshot.end_offset),
            epoch: LeaderEpoch(snapshot.epoch),
        }),
        records,
    })
}

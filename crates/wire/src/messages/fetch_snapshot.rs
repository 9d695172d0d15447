//! FetchSnapshot (key 59): reads a part of a snapshot of the metadata log.
//!
//! Source: KIP-630.

use bytes::Bytes;

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Reads a part of a snapshot of the metadata log.
    FetchSnapshotRequest "0-1", flexible "0+" {
        cluster_id: Option<Str>, "0+", nullable "0+", tagged 0 "0+";
        replica_id: i32, "0+", default -1;
        max_bytes: i32, "0+", default i32::MAX;
        topics: Vec<TopicSnapshot>, "0+";
    }

    /// Part of [`FetchSnapshotRequest`].
    TopicSnapshot {
        name: Str, "0+";
        partitions: Vec<PartitionSnapshot>, "0+";
    }

    /// Part of [`FetchSnapshotRequest`].
    PartitionSnapshot {
        partition: i32, "0+";
        current_leader_epoch: i32, "0+";
        snapshot_id: SnapshotId, "0+";
        position: i64, "0+";
        replica_directory_id: Uuid, "1+", tagged 0 "1+";
    }

    /// Part of [`FetchSnapshotRequest`].
    SnapshotId {
        end_offset: i64, "0+";
        epoch: i32, "0+";
    }
}

message! {
    /// Answers a [`FetchSnapshotRequest`].
    FetchSnapshotResponse "0-1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        topics: Vec<TopicSnapshotResponse>, "0+";
        node_endpoints: Vec<NodeEndpoint>, "1+", tagged 0 "1+";
    }

    /// Part of [`FetchSnapshotResponse`].
    TopicSnapshotResponse {
        name: Str, "0+";
        partitions: Vec<PartitionSnapshotResponse>, "0+";
    }

    /// Part of [`FetchSnapshotResponse`].
    PartitionSnapshotResponse {
        index: i32, "0+";
        error_code: ErrorCode, "0+";
        snapshot_id: SnapshotIdResponse, "0+";
        current_leader: LeaderIdAndEpoch, "0+", tagged 0 "0+";
        size: i64, "0+";
        position: i64, "0+";
        unaligned_records: Bytes, "0+";
    }

    /// Part of [`FetchSnapshotResponse`].
    SnapshotIdResponse {
        end_offset: i64, "0+";
        epoch: i32, "0+";
    }

    /// Part of [`FetchSnapshotResponse`].
    LeaderIdAndEpoch {
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
    }

    /// Part of [`FetchSnapshotResponse`].
    NodeEndpoint {
        node_id: i32, "1+";
        host: Str, "1+";
        port: u16, "1+";
    }
}

request!(FetchSnapshotRequest, FetchSnapshot, FetchSnapshotResponse);

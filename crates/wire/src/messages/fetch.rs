//! Fetch (key 1): reads record batches; also how followers and the quorum replicate.
//!
//! Source: KIP-227, KIP-320, KIP-595.

use crate::message::request;
use crate::{ErrorCode, RecordBytes, Str, Uuid, message};

message! {
    /// Reads record batches from partitions.
    FetchRequest "4-18", flexible "12+" {
        cluster_id: Option<Str>, "12+", nullable "12+", tagged 0 "12+";
        replica_id: i32, "0-14", default -1;
        replica_state: ReplicaState, "15+", tagged 1 "15+";
        max_wait_ms: i32, "0+";
        min_bytes: i32, "0+";
        max_bytes: i32, "3+", default i32::MAX;
        isolation_level: i8, "4+";
        session_id: i32, "7+";
        session_epoch: i32, "7+", default -1;
        topics: Vec<FetchTopic>, "0+";
        forgotten_topics_data: Vec<ForgottenTopic>, "7+";
        rack_id: Str, "11+";
    }

    /// Part of [`FetchRequest`].
    ReplicaState {
        replica_id: i32, "15+", default -1;
        replica_epoch: i64, "15+", default -1;
    }

    /// Part of [`FetchRequest`].
    FetchTopic {
        topic: Str, "0-12";
        topic_id: Uuid, "13+";
        partitions: Vec<FetchPartition>, "0+";
    }

    /// Part of [`FetchRequest`].
    FetchPartition {
        partition: i32, "0+";
        current_leader_epoch: i32, "9+", default -1;
        fetch_offset: i64, "0+";
        last_fetched_epoch: i32, "12+", default -1;
        log_start_offset: i64, "5+", default -1;
        partition_max_bytes: i32, "0+";
        replica_directory_id: Uuid, "17+", tagged 0 "17+";
        high_watermark: i64, "18+", tagged 1 "18+", default i64::MAX;
    }

    /// Part of [`FetchRequest`].
    ForgottenTopic {
        topic: Str, "7-12";
        topic_id: Uuid, "13+";
        partitions: Vec<i32>, "7+";
    }
}

message! {
    /// Answers a [`FetchRequest`].
    FetchResponse "4-18", flexible "12+" {
        throttle_time_ms: i32, "1+";
        error_code: ErrorCode, "7+";
        session_id: i32, "7+";
        responses: Vec<FetchableTopicResponse>, "0+";
        node_endpoints: Vec<NodeEndpoint>, "16+", tagged 0 "16+";
    }

    /// Part of [`FetchResponse`].
    FetchableTopicResponse {
        topic: Str, "0-12";
        topic_id: Uuid, "13+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`FetchResponse`].
    PartitionData {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        high_watermark: i64, "0+";
        last_stable_offset: i64, "4+", default -1;
        log_start_offset: i64, "5+", default -1;
        diverging_epoch: EpochEndOffset, "12+", tagged 0 "12+";
        current_leader: LeaderIdAndEpoch, "12+", tagged 1 "12+";
        snapshot_id: SnapshotId, "12+", tagged 2 "12+";
        aborted_transactions: Option<Vec<AbortedTransaction>>, "4+", nullable "4+",
            default Some(Default::default());
        preferred_read_replica: i32, "11+", default -1;
        records: Option<RecordBytes>, "0+", nullable "0+", default Some(Default::default());
    }

    /// Part of [`FetchResponse`].
    EpochEndOffset {
        epoch: i32, "12+", default -1;
        end_offset: i64, "12+", default -1;
    }

    /// Part of [`FetchResponse`].
    LeaderIdAndEpoch {
        leader_id: i32, "12+", default -1;
        leader_epoch: i32, "12+", default -1;
    }

    /// Part of [`FetchResponse`].
    SnapshotId {
        end_offset: i64, "0+", default -1;
        epoch: i32, "0+", default -1;
    }

    /// Part of [`FetchResponse`].
    AbortedTransaction {
        producer_id: i64, "4+";
        first_offset: i64, "4+";
    }

    /// Part of [`FetchResponse`].
    NodeEndpoint {
        node_id: i32, "16+";
        host: Str, "16+";
        port: i32, "16+";
        rack: Option<Str>, "16+", nullable "16+";
    }
}

request!(FetchRequest, Fetch, FetchResponse);

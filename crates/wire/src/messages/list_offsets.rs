//! ListOffsets (key 2): looks offsets up by timestamp.
//!
//! Source: KIP-79, KIP-734.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Looks offsets up by timestamp.
    ListOffsetsRequest "1-11", flexible "6+" {
        replica_id: i32, "0+";
        isolation_level: i8, "2+";
        topics: Vec<ListOffsetsTopic>, "0+";
        timeout_ms: i32, "10+";
    }

    /// Part of [`ListOffsetsRequest`].
    ListOffsetsTopic {
        name: Str, "0+";
        partitions: Vec<ListOffsetsPartition>, "0+";
    }

    /// Part of [`ListOffsetsRequest`].
    ListOffsetsPartition {
        partition_index: i32, "0+";
        current_leader_epoch: i32, "4+", default -1;
        timestamp: i64, "0+";
    }
}

message! {
    /// Answers a [`ListOffsetsRequest`].
    ListOffsetsResponse "1-11", flexible "6+" {
        throttle_time_ms: i32, "2+";
        topics: Vec<ListOffsetsTopicResponse>, "0+";
    }

    /// Part of [`ListOffsetsResponse`].
    ListOffsetsTopicResponse {
        name: Str, "0+";
        partitions: Vec<ListOffsetsPartitionResponse>, "0+";
    }

    /// Part of [`ListOffsetsResponse`].
    ListOffsetsPartitionResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        timestamp: i64, "1+", default -1;
        offset: i64, "1+", default -1;
        leader_epoch: i32, "4+", default -1;
    }
}

request!(ListOffsetsRequest, ListOffsets, ListOffsetsResponse);

//! AlterShareGroupOffsets (key 91): sets where a share group starts.
//!
//! Source: KIP-932.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Sets where a share group starts.
    AlterShareGroupOffsetsRequest "0", flexible "0+" {
        group_id: Str, "0+";
        topics: Vec<AlterShareGroupOffsetsRequestTopic>, "0+";
    }

    /// Part of [`AlterShareGroupOffsetsRequest`].
    AlterShareGroupOffsetsRequestTopic {
        topic_name: Str, "0+";
        partitions: Vec<AlterShareGroupOffsetsRequestPartition>, "0+";
    }

    /// Part of [`AlterShareGroupOffsetsRequest`].
    AlterShareGroupOffsetsRequestPartition {
        partition_index: i32, "0+";
        start_offset: i64, "0+";
    }
}

message! {
    /// Answers a [`AlterShareGroupOffsetsRequest`].
    AlterShareGroupOffsetsResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        responses: Vec<AlterShareGroupOffsetsResponseTopic>, "0+";
    }

    /// Part of [`AlterShareGroupOffsetsResponse`].
    AlterShareGroupOffsetsResponseTopic {
        topic_name: Str, "0+";
        topic_id: Uuid, "0+";
        partitions: Vec<AlterShareGroupOffsetsResponsePartition>, "0+";
    }

    /// Part of [`AlterShareGroupOffsetsResponse`].
    AlterShareGroupOffsetsResponsePartition {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}

request!(AlterShareGroupOffsetsRequest, AlterShareGroupOffsets, AlterShareGroupOffsetsResponse);

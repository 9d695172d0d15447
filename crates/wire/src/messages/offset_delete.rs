//! OffsetDelete (key 47): deletes committed offsets of a group.
//!
//! Source: KIP-496.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Deletes committed offsets of a group.
    OffsetDeleteRequest "0", flexible "none" {
        group_id: Str, "0+";
        topics: Vec<OffsetDeleteRequestTopic>, "0+";
    }

    /// Part of [`OffsetDeleteRequest`].
    OffsetDeleteRequestTopic {
        name: Str, "0+";
        partitions: Vec<OffsetDeleteRequestPartition>, "0+";
    }

    /// Part of [`OffsetDeleteRequest`].
    OffsetDeleteRequestPartition {
        partition_index: i32, "0+";
    }
}

message! {
    /// Answers a [`OffsetDeleteRequest`].
    OffsetDeleteResponse "0", flexible "none" {
        error_code: ErrorCode, "0+";
        throttle_time_ms: i32, "0+";
        topics: Vec<OffsetDeleteResponseTopic>, "0+";
    }

    /// Part of [`OffsetDeleteResponse`].
    OffsetDeleteResponseTopic {
        name: Str, "0+";
        partitions: Vec<OffsetDeleteResponsePartition>, "0+";
    }

    /// Part of [`OffsetDeleteResponse`].
    OffsetDeleteResponsePartition {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(OffsetDeleteRequest, OffsetDelete, OffsetDeleteResponse);

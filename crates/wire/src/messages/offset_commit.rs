//! OffsetCommit (key 8): stores the offsets that a group has processed.
//!
//! Source: KIP-211, KIP-848.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Stores the offsets that a group has processed.
    OffsetCommitRequest "2-10", flexible "8+" {
        group_id: Str, "0+";
        generation_id_or_member_epoch: i32, "1+", default -1;
        member_id: Str, "1+";
        group_instance_id: Option<Str>, "7+", nullable "7+";
        retention_time_ms: i64, "2-4", default -1;
        topics: Vec<OffsetCommitRequestTopic>, "0+";
    }

    /// Part of [`OffsetCommitRequest`].
    OffsetCommitRequestTopic {
        name: Str, "0-9";
        topic_id: Uuid, "10+";
        partitions: Vec<OffsetCommitRequestPartition>, "0+";
    }

    /// Part of [`OffsetCommitRequest`].
    OffsetCommitRequestPartition {
        partition_index: i32, "0+";
        committed_offset: i64, "0+";
        committed_leader_epoch: i32, "6+", default -1;
        committed_metadata: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`OffsetCommitRequest`].
    OffsetCommitResponse "2-10", flexible "8+" {
        throttle_time_ms: i32, "3+";
        topics: Vec<OffsetCommitResponseTopic>, "0+";
    }

    /// Part of [`OffsetCommitResponse`].
    OffsetCommitResponseTopic {
        name: Str, "0-9";
        topic_id: Uuid, "10+";
        partitions: Vec<OffsetCommitResponsePartition>, "0+";
    }

    /// Part of [`OffsetCommitResponse`].
    OffsetCommitResponsePartition {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(OffsetCommitRequest, OffsetCommit, OffsetCommitResponse);

//! OffsetFetch (key 9): reads the offsets that groups have committed.
//!
//! Source: KIP-709.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Reads the offsets that groups have committed.
    OffsetFetchRequest "1-10", flexible "6+" {
        group_id: Str, "0-7";
        topics: Option<Vec<OffsetFetchRequestTopic>>, "0-7", nullable "2-7",
            default Some(Default::default());
        groups: Vec<OffsetFetchRequestGroup>, "8+";
        require_stable: bool, "7+";
    }

    /// Part of [`OffsetFetchRequest`].
    OffsetFetchRequestTopic {
        name: Str, "0-7";
        partition_indexes: Vec<i32>, "0-7";
    }

    /// Part of [`OffsetFetchRequest`].
    OffsetFetchRequestGroup {
        group_id: Str, "8+";
        member_id: Option<Str>, "9+", nullable "9+";
        member_epoch: i32, "9+", default -1;
        topics: Option<Vec<OffsetFetchRequestTopics>>, "8+", nullable "8+",
            default Some(Default::default());
    }

    /// Part of [`OffsetFetchRequest`].
    OffsetFetchRequestTopics {
        name: Str, "8-9";
        topic_id: Uuid, "10+";
        partition_indexes: Vec<i32>, "8+";
    }
}

message! {
    /// Answers a [`OffsetFetchRequest`].
    OffsetFetchResponse "1-10", flexible "6+" {
        throttle_time_ms: i32, "3+";
        topics: Vec<OffsetFetchResponseTopic>, "0-7";
        error_code: ErrorCode, "2-7";
        groups: Vec<OffsetFetchResponseGroup>, "8+";
    }

    /// Part of [`OffsetFetchResponse`].
    OffsetFetchResponseTopic {
        name: Str, "0-7";
        partitions: Vec<OffsetFetchResponsePartition>, "0-7";
    }

    /// Part of [`OffsetFetchResponse`].
    OffsetFetchResponsePartition {
        partition_index: i32, "0-7";
        committed_offset: i64, "0-7";
        committed_leader_epoch: i32, "5-7", default -1;
        metadata: Option<Str>, "0-7", nullable "0-7", default Some(Default::default());
        error_code: ErrorCode, "0-7";
    }

    /// Part of [`OffsetFetchResponse`].
    OffsetFetchResponseGroup {
        group_id: Str, "8+";
        topics: Vec<OffsetFetchResponseTopics>, "8+";
        error_code: ErrorCode, "8+";
    }

    /// Part of [`OffsetFetchResponse`].
    OffsetFetchResponseTopics {
        name: Str, "8-9";
        topic_id: Uuid, "10+";
        partitions: Vec<OffsetFetchResponsePartitions>, "8+";
    }

    /// Part of [`OffsetFetchResponse`].
    OffsetFetchResponsePartitions {
        partition_index: i32, "8+";
        committed_offset: i64, "8+";
        committed_leader_epoch: i32, "8+", default -1;
        metadata: Option<Str>, "8+", nullable "8+", default Some(Default::default());
        error_code: ErrorCode, "8+";
    }
}

request!(OffsetFetchRequest, OffsetFetch, OffsetFetchResponse);

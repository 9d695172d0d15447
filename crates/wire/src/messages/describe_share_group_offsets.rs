//! DescribeShareGroupOffsets (key 90): asks how far share groups are.
//!
//! Source: KIP-932, KIP-1226.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Asks how far share groups are.
    DescribeShareGroupOffsetsRequest "0-1", flexible "0+" {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup>, "0+";
    }

    /// Part of [`DescribeShareGroupOffsetsRequest`].
    DescribeShareGroupOffsetsRequestGroup {
        group_id: Str, "0+";
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>, "0+", nullable "0+",
            default Some(Default::default());
    }

    /// Part of [`DescribeShareGroupOffsetsRequest`].
    DescribeShareGroupOffsetsRequestTopic {
        topic_name: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`DescribeShareGroupOffsetsRequest`].
    DescribeShareGroupOffsetsResponse "0-1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        groups: Vec<DescribeShareGroupOffsetsResponseGroup>, "0+";
    }

    /// Part of [`DescribeShareGroupOffsetsResponse`].
    DescribeShareGroupOffsetsResponseGroup {
        group_id: Str, "0+";
        topics: Vec<DescribeShareGroupOffsetsResponseTopic>, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }

    /// Part of [`DescribeShareGroupOffsetsResponse`].
    DescribeShareGroupOffsetsResponseTopic {
        topic_name: Str, "0+";
        topic_id: Uuid, "0+";
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition>, "0+";
    }

    /// Part of [`DescribeShareGroupOffsetsResponse`].
    DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32, "0+";
        start_offset: i64, "0+";
        leader_epoch: i32, "0+";
        lag: i64, "1+", default -1;
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}

request!(
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsets,
    DescribeShareGroupOffsetsResponse
);

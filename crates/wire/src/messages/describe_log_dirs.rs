//! DescribeLogDirs (key 35): describes the log directories of a broker.
//!
//! Source: KIP-113, KIP-827.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Describes the log directories of a broker.
    DescribeLogDirsRequest "1-4", flexible "2+" {
        topics: Option<Vec<DescribableLogDirTopic>>, "0+", nullable "0+",
            default Some(Default::default());
    }

    /// Part of [`DescribeLogDirsRequest`].
    DescribableLogDirTopic {
        topic: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`DescribeLogDirsRequest`].
    DescribeLogDirsResponse "1-4", flexible "2+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "3+";
        results: Vec<DescribeLogDirsResult>, "0+";
    }

    /// Part of [`DescribeLogDirsResponse`].
    DescribeLogDirsResult {
        error_code: ErrorCode, "0+";
        log_dir: Str, "0+";
        topics: Vec<DescribeLogDirsTopic>, "0+";
        total_bytes: i64, "4+", default -1;
        usable_bytes: i64, "4+", default -1;
    }

    /// Part of [`DescribeLogDirsResponse`].
    DescribeLogDirsTopic {
        name: Str, "0+";
        partitions: Vec<DescribeLogDirsPartition>, "0+";
    }

    /// Part of [`DescribeLogDirsResponse`].
    DescribeLogDirsPartition {
        partition_index: i32, "0+";
        partition_size: i64, "0+";
        offset_lag: i64, "0+";
        is_future_key: bool, "0+";
    }
}

request!(DescribeLogDirsRequest, DescribeLogDirs, DescribeLogDirsResponse);

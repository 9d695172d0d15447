//! DeleteRecords (key 21): moves the start of partitions forward.
//!
//! Source: KIP-107.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Moves the start of partitions forward.
    DeleteRecordsRequest "0-2", flexible "2+" {
        topics: Vec<DeleteRecordsTopic>, "0+";
        timeout_ms: i32, "0+";
    }

    /// Part of [`DeleteRecordsRequest`].
    DeleteRecordsTopic {
        name: Str, "0+";
        partitions: Vec<DeleteRecordsPartition>, "0+";
    }

    /// Part of [`DeleteRecordsRequest`].
    DeleteRecordsPartition {
        partition_index: i32, "0+";
        offset: i64, "0+";
    }
}

message! {
    /// Answers a [`DeleteRecordsRequest`].
    DeleteRecordsResponse "0-2", flexible "2+" {
        throttle_time_ms: i32, "0+";
        topics: Vec<DeleteRecordsTopicResult>, "0+";
    }

    /// Part of [`DeleteRecordsResponse`].
    DeleteRecordsTopicResult {
        name: Str, "0+";
        partitions: Vec<DeleteRecordsPartitionResult>, "0+";
    }

    /// Part of [`DeleteRecordsResponse`].
    DeleteRecordsPartitionResult {
        partition_index: i32, "0+";
        low_watermark: i64, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(DeleteRecordsRequest, DeleteRecords, DeleteRecordsResponse);

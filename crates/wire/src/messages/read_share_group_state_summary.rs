//! ReadShareGroupStateSummary (key 87): asks the share coordinator how far share-partitions are.
//!
//! Source: KIP-932, KIP-1226.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Asks the share coordinator how far share-partitions are.
    ReadShareGroupStateSummaryRequest "0-1", flexible "0+" {
        group_id: Str, "0+";
        topics: Vec<ReadStateSummaryData>, "0+";
    }

    /// Part of [`ReadShareGroupStateSummaryRequest`].
    ReadStateSummaryData {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`ReadShareGroupStateSummaryRequest`].
    PartitionData {
        partition: i32, "0+";
        leader_epoch: i32, "0+";
    }
}

message! {
    /// Answers a [`ReadShareGroupStateSummaryRequest`].
    ReadShareGroupStateSummaryResponse "0-1", flexible "0+" {
        results: Vec<ReadStateSummaryResult>, "0+";
    }

    /// Part of [`ReadShareGroupStateSummaryResponse`].
    ReadStateSummaryResult {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionResult>, "0+";
    }

    /// Part of [`ReadShareGroupStateSummaryResponse`].
    PartitionResult {
        partition: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        state_epoch: i32, "0+";
        leader_epoch: i32, "0+";
        start_offset: i64, "0+";
        delivery_complete_count: i32, "1+", default -1;
    }
}

request!(
    ReadShareGroupStateSummaryRequest,
    ReadShareGroupStateSummary,
    ReadShareGroupStateSummaryResponse
);

//! ReadShareGroupState (key 84): asks the share coordinator for the state of share-partitions.
//!
//! Source: KIP-932.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Asks the share coordinator for the state of share-partitions.
    ReadShareGroupStateRequest "0", flexible "0+" {
        group_id: Str, "0+";
        topics: Vec<ReadStateData>, "0+";
    }

    /// Part of [`ReadShareGroupStateRequest`].
    ReadStateData {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`ReadShareGroupStateRequest`].
    PartitionData {
        partition: i32, "0+";
        leader_epoch: i32, "0+";
    }
}

message! {
    /// Answers a [`ReadShareGroupStateRequest`].
    ReadShareGroupStateResponse "0", flexible "0+" {
        results: Vec<ReadStateResult>, "0+";
    }

    /// Part of [`ReadShareGroupStateResponse`].
    ReadStateResult {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionResult>, "0+";
    }

    /// Part of [`ReadShareGroupStateResponse`].
    PartitionResult {
        partition: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        state_epoch: i32, "0+";
        start_offset: i64, "0+";
        state_batches: Vec<StateBatch>, "0+";
    }

    /// Part of [`ReadShareGroupStateResponse`].
    StateBatch {
        first_offset: i64, "0+";
        last_offset: i64, "0+";
        delivery_state: i8, "0+";
        delivery_count: i16, "0+";
    }
}

request!(ReadShareGroupStateRequest, ReadShareGroupState, ReadShareGroupStateResponse);

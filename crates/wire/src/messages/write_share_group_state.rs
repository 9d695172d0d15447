//! WriteShareGroupState (key 85): has the share coordinator keep what became of records.
//!
//! Source: KIP-932, KIP-1226.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Has the share coordinator keep what became of records.
    WriteShareGroupStateRequest "0-1", flexible "0+" {
        group_id: Str, "0+";
        topics: Vec<WriteStateData>, "0+";
    }

    /// Part of [`WriteShareGroupStateRequest`].
    WriteStateData {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`WriteShareGroupStateRequest`].
    PartitionData {
        partition: i32, "0+";
        state_epoch: i32, "0+";
        leader_epoch: i32, "0+";
        start_offset: i64, "0+";
        delivery_complete_count: i32, "1+", default -1;
        state_batches: Vec<StateBatch>, "0+";
    }

    /// Part of [`WriteShareGroupStateRequest`].
    StateBatch {
        first_offset: i64, "0+";
        last_offset: i64, "0+";
        delivery_state: i8, "0+";
        delivery_count: i16, "0+";
    }
}

message! {
    /// Answers a [`WriteShareGroupStateRequest`].
    WriteShareGroupStateResponse "0-1", flexible "0+" {
        results: Vec<WriteStateResult>, "0+";
    }

    /// Part of [`WriteShareGroupStateResponse`].
    WriteStateResult {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionResult>, "0+";
    }

    /// Part of [`WriteShareGroupStateResponse`].
    PartitionResult {
        partition: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}

request!(WriteShareGroupStateRequest, WriteShareGroupState, WriteShareGroupStateResponse);

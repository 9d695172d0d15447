//! InitializeShareGroupState (key 83): tells the share coordinator of share-partitions.
//!
//! Source: KIP-932.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Tells the share coordinator of share-partitions.
    InitializeShareGroupStateRequest "0", flexible "0+" {
        group_id: Str, "0+";
        topics: Vec<InitializeStateData>, "0+";
    }

    /// Part of [`InitializeShareGroupStateRequest`].
    InitializeStateData {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`InitializeShareGroupStateRequest`].
    PartitionData {
        partition: i32, "0+";
        state_epoch: i32, "0+";
        start_offset: i64, "0+";
    }
}

message! {
    /// Answers a [`InitializeShareGroupStateRequest`].
    InitializeShareGroupStateResponse "0", flexible "0+" {
        results: Vec<InitializeStateResult>, "0+";
    }

    /// Part of [`InitializeShareGroupStateResponse`].
    InitializeStateResult {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionResult>, "0+";
    }

    /// Part of [`InitializeShareGroupStateResponse`].
    PartitionResult {
        partition: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}

request!(
    InitializeShareGroupStateRequest,
    InitializeShareGroupState,
    InitializeShareGroupStateResponse
);

//! DeleteShareGroupState (key 86): has the share coordinator forget share-partitions.
//!
//! Source: KIP-932.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Has the share coordinator forget share-partitions.
    DeleteShareGroupStateRequest "0", flexible "0+" {
        group_id: Str, "0+";
        topics: Vec<DeleteStateData>, "0+";
    }

    /// Part of [`DeleteShareGroupStateRequest`].
    DeleteStateData {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`DeleteShareGroupStateRequest`].
    PartitionData {
        partition: i32, "0+";
    }
}

message! {
    /// Answers a [`DeleteShareGroupStateRequest`].
    DeleteShareGroupStateResponse "0", flexible "0+" {
        results: Vec<DeleteStateResult>, "0+";
    }

    /// Part of [`DeleteShareGroupStateResponse`].
    DeleteStateResult {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionResult>, "0+";
    }

    /// Part of [`DeleteShareGroupStateResponse`].
    PartitionResult {
        partition: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}

request!(DeleteShareGroupStateRequest, DeleteShareGroupState, DeleteShareGroupStateResponse);

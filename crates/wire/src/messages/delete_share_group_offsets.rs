//! DeleteShareGroupOffsets (key 92): has a share group forget topics.
//!
//! Source: KIP-932.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Has a share group forget topics.
    DeleteShareGroupOffsetsRequest "0", flexible "0+" {
        group_id: Str, "0+";
        topics: Vec<DeleteShareGroupOffsetsRequestTopic>, "0+";
    }

    /// Part of [`DeleteShareGroupOffsetsRequest`].
    DeleteShareGroupOffsetsRequestTopic {
        topic_name: Str, "0+";
    }
}

message! {
    /// Answers a [`DeleteShareGroupOffsetsRequest`].
    DeleteShareGroupOffsetsResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        responses: Vec<DeleteShareGroupOffsetsResponseTopic>, "0+";
    }

    /// Part of [`DeleteShareGroupOffsetsResponse`].
    DeleteShareGroupOffsetsResponseTopic {
        topic_name: Str, "0+";
        topic_id: Uuid, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}

request!(DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsets, DeleteShareGroupOffsetsResponse);

//! DeleteTopics (key 20): deletes topics.
//!
//! Source: KIP-516.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Deletes topics.
    DeleteTopicsRequest "1-6", flexible "4+" {
        topics: Vec<DeleteTopicState>, "6+";
        topic_names: Vec<Str>, "0-5";
        timeout_ms: i32, "0+";
    }

    /// Part of [`DeleteTopicsRequest`].
    DeleteTopicState {
        name: Option<Str>, "6+", nullable "6+";
        topic_id: Uuid, "6+";
    }
}

message! {
    /// Answers a [`DeleteTopicsRequest`].
    DeleteTopicsResponse "1-6", flexible "4+" {
        throttle_time_ms: i32, "1+";
        responses: Vec<DeletableTopicResult>, "0+";
    }

    /// Part of [`DeleteTopicsResponse`].
    DeletableTopicResult {
        name: Option<Str>, "0+", nullable "6+", default Some(Default::default());
        topic_id: Uuid, "6+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "5+", nullable "5+";
    }
}

request!(DeleteTopicsRequest, DeleteTopics, DeleteTopicsResponse);

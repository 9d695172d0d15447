//! CreatePartitions (key 37): adds partitions to topics.
//!
//! Source: KIP-195.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Adds partitions to topics.
    CreatePartitionsRequest "0-3", flexible "2+" {
        topics: Vec<CreatePartitionsTopic>, "0+";
        timeout_ms: i32, "0+";
        validate_only: bool, "0+";
    }

    /// Part of [`CreatePartitionsRequest`].
    CreatePartitionsTopic {
        name: Str, "0+";
        count: i32, "0+";
        assignments: Option<Vec<CreatePartitionsAssignment>>, "0+", nullable "0+",
            default Some(Default::default());
    }

    /// Part of [`CreatePartitionsRequest`].
    CreatePartitionsAssignment {
        broker_ids: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`CreatePartitionsRequest`].
    CreatePartitionsResponse "0-3", flexible "2+" {
        throttle_time_ms: i32, "0+";
        results: Vec<CreatePartitionsTopicResult>, "0+";
    }

    /// Part of [`CreatePartitionsResponse`].
    CreatePartitionsTopicResult {
        name: Str, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}

request!(CreatePartitionsRequest, CreatePartitions, CreatePartitionsResponse);

//! ListPartitionReassignments (key 46): lists the moves that are under way.
//!
//! Source: KIP-455.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Lists the moves that are under way.
    ListPartitionReassignmentsRequest "0", flexible "0+" {
        timeout_ms: i32, "0+", default 60000;
        topics: Option<Vec<ListPartitionReassignmentsTopics>>, "0+", nullable "0+";
    }

    /// Part of [`ListPartitionReassignmentsRequest`].
    ListPartitionReassignmentsTopics {
        name: Str, "0+";
        partition_indexes: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`ListPartitionReassignmentsRequest`].
    ListPartitionReassignmentsResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        topics: Vec<OngoingTopicReassignment>, "0+";
    }

    /// Part of [`ListPartitionReassignmentsResponse`].
    OngoingTopicReassignment {
        name: Str, "0+";
        partitions: Vec<OngoingPartitionReassignment>, "0+";
    }

    /// Part of [`ListPartitionReassignmentsResponse`].
    OngoingPartitionReassignment {
        partition_index: i32, "0+";
        replicas: Vec<i32>, "0+";
        adding_replicas: Vec<i32>, "0+";
        removing_replicas: Vec<i32>, "0+";
    }
}

request!(
    ListPartitionReassignmentsRequest,
    ListPartitionReassignments,
    ListPartitionReassignmentsResponse
);

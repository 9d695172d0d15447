//! AlterPartitionReassignments (key 45): moves replicas between brokers.
//!
//! Source: KIP-455.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Moves replicas between brokers.
    AlterPartitionReassignmentsRequest "0-1", flexible "0+" {
        timeout_ms: i32, "0+", default 60000;
        allow_replication_factor_change: bool, "1+", default true;
        topics: Vec<ReassignableTopic>, "0+";
    }

    /// Part of [`AlterPartitionReassignmentsRequest`].
    ReassignableTopic {
        name: Str, "0+";
        partitions: Vec<ReassignablePartition>, "0+";
    }

    /// Part of [`AlterPartitionReassignmentsRequest`].
    ReassignablePartition {
        partition_index: i32, "0+";
        replicas: Option<Vec<i32>>, "0+", nullable "0+";
    }
}

message! {
    /// Answers a [`AlterPartitionReassignmentsRequest`].
    AlterPartitionReassignmentsResponse "0-1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        allow_replication_factor_change: bool, "1+", default true;
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        responses: Vec<ReassignableTopicResponse>, "0+";
    }

    /// Part of [`AlterPartitionReassignmentsResponse`].
    ReassignableTopicResponse {
        name: Str, "0+";
        partitions: Vec<ReassignablePartitionResponse>, "0+";
    }

    /// Part of [`AlterPartitionReassignmentsResponse`].
    ReassignablePartitionResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

request!(
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignments,
    AlterPartitionReassignmentsResponse
);

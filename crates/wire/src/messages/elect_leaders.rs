//! ElectLeaders (key 43): elects preferred or unclean leaders.
//!
//! Source: KIP-460.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Elects preferred or unclean leaders.
    ElectLeadersRequest "0-2", flexible "2+" {
        election_type: i8, "1+";
        topic_partitions: Option<Vec<TopicPartitions>>, "0+", nullable "0+",
            default Some(Default::default());
        timeout_ms: i32, "0+", default 60000;
    }

    /// Part of [`ElectLeadersRequest`].
    TopicPartitions {
        topic: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`ElectLeadersRequest`].
    ElectLeadersResponse "0-2", flexible "2+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "1+";
        replica_election_results: Vec<ReplicaElectionResult>, "0+";
    }

    /// Part of [`ElectLeadersResponse`].
    ReplicaElectionResult {
        topic: Str, "0+";
        partition_result: Vec<PartitionResult>, "0+";
    }

    /// Part of [`ElectLeadersResponse`].
    PartitionResult {
        partition_id: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

request!(ElectLeadersRequest, ElectLeaders, ElectLeadersResponse);

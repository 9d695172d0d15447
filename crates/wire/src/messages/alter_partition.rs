//! AlterPartition (key 56): asks the active coordinator to change an ISR.
//!
//! Source: KIP-497, KIP-903.

use crate::message::request;
use crate::{ErrorCode, Uuid, message};

message! {
    /// Asks the active coordinator to change an ISR.
    AlterPartitionRequest "2-3", flexible "0+" {
        broker_id: i32, "0+";
        broker_epoch: i64, "0+", default -1;
        topics: Vec<TopicData>, "0+";
    }

    /// Part of [`AlterPartitionRequest`].
    TopicData {
        topic_id: Uuid, "2+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`AlterPartitionRequest`].
    PartitionData {
        partition_index: i32, "0+";
        leader_epoch: i32, "0+";
        new_isr: Vec<i32>, "0-2";
        new_isr_with_epochs: Vec<BrokerState>, "3+";
        leader_recovery_state: i8, "1+";
        partition_epoch: i32, "0+";
    }

    /// Part of [`AlterPartitionRequest`].
    BrokerState {
        broker_id: i32, "3+";
        broker_epoch: i64, "3+", default -1;
    }
}

message! {
    /// Answers a [`AlterPartitionRequest`].
    AlterPartitionResponse "2-3", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        topics: Vec<TopicDataResponse>, "0+";
    }

    /// Part of [`AlterPartitionResponse`].
    TopicDataResponse {
        topic_id: Uuid, "2+";
        partitions: Vec<PartitionDataResponse>, "0+";
    }

    /// Part of [`AlterPartitionResponse`].
    PartitionDataResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
        isr: Vec<i32>, "0+";
        leader_recovery_state: i8, "1+";
        partition_epoch: i32, "0+";
    }
}

request!(AlterPartitionRequest, AlterPartition, AlterPartitionResponse);

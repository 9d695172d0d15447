//! DescribeProducers (key 61): says what partitions know of their producers.
//!
//! Source: KIP-664.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Says what partitions know of their producers.
    DescribeProducersRequest "0", flexible "0+" {
        topics: Vec<TopicRequest>, "0+";
    }

    /// Part of [`DescribeProducersRequest`].
    TopicRequest {
        name: Str, "0+";
        partition_indexes: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`DescribeProducersRequest`].
    DescribeProducersResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        topics: Vec<TopicResponse>, "0+";
    }

    /// Part of [`DescribeProducersResponse`].
    TopicResponse {
        name: Str, "0+";
        partitions: Vec<PartitionResponse>, "0+";
    }

    /// Part of [`DescribeProducersResponse`].
    PartitionResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        active_producers: Vec<ProducerState>, "0+";
    }

    /// Part of [`DescribeProducersResponse`].
    ProducerState {
        producer_id: i64, "0+";
        producer_epoch: i32, "0+";
        last_sequence: i32, "0+", default -1;
        last_timestamp: i64, "0+", default -1;
        coordinator_epoch: i32, "0+";
        current_txn_start_offset: i64, "0+", default -1;
    }
}

request!(DescribeProducersRequest, DescribeProducers, DescribeProducersResponse);

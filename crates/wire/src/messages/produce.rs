//! Produce (key 0): appends record batches to partitions.
//!
//! Source: KIP-98, KIP-951.

use bytes::Bytes;

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Appends record batches to partitions.
    ProduceRequest "3-13", flexible "9+" {
        transactional_id: Option<Str>, "3+", nullable "3+";
        acks: i16, "0+";
        timeout_ms: i32, "0+";
        topic_data: Vec<TopicProduceData>, "0+";
    }

    /// Part of [`ProduceRequest`].
    TopicProduceData {
        name: Str, "0-12";
        topic_id: Uuid, "13+";
        partition_data: Vec<PartitionProduceData>, "0+";
    }

    /// Part of [`ProduceRequest`].
    PartitionProduceData {
        index: i32, "0+";
        records: Option<Bytes>, "0+", nullable "0+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`ProduceRequest`].
    ProduceResponse "3-13", flexible "9+" {
        responses: Vec<TopicProduceResponse>, "0+";
        throttle_time_ms: i32, "1+";
        node_endpoints: Vec<NodeEndpoint>, "10+", tagged 0 "10+";
    }

    /// Part of [`ProduceResponse`].
    TopicProduceResponse {
        name: Str, "0-12";
        topic_id: Uuid, "13+";
        partition_responses: Vec<PartitionProduceResponse>, "0+";
    }

    /// Part of [`ProduceResponse`].
    PartitionProduceResponse {
        index: i32, "0+";
        error_code: ErrorCode, "0+";
        base_offset: i64, "0+";
        log_append_time_ms: i64, "2+", default -1;
        log_start_offset: i64, "5+", default -1;
        record_errors: Vec<BatchIndexAndErrorMessage>, "8+";
        error_message: Option<Str>, "8+", nullable "8+";
        current_leader: LeaderIdAndEpoch, "10+", tagged 0 "10+";
    }

    /// Part of [`ProduceResponse`].
    BatchIndexAndErrorMessage {
        batch_index: i32, "8+";
        batch_index_error_message: Option<Str>, "8+", nullable "8+";
    }

    /// Part of [`ProduceResponse`].
    LeaderIdAndEpoch {
        leader_id: i32, "10+", default -1;
        leader_epoch: i32, "10+", default -1;
    }

    /// Part of [`ProduceResponse`].
    NodeEndpoint {
        node_id: i32, "10+";
        host: Str, "10+";
        port: i32, "10+";
        rack: Option<Str>, "10+", nullable "10+";
    }
}

request!(ProduceRequest, Produce, ProduceResponse);

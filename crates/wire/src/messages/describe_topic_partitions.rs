//! DescribeTopicPartitions (key 75): describes partitions of topics, page by page.
//!
//! Source: KIP-966.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Describes partitions of topics, page by page.
    DescribeTopicPartitionsRequest "0", flexible "0+" {
        topics: Vec<TopicRequest>, "0+";
        response_partition_limit: i32, "0+", default 2000;
        cursor: Option<Cursor>, "0+", nullable "0+";
    }

    /// Part of [`DescribeTopicPartitionsRequest`].
    TopicRequest {
        name: Str, "0+";
    }

    /// Part of [`DescribeTopicPartitionsRequest`].
    Cursor {
        topic_name: Str, "0+";
        partition_index: i32, "0+";
    }
}

message! {
    /// Answers a [`DescribeTopicPartitionsRequest`].
    DescribeTopicPartitionsResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        topics: Vec<DescribeTopicPartitionsResponseTopic>, "0+";
        next_cursor: Option<CursorResponse>, "0+", nullable "0+";
    }

    /// Part of [`DescribeTopicPartitionsResponse`].
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode, "0+";
        name: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        topic_id: Uuid, "0+";
        is_internal: bool, "0+";
        partitions: Vec<DescribeTopicPartitionsResponsePartition>, "0+";
        topic_authorized_operations: i32, "0+", default -2147483648;
    }

    /// Part of [`DescribeTopicPartitionsResponse`].
    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode, "0+";
        partition_index: i32, "0+";
        leader_id: i32, "0+";
        leader_epoch: i32, "0+", default -1;
        replica_nodes: Vec<i32>, "0+";
        isr_nodes: Vec<i32>, "0+";
        eligible_leader_replicas: Option<Vec<i32>>, "0+", nullable "0+";
        last_known_elr: Option<Vec<i32>>, "0+", nullable "0+";
        offline_replicas: Vec<i32>, "0+";
    }

    /// Part of [`DescribeTopicPartitionsResponse`].
    CursorResponse {
        topic_name: Str, "0+";
        partition_index: i32, "0+";
    }
}

request!(DescribeTopicPartitionsRequest, DescribeTopicPartitions, DescribeTopicPartitionsResponse);

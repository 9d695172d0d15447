//! CreateTopics (key 19): creates topics.
//!
//! Source: KIP-464, KIP-525.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Creates topics.
    CreateTopicsRequest "2-7", flexible "5+" {
        topics: Vec<CreatableTopic>, "0+";
        timeout_ms: i32, "0+", default 60000;
        validate_only: bool, "1+";
    }

    /// Part of [`CreateTopicsRequest`].
    CreatableTopic {
        name: Str, "0+";
        num_partitions: i32, "0+";
        replication_factor: i16, "0+";
        assignments: Vec<CreatableReplicaAssignment>, "0+";
        configs: Vec<CreatableTopicConfig>, "0+";
    }

    /// Part of [`CreateTopicsRequest`].
    CreatableReplicaAssignment {
        partition_index: i32, "0+";
        broker_ids: Vec<i32>, "0+";
    }

    /// Part of [`CreateTopicsRequest`].
    CreatableTopicConfig {
        name: Str, "0+";
        value: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`CreateTopicsRequest`].
    CreateTopicsResponse "2-7", flexible "5+" {
        throttle_time_ms: i32, "2+";
        topics: Vec<CreatableTopicResult>, "0+";
    }

    /// Part of [`CreateTopicsResponse`].
    CreatableTopicResult {
        name: Str, "0+";
        topic_id: Uuid, "7+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "1+", nullable "0+", default Some(Default::default());
        topic_config_error_code: ErrorCode, "5+", tagged 0 "5+";
        num_partitions: i32, "5+", default -1;
        replication_factor: i16, "5+", default -1;
        configs: Option<Vec<CreatableTopicConfigs>>, "5+", nullable "5+",
            default Some(Default::default());
    }

    /// Part of [`CreateTopicsResponse`].
    CreatableTopicConfigs {
        name: Str, "5+";
        value: Option<Str>, "5+", nullable "5+", default Some(Default::default());
        read_only: bool, "5+";
        config_source: i8, "5+", default -1;
        is_sensitive: bool, "5+";
    }
}

request!(CreateTopicsRequest, CreateTopics, CreateTopicsResponse);

//! Metadata (key 3): describes the brokers, topics and partitions of the cluster.
//!
//! Source: KIP-516.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Describes the brokers, topics and partitions of the cluster.
    MetadataRequest "0-13", flexible "9+" {
        topics: Option<Vec<MetadataRequestTopic>>, "0+", nullable "1+",
            default Some(Default::default());
        allow_auto_topic_creation: bool, "4+", default true;
        include_cluster_authorized_operations: bool, "8-10";
        include_topic_authorized_operations: bool, "8+";
    }

    /// Part of [`MetadataRequest`].
    MetadataRequestTopic {
        topic_id: Uuid, "10+";
        name: Option<Str>, "0+", nullable "10+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`MetadataRequest`].
    MetadataResponse "0-13", flexible "9+" {
        throttle_time_ms: i32, "3+";
        brokers: Vec<MetadataResponseBroker>, "0+";
        cluster_id: Option<Str>, "2+", nullable "2+";
        controller_id: i32, "1+", default -1;
        topics: Vec<MetadataResponseTopic>, "0+";
        cluster_authorized_operations: i32, "8-10", default -2147483648;
        error_code: ErrorCode, "13+";
    }

    /// Part of [`MetadataResponse`].
    MetadataResponseBroker {
        node_id: i32, "0+";
        host: Str, "0+";
        port: i32, "0+";
        rack: Option<Str>, "1+", nullable "1+";
    }

    /// Part of [`MetadataResponse`].
    MetadataResponseTopic {
        error_code: ErrorCode, "0+";
        name: Option<Str>, "0+", nullable "12+", default Some(Default::default());
        topic_id: Uuid, "10+";
        is_internal: bool, "1+";
        partitions: Vec<MetadataResponsePartition>, "0+";
        topic_authorized_operations: i32, "8+", default -2147483648;
    }

    /// Part of [`MetadataResponse`].
    MetadataResponsePartition {
        error_code: ErrorCode, "0+";
        partition_index: i32, "0+";
        leader_id: i32, "0+";
        leader_epoch: i32, "7+", default -1;
        replica_nodes: Vec<i32>, "0+";
        isr_nodes: Vec<i32>, "0+";
        offline_replicas: Vec<i32>, "5+";
    }
}

request!(MetadataRequest, Metadata, MetadataResponse);

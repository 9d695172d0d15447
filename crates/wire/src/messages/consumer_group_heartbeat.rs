//! ConsumerGroupHeartbeat (key 68): a member joins, stays in, or leaves a group of the new
//! protocol.
//!
//! Source: KIP-848, KIP-1082.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Joins, stays in, or leaves a group of the new protocol.
    ConsumerGroupHeartbeatRequest "0-1", flexible "0+" {
        group_id: Str, "0+";
        member_id: Str, "0+";
        member_epoch: i32, "0+";
        instance_id: Option<Str>, "0+", nullable "0+";
        rack_id: Option<Str>, "0+", nullable "0+";
        rebalance_timeout_ms: i32, "0+", default -1;
        subscribed_topic_names: Option<Vec<Str>>, "0+", nullable "0+";
        subscribed_topic_regex: Option<Str>, "1+", nullable "1+";
        server_assignor: Option<Str>, "0+", nullable "0+";
        topic_partitions: Option<Vec<TopicPartitions>>, "0+", nullable "0+";
    }

    /// Partitions of one topic.
    TopicPartitions {
        topic_id: Uuid, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`ConsumerGroupHeartbeatRequest`].
    ConsumerGroupHeartbeatResponse "0-1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        member_id: Option<Str>, "0+", nullable "0+";
        member_epoch: i32, "0+";
        heartbeat_interval_ms: i32, "0+";
        assignment: Option<Assignment>, "0+", nullable "0+";
    }

    /// Part of [`ConsumerGroupHeartbeatResponse`].
    Assignment {
        topic_partitions: Vec<TopicPartitions>, "0+";
    }
}

request!(ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeat, ConsumerGroupHeartbeatResponse);

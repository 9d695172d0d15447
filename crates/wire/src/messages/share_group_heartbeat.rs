//! ShareGroupHeartbeat (key 76): a member of a share group joins, stays or leaves.
//!
//! Source: KIP-932.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// A member of a share group joins, stays or leaves.
    ShareGroupHeartbeatRequest "1", flexible "0+" {
        group_id: Str, "0+";
        member_id: Str, "0+";
        member_epoch: i32, "0+";
        rack_id: Option<Str>, "0+", nullable "0+";
        subscribed_topic_names: Option<Vec<Str>>, "0+", nullable "0+";
    }
}

message! {
    /// Answers a [`ShareGroupHeartbeatRequest`].
    ShareGroupHeartbeatResponse "1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        member_id: Option<Str>, "0+", nullable "0+";
        member_epoch: i32, "0+";
        heartbeat_interval_ms: i32, "0+";
        assignment: Option<Assignment>, "0+", nullable "0+";
    }

    /// Part of [`ShareGroupHeartbeatResponse`].
    Assignment {
        topic_partitions: Vec<TopicPartitions>, "0+";
    }

    /// Part of [`ShareGroupHeartbeatResponse`].
    TopicPartitions {
        topic_id: Uuid, "0+";
        partitions: Vec<i32>, "0+";
    }
}

request!(ShareGroupHeartbeatRequest, ShareGroupHeartbeat, ShareGroupHeartbeatResponse);

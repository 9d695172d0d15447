//! Heartbeat (key 12): keeps a member of a classic group alive.
//!
//! Source: KIP-62, KIP-345.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Keeps a member of a classic group alive.
    HeartbeatRequest "0-4", flexible "4+" {
        group_id: Str, "0+";
        generation_id: i32, "0+";
        member_id: Str, "0+";
        group_instance_id: Option<Str>, "3+", nullable "3+";
    }
}

message! {
    /// Answers a [`HeartbeatRequest`].
    HeartbeatResponse "0-4", flexible "4+" {
        throttle_time_ms: i32, "1+";
        error_code: ErrorCode, "0+";
    }
}

request!(HeartbeatRequest, Heartbeat, HeartbeatResponse);

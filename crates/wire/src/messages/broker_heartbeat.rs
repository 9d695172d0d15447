//! BrokerHeartbeat (key 63): keeps a broker's registration alive.
//!
//! Source: KIP-631, KIP-858.

use crate::message::request;
use crate::{ErrorCode, Uuid, message};

message! {
    /// Keeps a broker's registration alive.
    BrokerHeartbeatRequest "0-1", flexible "0+" {
        broker_id: i32, "0+";
        broker_epoch: i64, "0+", default -1;
        current_metadata_offset: i64, "0+";
        want_fence: bool, "0+";
        want_shut_down: bool, "0+";
        offline_log_dirs: Vec<Uuid>, "1+", tagged 0 "1+";
    }
}

message! {
    /// Answers a [`BrokerHeartbeatRequest`].
    BrokerHeartbeatResponse "0-1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        is_caught_up: bool, "0+";
        is_fenced: bool, "0+", default true;
        should_shut_down: bool, "0+";
    }
}

request!(BrokerHeartbeatRequest, BrokerHeartbeat, BrokerHeartbeatResponse);

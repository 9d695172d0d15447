//! FindCoordinator (key 10): names the broker that coordinates a group or a transaction.
//!
//! Source: KIP-699.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Names the broker that coordinates a group or a transaction.
    FindCoordinatorRequest "0-6", flexible "3+" {
        key: Str, "0-3";
        key_type: i8, "1+";
        coordinator_keys: Vec<Str>, "4+";
    }
}

message! {
    /// Answers a [`FindCoordinatorRequest`].
    FindCoordinatorResponse "0-6", flexible "3+" {
        throttle_time_ms: i32, "1+";
        error_code: ErrorCode, "0-3";
        error_message: Option<Str>, "1-3", nullable "1-3", default Some(Default::default());
        node_id: i32, "0-3";
        host: Str, "0-3";
        port: i32, "0-3";
        coordinators: Vec<Coordinator>, "4+";
    }

    /// Part of [`FindCoordinatorResponse`].
    Coordinator {
        key: Str, "4+";
        node_id: i32, "4+";
        host: Str, "4+";
        port: i32, "4+";
        error_code: ErrorCode, "4+";
        error_message: Option<Str>, "4+", nullable "4+", default Some(Default::default());
    }
}

request!(FindCoordinatorRequest, FindCoordinator, FindCoordinatorResponse);

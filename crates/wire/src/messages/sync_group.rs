//! SyncGroup (key 14): hands out the assignment of a classic group.
//!
//! Source: KIP-62, KIP-559.

use bytes::Bytes;

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Hands out the assignment of a classic group.
    SyncGroupRequest "0-5", flexible "4+" {
        group_id: Str, "0+";
        generation_id: i32, "0+";
        member_id: Str, "0+";
        group_instance_id: Option<Str>, "3+", nullable "3+";
        protocol_type: Option<Str>, "5+", nullable "5+";
        protocol_name: Option<Str>, "5+", nullable "5+";
        assignments: Vec<SyncGroupRequestAssignment>, "0+";
    }

    /// Part of [`SyncGroupRequest`].
    SyncGroupRequestAssignment {
        member_id: Str, "0+";
        assignment: Bytes, "0+";
    }
}

message! {
    /// Answers a [`SyncGroupRequest`].
    SyncGroupResponse "0-5", flexible "4+" {
        throttle_time_ms: i32, "1+";
        error_code: ErrorCode, "0+";
        protocol_type: Option<Str>, "5+", nullable "5+";
        protocol_name: Option<Str>, "5+", nullable "5+";
        assignment: Bytes, "0+";
    }
}

request!(SyncGroupRequest, SyncGroup, SyncGroupResponse);

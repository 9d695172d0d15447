//! JoinGroup (key 11): enters a classic group.
//!
//! Source: KIP-62, KIP-345, KIP-394.

use bytes::Bytes;

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Enters a classic group.
    JoinGroupRequest "0-9", flexible "6+" {
        group_id: Str, "0+";
        session_timeout_ms: i32, "0+";
        rebalance_timeout_ms: i32, "1+", default -1;
        member_id: Str, "0+";
        group_instance_id: Option<Str>, "5+", nullable "5+";
        protocol_type: Str, "0+";
        protocols: Vec<JoinGroupRequestProtocol>, "0+";
        reason: Option<Str>, "8+", nullable "8+";
    }

    /// Part of [`JoinGroupRequest`].
    JoinGroupRequestProtocol {
        name: Str, "0+";
        metadata: Bytes, "0+";
    }
}

message! {
    /// Answers a [`JoinGroupRequest`].
    JoinGroupResponse "0-9", flexible "6+" {
        throttle_time_ms: i32, "2+";
        error_code: ErrorCode, "0+";
        generation_id: i32, "0+", default -1;
        protocol_type: Option<Str>, "7+", nullable "7+";
        protocol_name: Option<Str>, "0+", nullable "7+", default Some(Default::default());
        leader: Str, "0+";
        skip_assignment: bool, "9+";
        member_id: Str, "0+";
        members: Vec<JoinGroupResponseMember>, "0+";
    }

    /// Part of [`JoinGroupResponse`].
    JoinGroupResponseMember {
        member_id: Str, "0+";
        group_instance_id: Option<Str>, "5+", nullable "5+";
        metadata: Bytes, "0+";
    }
}

request!(JoinGroupRequest, JoinGroup, JoinGroupResponse);

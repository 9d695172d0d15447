//! LeaveGroup (key 13): takes members out of a classic group.
//!
//! Source: KIP-345.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Takes members out of a classic group.
    LeaveGroupRequest "0-5", flexible "4+" {
        group_id: Str, "0+";
        member_id: Str, "0-2";
        members: Vec<MemberIdentity>, "3+";
    }

    /// Part of [`LeaveGroupRequest`].
    MemberIdentity {
        member_id: Str, "3+";
        group_instance_id: Option<Str>, "3+", nullable "3+";
        reason: Option<Str>, "5+", nullable "5+";
    }
}

message! {
    /// Answers a [`LeaveGroupRequest`].
    LeaveGroupResponse "0-5", flexible "4+" {
        throttle_time_ms: i32, "1+";
        error_code: ErrorCode, "0+";
        members: Vec<MemberResponse>, "3+";
    }

    /// Part of [`LeaveGroupResponse`].
    MemberResponse {
        member_id: Str, "3+";
        group_instance_id: Option<Str>, "3+", nullable "3+", default Some(Default::default());
        error_code: ErrorCode, "3+";
    }
}

request!(LeaveGroupRequest, LeaveGroup, LeaveGroupResponse);

//! DescribeGroups (key 15): describes classic groups.
//!
//! Source: KIP-345, KIP-1043.

use bytes::Bytes;

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Describes classic groups.
    DescribeGroupsRequest "0-6", flexible "5+" {
        groups: Vec<Str>, "0+";
        include_authorized_operations: bool, "3+";
    }
}

message! {
    /// Answers a [`DescribeGroupsRequest`].
    DescribeGroupsResponse "0-6", flexible "5+" {
        throttle_time_ms: i32, "1+";
        groups: Vec<DescribedGroup>, "0+";
    }

    /// Part of [`DescribeGroupsResponse`].
    DescribedGroup {
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "6+", nullable "6+";
        group_id: Str, "0+";
        group_state: Str, "0+";
        protocol_type: Str, "0+";
        protocol_data: Str, "0+";
        members: Vec<DescribedGroupMember>, "0+";
        authorized_operations: i32, "3+", default -2147483648;
    }

    /// Part of [`DescribeGroupsResponse`].
    DescribedGroupMember {
        member_id: Str, "0+";
        group_instance_id: Option<Str>, "4+", nullable "4+";
        client_id: Str, "0+";
        client_host: Str, "0+";
        member_metadata: Bytes, "0+";
        member_assignment: Bytes, "0+";
    }
}

request!(DescribeGroupsRequest, DescribeGroups, DescribeGroupsResponse);

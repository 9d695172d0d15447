//! ListGroups (key 16): lists the groups that a broker coordinates.
//!
//! Source: KIP-518, KIP-848.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Lists the groups that a broker coordinates.
    ListGroupsRequest "0-5", flexible "3+" {
        states_filter: Vec<Str>, "4+";
        types_filter: Vec<Str>, "5+";
    }
}

message! {
    /// Answers a [`ListGroupsRequest`].
    ListGroupsResponse "0-5", flexible "3+" {
        throttle_time_ms: i32, "1+";
        error_code: ErrorCode, "0+";
        groups: Vec<ListedGroup>, "0+";
    }

    /// Part of [`ListGroupsResponse`].
    ListedGroup {
        group_id: Str, "0+";
        protocol_type: Str, "0+";
        group_state: Str, "4+";
        group_type: Str, "5+";
    }
}

request!(ListGroupsRequest, ListGroups, ListGroupsResponse);

//! DeleteGroups (key 42): deletes groups that are empty.
//!
//! Source: KIP-229.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Deletes groups that are empty.
    DeleteGroupsRequest "0-2", flexible "2+" {
        groups_names: Vec<Str>, "0+";
    }
}

message! {
    /// Answers a [`DeleteGroupsRequest`].
    DeleteGroupsResponse "0-2", flexible "2+" {
        throttle_time_ms: i32, "0+";
        results: Vec<DeletableGroupResult>, "0+";
    }

    /// Part of [`DeleteGroupsResponse`].
    DeletableGroupResult {
        group_id: Str, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(DeleteGroupsRequest, DeleteGroups, DeleteGroupsResponse);

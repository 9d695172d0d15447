//! ShareGroupDescribe (key 77): describes share groups.
//!
//! Source: KIP-932.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Describes share groups.
    ShareGroupDescribeRequest "1", flexible "0+" {
        group_ids: Vec<Str>, "0+";
        include_authorized_operations: bool, "0+";
    }
}

message! {
    /// Answers a [`ShareGroupDescribeRequest`].
    ShareGroupDescribeResponse "1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        groups: Vec<DescribedGroup>, "0+";
    }

    /// Part of [`ShareGroupDescribeResponse`].
    DescribedGroup {
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        group_id: Str, "0+";
        group_state: Str, "0+";
        group_epoch: i32, "0+";
        assignment_epoch: i32, "0+";
        assignor_name: Str, "0+";
        members: Vec<Member>, "0+";
        authorized_operations: i32, "0+", default -2147483648;
    }

    /// Part of [`ShareGroupDescribeResponse`].
    Member {
        member_id: Str, "0+";
        rack_id: Option<Str>, "0+", nullable "0+";
        member_epoch: i32, "0+";
        client_id: Str, "0+";
        client_host: Str, "0+";
        subscribed_topic_names: Vec<Str>, "0+";
        assignment: Assignment, "0+";
    }

    /// Part of [`ShareGroupDescribeResponse`].
    TopicPartitions {
        topic_id: Uuid, "0+";
        topic_name: Str, "0+";
        partitions: Vec<i32>, "0+";
    }

    /// Part of [`ShareGroupDescribeResponse`].
    Assignment {
        topic_partitions: Vec<TopicPartitions>, "0+";
    }
}

request!(ShareGroupDescribeRequest, ShareGroupDescribe, ShareGroupDescribeResponse);

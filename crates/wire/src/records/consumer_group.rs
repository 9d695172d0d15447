//! Keys and values of `__consumer_offsets` that keep groups of the new protocol (KIP-848).

use bytes::Bytes;

use crate::{Str, Uuid, message};

message! {
    /// `ConsumerGroupMetadataKey`, type 3.
    ConsumerGroupMetadataKey "0", flexible "none" {
        group_id: Str, "0";
    }

    /// `ConsumerGroupMetadataValue`, type 3.
    ConsumerGroupMetadataValue "0", flexible "0+" {
        epoch: i32, "0+";
        metadata_hash: i64, "0+", tagged 0 "0+";
    }

    /// `ConsumerGroupMemberMetadataKey`, type 5.
    ConsumerGroupMemberMetadataKey "0", flexible "none" {
        group_id: Str, "0";
        member_id: Str, "0";
    }

    /// `ConsumerGroupMemberMetadataValue`, type 5.
    ConsumerGroupMemberMetadataValue "0", flexible "0+" {
        instance_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        rack_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        client_id: Str, "0+";
        client_host: Str, "0+";
        subscribed_topic_names: Vec<Str>, "0+";
        subscribed_topic_regex: Option<Str>, "0+", nullable "0+",
            default Some(Default::default());
        rebalance_timeout_ms: i32, "0+", default -1;
        server_assignor: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        classic_member_metadata: Option<ClassicMemberMetadata>, "0+", nullable "0+",
            tagged 0 "0+";
    }

    /// Part of [`ConsumerGroupMemberMetadataValue`].
    ClassicMemberMetadata {
        session_timeout_ms: i32, "0+";
        supported_protocols: Vec<ClassicProtocol>, "0+";
    }

    /// Part of [`ConsumerGroupMemberMetadataValue`].
    ClassicProtocol {
        name: Str, "0+";
        metadata: Bytes, "0+";
    }

    /// `ConsumerGroupTargetAssignmentMetadataKey`, type 6.
    ConsumerGroupTargetAssignmentMetadataKey "0", flexible "none" {
        group_id: Str, "0";
    }

    /// `ConsumerGroupTargetAssignmentMetadataValue`, type 6.
    ConsumerGroupTargetAssignmentMetadataValue "0", flexible "0+" {
        assignment_epoch: i32, "0+";
    }

    /// `ConsumerGroupTargetAssignmentMemberKey`, type 7.
    ConsumerGroupTargetAssignmentMemberKey "0", flexible "none" {
        group_id: Str, "0";
        member_id: Str, "0";
    }

    /// `ConsumerGroupTargetAssignmentMemberValue`, type 7.
    ConsumerGroupTargetAssignmentMemberValue "0", flexible "0+" {
        topic_partitions: Vec<TopicPartitions>, "0+";
    }

    /// Partitions of one topic.
    TopicPartitions {
        topic_id: Uuid, "0+";
        partitions: Vec<i32>, "0+";
    }

    /// `ConsumerGroupCurrentMemberAssignmentKey`, type 8.
    ConsumerGroupCurrentMemberAssignmentKey "0", flexible "none" {
        group_id: Str, "0";
        member_id: Str, "0";
    }

    /// `ConsumerGroupCurrentMemberAssignmentValue`, type 8.
    ConsumerGroupCurrentMemberAssignmentValue "0", flexible "0+" {
        member_epoch: i32, "0+";
        previous_member_epoch: i32, "0+";
        state: i8, "0+";
        assigned_partitions: Vec<TopicPartitions>, "0+";
        partitions_pending_revocation: Vec<TopicPartitions>, "0+";
    }

    /// `ConsumerGroupRegularExpressionKey`, type 16.
    ConsumerGroupRegularExpressionKey "0", flexible "none" {
        group_id: Str, "0";
        regular_expression: Str, "0";
    }

    /// `ConsumerGroupRegularExpressionValue`, type 16.
    ConsumerGroupRegularExpressionValue "0", flexible "0+" {
        topics: Vec<Str>, "0+";
        version: i64, "0+";
        timestamp: i64, "0+";
    }
}

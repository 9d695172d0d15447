//! Keys and values of `__consumer_offsets` that keep share groups (KIP-932).

use crate::{Str, Uuid, message};

message! {
    /// `ShareGroupMemberMetadataKey`, type 10.
    ShareGroupMemberMetadataKey "0", flexible "none" {
        group_id: Str, "0";
        member_id: Str, "0";
    }

    /// `ShareGroupMemberMetadataValue`, type 10.
    ShareGroupMemberMetadataValue "0", flexible "0+" {
        rack_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        client_id: Str, "0+";
        client_host: Str, "0+";
        subscribed_topic_names: Vec<Str>, "0+";
    }

    /// `ShareGroupMetadataKey`, type 11.
    ShareGroupMetadataKey "0", flexible "none" {
        group_id: Str, "0";
    }

    /// `ShareGroupMetadataValue`, type 11.
    ShareGroupMetadataValue "0", flexible "0+" {
        epoch: i32, "0+";
        metadata_hash: i64, "0+";
    }

    /// `ShareGroupTargetAssignmentMetadataKey`, type 12.
    ShareGroupTargetAssignmentMetadataKey "0", flexible "none" {
        group_id: Str, "0";
    }

    /// `ShareGroupTargetAssignmentMetadataValue`, type 12.
    ShareGroupTargetAssignmentMetadataValue "0", flexible "0+" {
        assignment_epoch: i32, "0+";
    }

    /// `ShareGroupTargetAssignmentMemberKey`, type 13.
    ShareGroupTargetAssignmentMemberKey "0", flexible "none" {
        group_id: Str, "0";
        member_id: Str, "0";
    }

    /// `ShareGroupTargetAssignmentMemberValue`, type 13.
    ShareGroupTargetAssignmentMemberValue "0", flexible "0+" {
        topic_partitions: Vec<TopicPartition>, "0+";
    }

    /// Part of [`ShareGroupTargetAssignmentMemberValue`].
    TopicPartition {
        topic_id: Uuid, "0+";
        partitions: Vec<i32>, "0+";
    }

    /// `ShareGroupCurrentMemberAssignmentKey`, type 14.
    ShareGroupCurrentMemberAssignmentKey "0", flexible "none" {
        group_id: Str, "0";
        member_id: Str, "0";
    }

    /// `ShareGroupCurrentMemberAssignmentValue`, type 14.
    ShareGroupCurrentMemberAssignmentValue "0", flexible "0+" {
        member_epoch: i32, "0+";
        previous_member_epoch: i32, "0+";
        state: i8, "0+";
        assigned_partitions: Vec<TopicPartitions>, "0+";
    }

    /// Part of [`ShareGroupCurrentMemberAssignmentValue`].
    TopicPartitions {
        topic_id: Uuid, "0+";
        partitions: Vec<i32>, "0+";
    }

    /// `ShareGroupStatePartitionMetadataKey`, type 15.
    ShareGroupStatePartitionMetadataKey "0", flexible "none" {
        group_id: Str, "0";
    }

    /// `ShareGroupStatePartitionMetadataValue`, type 15.
    ShareGroupStatePartitionMetadataValue "0", flexible "0+" {
        initializing_topics: Vec<TopicPartitionsInfo>, "0+";
        initialized_topics: Vec<TopicPartitionsInfo>, "0+";
        deleting_topics: Vec<TopicInfo>, "0+";
    }

    /// Part of [`ShareGroupStatePartitionMetadataValue`].
    TopicPartitionsInfo {
        topic_id: Uuid, "0+";
        topic_name: Str, "0+";
        partitions: Vec<i32>, "0+";
    }

    /// Part of [`ShareGroupStatePartitionMetadataValue`].
    TopicInfo {
        topic_id: Uuid, "0+";
        topic_name: Str, "0+";
    }
}

//! Keys and values of `__consumer_offsets`, and what classic members tell each other.

use bytes::Bytes;

use crate::{Str, Uuid, message};

message! {
    /// `OffsetCommitKey`, type 1.
    OffsetCommitKey "0", flexible "none" {
        group: Str, "0";
        topic: Str, "0";
        partition: i32, "0";
    }

    /// `OffsetCommitValue`, type 1.
    OffsetCommitValue "0-4", flexible "4+" {
        offset: i64, "0+";
        leader_epoch: i32, "3+", default -1;
        metadata: Str, "0+";
        commit_timestamp: i64, "0+";
        expire_timestamp: i64, "1", default -1;
        topic_id: Uuid, "4+", tagged 0 "4+";
    }

    /// `GroupMetadataKey`, type 2.
    GroupMetadataKey "0", flexible "none" {
        group: Str, "0";
    }

    /// `GroupMetadataValue`, type 2.
    GroupMetadataValue "0-4", flexible "4+" {
        protocol_type: Str, "0+";
        generation: i32, "0+";
        protocol: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        leader: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        current_state_timestamp: i64, "2+", default -1;
        members: Vec<MemberMetadata>, "0+";
    }

    /// Part of [`GroupMetadataValue`].
    MemberMetadata {
        member_id: Str, "0+";
        group_instance_id: Option<Str>, "3+", nullable "3+";
        client_id: Str, "0+";
        client_host: Str, "0+";
        rebalance_timeout: i32, "1+", default -1;
        session_timeout: i32, "0+";
        subscription: Bytes, "0+";
        assignment: Bytes, "0+";
    }

    /// `ConsumerProtocolSubscription`.
    ConsumerProtocolSubscription "0-3", flexible "none" {
        topics: Vec<Str>, "0+";
        user_data: Option<Bytes>, "0+", nullable "0+";
        owned_partitions: Vec<TopicPartition>, "1+";
        generation_id: i32, "2+", default -1;
        rack_id: Option<Str>, "3+", nullable "3+";
    }

    /// Part of [`ConsumerProtocolSubscription`].
    TopicPartition {
        topic: Str, "1+";
        partitions: Vec<i32>, "1+";
    }

    /// `ConsumerProtocolAssignment`.
    ConsumerProtocolAssignment "0-3", flexible "none" {
        assigned_partitions: Vec<ConsumerProtocolAssignmentTopicPartition>, "0+";
        user_data: Option<Bytes>, "0+", nullable "0+";
    }

    /// Part of [`ConsumerProtocolAssignment`].
    ConsumerProtocolAssignmentTopicPartition {
        topic: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

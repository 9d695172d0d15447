//! ShareAcknowledge (key 79): acknowledges records that a member of a share group has acquired.
//!
//! Source: KIP-932, KIP-1222.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Acknowledges records that a member of a share group has acquired.
    ShareAcknowledgeRequest "1-2", flexible "0+" {
        group_id: Option<Str>, "0+", nullable "0+";
        member_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        share_session_epoch: i32, "0+";
        is_renew_ack: bool, "2+";
        topics: Vec<AcknowledgeTopic>, "0+";
    }

    /// Part of [`ShareAcknowledgeRequest`].
    AcknowledgeTopic {
        topic_id: Uuid, "0+";
        partitions: Vec<AcknowledgePartition>, "0+";
    }

    /// Part of [`ShareAcknowledgeRequest`].
    AcknowledgePartition {
        partition_index: i32, "0+";
        acknowledgement_batches: Vec<AcknowledgementBatch>, "0+";
    }

    /// Part of [`ShareAcknowledgeRequest`].
    AcknowledgementBatch {
        first_offset: i64, "0+";
        last_offset: i64, "0+";
        acknowledge_types: Vec<i8>, "0+";
    }
}

message! {
    /// Answers a [`ShareAcknowledgeRequest`].
    ShareAcknowledgeResponse "1-2", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        acquisition_lock_timeout_ms: i32, "2+";
        responses: Vec<ShareAcknowledgeTopicResponse>, "0+";
        node_endpoints: Vec<NodeEndpoint>, "0+";
    }

    /// Part of [`ShareAcknowledgeResponse`].
    ShareAcknowledgeTopicResponse {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`ShareAcknowledgeResponse`].
    NodeEndpoint {
        node_id: i32, "0+";
        host: Str, "0+";
        port: i32, "0+";
        rack: Option<Str>, "0+", nullable "0+";
    }

    /// Part of [`ShareAcknowledgeResponse`].
    PartitionData {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        current_leader: LeaderIdAndEpoch, "0+";
    }

    /// Part of [`ShareAcknowledgeResponse`].
    LeaderIdAndEpoch {
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
    }
}

request!(ShareAcknowledgeRequest, ShareAcknowledge, ShareAcknowledgeResponse);

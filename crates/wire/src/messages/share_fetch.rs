//! ShareFetch (key 78): acquires records for a member of a share group, and acknowledges others.
//!
//! Source: KIP-932, KIP-1206, KIP-1222.

use crate::message::request;
use crate::{ErrorCode, RecordBytes, Str, Uuid, message};

message! {
    /// Acquires records for a member of a share group, and acknowledges others.
    ShareFetchRequest "1-2", flexible "0+" {
        group_id: Option<Str>, "0+", nullable "0+";
        member_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        share_session_epoch: i32, "0+";
        max_wait_ms: i32, "0+";
        min_bytes: i32, "0+";
        max_bytes: i32, "0+", default i32::MAX;
        max_records: i32, "1+";
        batch_size: i32, "1+";
        share_acquire_mode: i8, "2+";
        is_renew_ack: bool, "2+";
        topics: Vec<FetchTopic>, "0+";
        forgotten_topics_data: Vec<ForgottenTopic>, "0+";
    }

    /// Part of [`ShareFetchRequest`].
    FetchTopic {
        topic_id: Uuid, "0+";
        partitions: Vec<FetchPartition>, "0+";
    }

    /// Part of [`ShareFetchRequest`].
    ForgottenTopic {
        topic_id: Uuid, "0+";
        partitions: Vec<i32>, "0+";
    }

    /// Part of [`ShareFetchRequest`].
    FetchPartition {
        partition_index: i32, "0+";
        acknowledgement_batches: Vec<AcknowledgementBatch>, "0+";
    }

    /// Part of [`ShareFetchRequest`].
    AcknowledgementBatch {
        first_offset: i64, "0+";
        last_offset: i64, "0+";
        acknowledge_types: Vec<i8>, "0+";
    }
}

message! {
    /// Answers a [`ShareFetchRequest`].
    ShareFetchResponse "1-2", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        acquisition_lock_timeout_ms: i32, "1+";
        responses: Vec<ShareFetchableTopicResponse>, "0+";
        node_endpoints: Vec<NodeEndpoint>, "0+";
    }

    /// Part of [`ShareFetchResponse`].
    ShareFetchableTopicResponse {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`ShareFetchResponse`].
    NodeEndpoint {
        node_id: i32, "0+";
        host: Str, "0+";
        port: i32, "0+";
        rack: Option<Str>, "0+", nullable "0+";
    }

    /// Part of [`ShareFetchResponse`].
    PartitionData {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        acknowledge_error_code: ErrorCode, "0+";
        acknowledge_error_message: Option<Str>, "0+", nullable "0+";
        current_leader: LeaderIdAndEpoch, "0+";
        records: RecordBytes, "0+";
        acquired_records: Vec<AcquiredRecords>, "0+";
    }

    /// Part of [`ShareFetchResponse`].
    LeaderIdAndEpoch {
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
    }

    /// Part of [`ShareFetchResponse`].
    AcquiredRecords {
        first_offset: i64, "0+";
        last_offset: i64, "0+";
        delivery_count: i16, "0+";
    }
}

request!(ShareFetchRequest, ShareFetch, ShareFetchResponse);

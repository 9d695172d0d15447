//! TxnOffsetCommit (key 28): stores the offsets that a group has processed within a transaction.
//!
//! Source: KIP-98, KIP-447, KIP-890.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Stores the offsets that a group has processed within a transaction.
    TxnOffsetCommitRequest "0-5", flexible "3+" {
        transactional_id: Str, "0+";
        group_id: Str, "0+";
        producer_id: i64, "0+";
        producer_epoch: i16, "0+";
        generation_id: i32, "3+", default -1;
        member_id: Str, "3+";
        group_instance_id: Option<Str>, "3+", nullable "3+";
        topics: Vec<TxnOffsetCommitRequestTopic>, "0+";
    }

    /// Part of [`TxnOffsetCommitRequest`].
    TxnOffsetCommitRequestTopic {
        name: Str, "0+";
        partitions: Vec<TxnOffsetCommitRequestPartition>, "0+";
    }

    /// Part of [`TxnOffsetCommitRequest`].
    TxnOffsetCommitRequestPartition {
        partition_index: i32, "0+";
        committed_offset: i64, "0+";
        committed_leader_epoch: i32, "2+", default -1;
        committed_metadata: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`TxnOffsetCommitRequest`].
    TxnOffsetCommitResponse "0-5", flexible "3+" {
        throttle_time_ms: i32, "0+";
        topics: Vec<TxnOffsetCommitResponseTopic>, "0+";
    }

    /// Part of [`TxnOffsetCommitResponse`].
    TxnOffsetCommitResponseTopic {
        name: Str, "0+";
        partitions: Vec<TxnOffsetCommitResponsePartition>, "0+";
    }

    /// Part of [`TxnOffsetCommitResponse`].
    TxnOffsetCommitResponsePartition {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(TxnOffsetCommitRequest, TxnOffsetCommit, TxnOffsetCommitResponse);

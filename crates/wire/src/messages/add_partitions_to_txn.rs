//! AddPartitionsToTxn (key 24): adds partitions to a transaction, or asks whether they are in it.
//!
//! Source: KIP-98, KIP-890. Clients speak versions 0 to 3, brokers 4 and 5.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Adds partitions to a transaction, or asks whether they are in it.
    AddPartitionsToTxnRequest "0-5", flexible "3+" {
        transactions: Vec<AddPartitionsToTxnTransaction>, "4+";
        v3_and_below_transactional_id: Str, "0-3";
        v3_and_below_producer_id: i64, "0-3";
        v3_and_below_producer_epoch: i16, "0-3";
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic>, "0-3";
    }

    /// Part of [`AddPartitionsToTxnRequest`].
    AddPartitionsToTxnTransaction {
        transactional_id: Str, "4+";
        producer_id: i64, "4+";
        producer_epoch: i16, "4+";
        verify_only: bool, "4+";
        topics: Vec<AddPartitionsToTxnTopic>, "4+";
    }

    /// Part of [`AddPartitionsToTxnRequest`].
    AddPartitionsToTxnTopic {
        name: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`AddPartitionsToTxnRequest`].
    AddPartitionsToTxnResponse "0-5", flexible "3+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "4+";
        results_by_transaction: Vec<AddPartitionsToTxnResult>, "4+";
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>, "0-3";
    }

    /// Part of [`AddPartitionsToTxnResponse`].
    AddPartitionsToTxnResult {
        transactional_id: Str, "4+";
        topic_results: Vec<AddPartitionsToTxnTopicResult>, "4+";
    }

    /// Part of [`AddPartitionsToTxnResponse`].
    AddPartitionsToTxnTopicResult {
        name: Str, "0+";
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult>, "0+";
    }

    /// Part of [`AddPartitionsToTxnResponse`].
    AddPartitionsToTxnPartitionResult {
        partition_index: i32, "0+";
        partition_error_code: ErrorCode, "0+";
    }
}

request!(AddPartitionsToTxnRequest, AddPartitionsToTxn, AddPartitionsToTxnResponse);

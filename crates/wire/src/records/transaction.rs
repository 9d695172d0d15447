//! Keys and values of `__transaction_state`.

use crate::{Str, message};

message! {
    /// `TransactionLogKey`, type 0.
    TransactionLogKey "0", flexible "none" {
        transactional_id: Str, "0+";
    }

    /// `TransactionLogValue`, type 0. The tagged fields are those of KIP-890.
    TransactionLogValue "0-1", flexible "1+" {
        producer_id: i64, "0+";
        previous_producer_id: i64, "1+", tagged 0 "1+", default -1;
        next_producer_id: i64, "1+", tagged 1 "1+", default -1;
        producer_epoch: i16, "0+";
        transaction_timeout_ms: i32, "0+";
        transaction_status: i8, "0+";
        transaction_partitions: Option<Vec<PartitionsSchema>>, "0+", nullable "0+",
            default Some(Default::default());
        transaction_last_update_timestamp_ms: i64, "0+";
        transaction_start_timestamp_ms: i64, "0+";
        client_transaction_version: i16, "1+", tagged 2 "1+";
    }

    /// Part of [`TransactionLogValue`].
    PartitionsSchema {
        topic: Str, "0+";
        partition_ids: Vec<i32>, "0+";
    }
}

//! EndTxn (key 26): commits or aborts a transaction.
//!
//! Source: KIP-98, KIP-890: from version 5 on the answer says what id and epoch to go on with.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Commits or aborts a transaction.
    EndTxnRequest "0-5", flexible "3+" {
        transactional_id: Str, "0+";
        producer_id: i64, "0+";
        producer_epoch: i16, "0+";
        committed: bool, "0+";
    }
}

message! {
    /// Answers a [`EndTxnRequest`].
    EndTxnResponse "0-5", flexible "3+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        producer_id: i64, "5+", default -1;
        producer_epoch: i16, "5+", default -1;
    }
}

request!(EndTxnRequest, EndTxn, EndTxnResponse);

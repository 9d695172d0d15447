//! AddOffsetsToTxn (key 25): says that a transaction will commit offsets of a group.
//!
//! Source: KIP-98.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Says that a transaction will commit offsets of a group.
    AddOffsetsToTxnRequest "0-4", flexible "3+" {
        transactional_id: Str, "0+";
        producer_id: i64, "0+";
        producer_epoch: i16, "0+";
        group_id: Str, "0+";
    }
}

message! {
    /// Answers a [`AddOffsetsToTxnRequest`].
    AddOffsetsToTxnResponse "0-4", flexible "3+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(AddOffsetsToTxnRequest, AddOffsetsToTxn, AddOffsetsToTxnResponse);

//! InitProducerId (key 22): hands an idempotent producer its id.
//!
//! Source: KIP-98, KIP-360.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Hands an idempotent producer its id.
    InitProducerIdRequest "0-6", flexible "2+" {
        transactional_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        transaction_timeout_ms: i32, "0+";
        producer_id: i64, "3+", default -1;
        producer_epoch: i16, "3+", default -1;
        enable2_pc: bool, "6+";
        keep_prepared_txn: bool, "6+";
    }
}

message! {
    /// Answers a [`InitProducerIdRequest`].
    InitProducerIdResponse "0-6", flexible "2+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        producer_id: i64, "0+", default -1;
        producer_epoch: i16, "0+";
        ongoing_txn_producer_id: i64, "6+", default -1;
        ongoing_txn_producer_epoch: i16, "6+", default -1;
    }
}

request!(InitProducerIdRequest, InitProducerId, InitProducerIdResponse);

//! AllocateProducerIds (key 67): reserves a block of producer ids for a broker.
//!
//! Source: KIP-730.

use crate::message::request;
use crate::{ErrorCode, message};

message! {
    /// Reserves a block of producer ids for a broker.
    AllocateProducerIdsRequest "0", flexible "0+" {
        broker_id: i32, "0+";
        broker_epoch: i64, "0+", default -1;
    }
}

message! {
    /// Answers a [`AllocateProducerIdsRequest`].
    AllocateProducerIdsResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        producer_id_start: i64, "0+";
        producer_id_len: i32, "0+";
    }
}

request!(AllocateProducerIdsRequest, AllocateProducerIds, AllocateProducerIdsResponse);

//! UnregisterBroker (key 64): removes the registration of a broker that is gone.
//!
//! Source: KIP-631.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Removes the registration of a broker that is gone.
    UnregisterBrokerRequest "0", flexible "0+" {
        broker_id: i32, "0+";
    }
}

message! {
    /// Answers a [`UnregisterBrokerRequest`].
    UnregisterBrokerResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

request!(UnregisterBrokerRequest, UnregisterBroker, UnregisterBrokerResponse);

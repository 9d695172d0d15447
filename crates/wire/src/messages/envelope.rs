//! Envelope (key 58): carries a client's request from a broker to the active coordinator.
//!
//! Source: KIP-590.

use bytes::Bytes;

use crate::message::request;
use crate::{ErrorCode, message};

message! {
    /// Carries a client's request from a broker to the active coordinator.
    EnvelopeRequest "0", flexible "0+" {
        request_data: Bytes, "0+";
        request_principal: Option<Bytes>, "0+", nullable "0+", default Some(Default::default());
        client_host_address: Bytes, "0+";
    }
}

message! {
    /// Answers a [`EnvelopeRequest`].
    EnvelopeResponse "0", flexible "0+" {
        response_data: Option<Bytes>, "0+", nullable "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(EnvelopeRequest, Envelope, EnvelopeResponse);

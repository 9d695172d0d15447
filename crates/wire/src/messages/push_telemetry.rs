//! PushTelemetry (key 72): a client pushes its metrics.
//!
//! Source: KIP-714.

use bytes::Bytes;

use crate::message::request;
use crate::{ErrorCode, Uuid, message};

message! {
    /// A client pushes its metrics.
    PushTelemetryRequest "0", flexible "0+" {
        client_instance_id: Uuid, "0+";
        subscription_id: i32, "0+";
        terminating: bool, "0+";
        compression_type: i8, "0+";
        metrics: Bytes, "0+";
    }
}

message! {
    /// Answers a [`PushTelemetryRequest`].
    PushTelemetryResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(PushTelemetryRequest, PushTelemetry, PushTelemetryResponse);

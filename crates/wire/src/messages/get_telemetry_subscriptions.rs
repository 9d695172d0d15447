//! GetTelemetrySubscriptions (key 71): asks which metrics a client is to push.
//!
//! Source: KIP-714.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Asks which metrics a client is to push.
    GetTelemetrySubscriptionsRequest "0", flexible "0+" {
        client_instance_id: Uuid, "0+";
    }
}

message! {
    /// Answers a [`GetTelemetrySubscriptionsRequest`].
    GetTelemetrySubscriptionsResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        client_instance_id: Uuid, "0+";
        subscription_id: i32, "0+";
        accepted_compression_types: Vec<i8>, "0+";
        push_interval_ms: i32, "0+";
        telemetry_max_bytes: i32, "0+";
        delta_temporality: bool, "0+";
        requested_metrics: Vec<Str>, "0+";
    }
}

request!(
    GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptions,
    GetTelemetrySubscriptionsResponse
);

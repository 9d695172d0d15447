//! ControllerRegistration (key 70): registers a coordinator.
//!
//! Source: KIP-919.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Registers a coordinator.
    ControllerRegistrationRequest "0", flexible "0+" {
        controller_id: i32, "0+";
        incarnation_id: Uuid, "0+";
        zk_migration_ready: bool, "0+";
        listeners: Vec<Listener>, "0+";
        features: Vec<Feature>, "0+";
    }

    /// Part of [`ControllerRegistrationRequest`].
    Listener {
        name: Str, "0+";
        host: Str, "0+";
        port: u16, "0+";
        security_protocol: i16, "0+";
    }

    /// Part of [`ControllerRegistrationRequest`].
    Feature {
        name: Str, "0+";
        min_supported_version: i16, "0+";
        max_supported_version: i16, "0+";
    }
}

message! {
    /// Answers a [`ControllerRegistrationRequest`].
    ControllerRegistrationResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

request!(ControllerRegistrationRequest, ControllerRegistration, ControllerRegistrationResponse);

//! BrokerRegistration (key 62): registers a broker.
//!
//! Source: KIP-631, KIP-858.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Registers a broker.
    BrokerRegistrationRequest "0-4", flexible "0+" {
        broker_id: i32, "0+";
        cluster_id: Str, "0+";
        incarnation_id: Uuid, "0+";
        listeners: Vec<Listener>, "0+";
        features: Vec<Feature>, "0+";
        rack: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        is_migrating_zk_broker: bool, "1+";
        log_dirs: Vec<Uuid>, "2+";
        previous_broker_epoch: i64, "3+", default -1;
    }

    /// Part of [`BrokerRegistrationRequest`].
    Listener {
        name: Str, "0+";
        host: Str, "0+";
        port: u16, "0+";
        security_protocol: i16, "0+";
    }

    /// Part of [`BrokerRegistrationRequest`].
    Feature {
        name: Str, "0+";
        min_supported_version: i16, "0+";
        max_supported_version: i16, "0+";
    }
}

message! {
    /// Answers a [`BrokerRegistrationRequest`].
    BrokerRegistrationResponse "0-4", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        broker_epoch: i64, "0+", default -1;
    }
}

request!(BrokerRegistrationRequest, BrokerRegistration, BrokerRegistrationResponse);

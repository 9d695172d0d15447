//! AlterConfigs (key 33): replaces the configuration of topics and brokers.
//!
//! Source: KIP-133.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Replaces the configuration of topics and brokers.
    AlterConfigsRequest "0-2", flexible "2+" {
        resources: Vec<AlterConfigsResource>, "0+";
        validate_only: bool, "0+";
    }

    /// Part of [`AlterConfigsRequest`].
    AlterConfigsResource {
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        configs: Vec<AlterableConfig>, "0+";
    }

    /// Part of [`AlterConfigsRequest`].
    AlterableConfig {
        name: Str, "0+";
        value: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`AlterConfigsRequest`].
    AlterConfigsResponse "0-2", flexible "2+" {
        throttle_time_ms: i32, "0+";
        responses: Vec<AlterConfigsResourceResponse>, "0+";
    }

    /// Part of [`AlterConfigsResponse`].
    AlterConfigsResourceResponse {
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        resource_type: i8, "0+";
        resource_name: Str, "0+";
    }
}

request!(AlterConfigsRequest, AlterConfigs, AlterConfigsResponse);

//! IncrementalAlterConfigs (key 44): changes single keys of the configuration.
//!
//! Source: KIP-339.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Changes single keys of the configuration.
    IncrementalAlterConfigsRequest "0-1", flexible "1+" {
        resources: Vec<AlterConfigsResource>, "0+";
        validate_only: bool, "0+";
    }

    /// Part of [`IncrementalAlterConfigsRequest`].
    AlterConfigsResource {
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        configs: Vec<AlterableConfig>, "0+";
    }

    /// Part of [`IncrementalAlterConfigsRequest`].
    AlterableConfig {
        name: Str, "0+";
        config_operation: i8, "0+";
        value: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`IncrementalAlterConfigsRequest`].
    IncrementalAlterConfigsResponse "0-1", flexible "1+" {
        throttle_time_ms: i32, "0+";
        responses: Vec<AlterConfigsResourceResponse>, "0+";
    }

    /// Part of [`IncrementalAlterConfigsResponse`].
    AlterConfigsResourceResponse {
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        resource_type: i8, "0+";
        resource_name: Str, "0+";
    }
}

request!(IncrementalAlterConfigsRequest, IncrementalAlterConfigs, IncrementalAlterConfigsResponse);

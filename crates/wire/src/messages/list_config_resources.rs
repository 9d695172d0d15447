//! ListConfigResources (key 74): lists the resources that have a configuration.
//!
//! Source: KIP-714, KIP-1142.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Lists the resources that have a configuration.
    ListConfigResourcesRequest "0-1", flexible "0+" {
        resource_types: Vec<i8>, "1+";
    }
}

message! {
    /// Answers a [`ListConfigResourcesRequest`].
    ListConfigResourcesResponse "0-1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        config_resources: Vec<ConfigResource>, "0+";
    }

    /// Part of [`ListConfigResourcesResponse`].
    ConfigResource {
        resource_name: Str, "0+";
        resource_type: i8, "1+", default 16;
    }
}

request!(ListConfigResourcesRequest, ListConfigResources, ListConfigResourcesResponse);

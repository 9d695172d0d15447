//! ApiVersions (key 18): asks which requests and versions a node serves.
//!
//! Source: KIP-35, KIP-511, KIP-584.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Asks which requests and versions a node serves.
    ApiVersionsRequest "0-4", flexible "3+" {
        client_software_name: Str, "3+";
        client_software_version: Str, "3+";
    }
}

message! {
    /// Answers a [`ApiVersionsRequest`].
    ApiVersionsResponse "0-4", flexible "3+" {
        error_code: ErrorCode, "0+";
        api_keys: Vec<ApiVersion>, "0+";
        throttle_time_ms: i32, "1+";
        supported_features: Vec<SupportedFeatureKey>, "3+", tagged 0 "3+";
        finalized_features_epoch: i64, "3+", tagged 1 "3+", default -1;
        finalized_features: Vec<FinalizedFeatureKey>, "3+", tagged 2 "3+";
        zk_migration_ready: bool, "3+", tagged 3 "3+";
    }

    /// Part of [`ApiVersionsResponse`].
    ApiVersion {
        api_key: i16, "0+";
        min_version: i16, "0+";
        max_version: i16, "0+";
    }

    /// Part of [`ApiVersionsResponse`].
    SupportedFeatureKey {
        name: Str, "3+";
        min_version: i16, "3+";
        max_version: i16, "3+";
    }

    /// Part of [`ApiVersionsResponse`].
    FinalizedFeatureKey {
        name: Str, "3+";
        max_version_level: i16, "3+";
        min_version_level: i16, "3+";
    }
}

request!(ApiVersionsRequest, ApiVersions, ApiVersionsResponse);

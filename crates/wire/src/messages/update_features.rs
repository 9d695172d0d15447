//! UpdateFeatures (key 57): changes the levels of features of the whole cluster.
//!
//! Source: KIP-584, KIP-778, KIP-1022.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Changes the levels of features of the whole cluster.
    UpdateFeaturesRequest "0-2", flexible "0+" {
        timeout_ms: i32, "0+", default 60000;
        feature_updates: Vec<FeatureUpdateKey>, "0+";
        validate_only: bool, "1+";
    }

    /// Part of [`UpdateFeaturesRequest`].
    FeatureUpdateKey {
        feature: Str, "0+";
        max_version_level: i16, "0+";
        allow_downgrade: bool, "0";
        upgrade_type: i8, "1+", default 1;
    }
}

message! {
    /// Answers a [`UpdateFeaturesRequest`].
    UpdateFeaturesResponse "0-2", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        results: Vec<UpdatableFeatureResult>, "0-1";
    }

    /// Part of [`UpdateFeaturesResponse`].
    UpdatableFeatureResult {
        feature: Str, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

request!(UpdateFeaturesRequest, UpdateFeatures, UpdateFeaturesResponse);

//! ApiVersions (18): what this coordinator serves, and the features (KIP-511, KIP-584).

use std::sync::Arc;

use vltava_metadata::supported_features;
use vltava_net::{Answer, Reply};
use vltava_wire::messages::api_versions::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use vltava_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use vltava_wire::{ApiKey, ErrorCode, Str};

use super::dispatch::TABLE;
use super::{Call, Context};

/// The version in which `kraft.version` of level 0 could be told; others leave such ranges out.
const ZERO_LEVELS_FROM: i16 = 4;

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    if let Err(close) = call.decode::<ApiVersionsRequest>() {
        return close.into();
    }
    let status = context.news.latest();
    let image = &status.image;
    let features = supported_features().iter().map(|feature| SupportedFeatureKey {
        name: Str::from_static(feature.name),
        min_version: feature.min,
        max_version: feature.max,
    });
    let supported = features
        .filter(|feature| call.header.api_version >= ZERO_LEVELS_FROM || feature.min_version > 0);
    let finalized = image.features().iter().map(|(name, level)| FinalizedFeatureKey {
        name: name.clone(),
        max_version_level: *level,
        min_version_level: *level,
    });
    let response = ApiVersionsResponse {
        api_keys: api_keys(),
        supported_features: supported.collect(),
        finalized_features_epoch: image.provenance().offset.get(),
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    };
    call.answer::<ApiVersionsRequest>(&response)
}

/// A client that asks in a version that is not known is told in version 0 which are (KIP-511).
pub(super) fn unsupported(call: &Call) -> Reply {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: api_keys()
            .into_iter()
            .filter(|it| it.api_key == ApiKey::ApiVersions.code())
            .collect(),
        ..ApiVersionsResponse::default()
    };
    Answer::at_version::<ApiVersionsRequest>(&call.header, 0, &response).into()
}

fn api_keys() -> Vec<ApiVersion> {
    let key = |row: &super::dispatch::Row| ApiVersion {
        api_key: row.key.code(),
        min_version: row.versions.min,
        max_version: row.versions.max,
    };
    TABLE.iter().map(key).collect()
}

//! ApiVersions (18): what this broker serves, and the features of the cluster.

use std::sync::Arc;

use vltava_net::{Answer, Inbound, Reply};
use vltava_wire::messages::api_versions::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use vltava_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use vltava_wire::{ApiKey, ErrorCode, Str};

use crate::api::context::Call;
use crate::api::dispatch::TABLE;
use crate::server::Broker;

/// The first version whose clients know what a lowest level of 0 means (KIP-1022).
const ZERO_LEVELS_SINCE: i16 = 4;

/// Names and versions of client software: letters, digits, `-` and `.`, neither first nor last
/// character a sign (KIP-511).
fn is_software_name(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

/// Answers with the dispatch table and the features.
pub async fn handle(broker: &Arc<Broker>, call: Call<ApiVersionsRequest>) -> Reply {
    let request = &call.request;
    if call.version() >= 3
        && !(is_software_name(&request.client_software_name)
            && is_software_name(&request.client_software_version))
    {
        let error_code = ErrorCode::INVALID_REQUEST;
        return call.reply(&ApiVersionsResponse { error_code, ..Default::default() });
    }
    if let Some(telemetry) = &broker.telemetry {
        let (name, version) = (&request.client_software_name, &request.client_software_version);
        telemetry.introduced(call.connection, name.clone(), version.clone());
    }
    let image = broker.cluster.image();
    let finalized = |(name, level): (&Str, &i16)| FinalizedFeatureKey {
        name: name.clone(),
        max_version_level: *level,
        min_version_level: *level,
    };
    call.reply(&ApiVersionsResponse {
        api_keys: api_keys(broker),
        supported_features: vltava_metadata::supported_features()
            .iter()
            .filter(|feature| call.version() >= ZERO_LEVELS_SINCE || feature.min > 0)
            .map(|feature| SupportedFeatureKey {
                name: Str::from_static(feature.name),
                min_version: feature.min,
                max_version: feature.max,
            })
            .collect(),
        finalized_features_epoch: image.provenance().offset.get(),
        finalized_features: image.features().iter().map(finalized).collect(),
        ..Default::default()
    })
}

/// Answers a version that we do not know in version 0, which every client can read, with the
/// versions of this one request (KIP-511).
pub fn unsupported(broker: &Broker, inbound: &Inbound) -> Reply {
    let mut header = inbound.header.clone();
    header.api_version = 0;
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: api_keys(broker)
            .into_iter()
            .filter(|it| it.api_key == ApiKey::ApiVersions.code())
            .collect(),
        ..Default::default()
    };
    Reply::Ready(Answer::to::<ApiVersionsRequest>(&header, &response))
}

fn api_keys(broker: &Broker) -> Vec<ApiVersion> {
    let row = |key: ApiKey, min, max| ApiVersion {
        api_key: key.code(),
        min_version: min,
        max_version: max,
    };
    TABLE
        .iter()
        .filter(|entry| entry.is_served_by(broker))
        .map(|entry| match entry.key {
            // librdkafka before 2.x takes a broker without Produce 0 for one that it cannot
            // produce to; the versions below 3 are refused when used.
            ApiKey::Produce => row(entry.key, 0, entry.versions.max),
            _ => row(entry.key, entry.versions.min, entry.versions.max),
        })
        .collect()
}

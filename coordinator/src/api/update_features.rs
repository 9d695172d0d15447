//! UpdateFeatures (57): levels of features go up or down for the whole cluster (KIP-584).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::Str;
use vltava_wire::messages::update_features::UpdatableFeatureResult;
use vltava_wire::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::{Call, Context, refuse};
use crate::controller::{FeatureUpdate, UpgradeType};

/// The version from which on a request says how it may change a level.
const UPGRADE_TYPES_SINCE: i16 = 1;
/// The version from which on an answer has no results of single features: they succeed or fail
/// together.
const NO_RESULTS_SINCE: i16 = 2;

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<UpdateFeaturesRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let version = call.header.api_version;
    context.operate(
        call,
        request,
        move |request, controller, _| {
            let updates = updates(request, version);
            let decision = controller.update_features(&updates, request.validate_only)?;
            Ok(decision.map(|()| success(request, version)))
        },
        refuse,
    )
}

fn updates(request: &UpdateFeaturesRequest, version: i16) -> Vec<FeatureUpdate> {
    let update = request.feature_updates.iter().map(|update| FeatureUpdate {
        feature: update.feature.detach(),
        level: update.max_version_level,
        how: match update.upgrade_type {
            // Kafka takes no notice of `allow_downgrade` any more.
            _ if version < UPGRADE_TYPES_SINCE => UpgradeType::Upgrade,
            code => UpgradeType::from_code(code),
        },
    });
    update.collect()
}

fn success(request: &UpdateFeaturesRequest, version: i16) -> UpdateFeaturesResponse {
    let mut response =
        UpdateFeaturesResponse { error_message: None, ..UpdateFeaturesResponse::default() };
    if version < NO_RESULTS_SINCE {
        let result = request.feature_updates.iter().map(|update| UpdatableFeatureResult {
            feature: update.feature.clone(),
            // Kafka's own words for success.
            error_message: Some(Str::from_static("NONE")),
            ..UpdatableFeatureResult::default()
        });
        response.results = result.collect();
    }
    response
}

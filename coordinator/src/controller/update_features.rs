//! UpdateFeatures (57): which level of a feature the whole cluster may go to (KIP-584, KIP-778,
//! KIP-1022).

use std::collections::BTreeMap;

use vltava_metadata::{
    KRAFT_VERSION, METADATA_VERSION, MetadataRecord, SupportedFeature, VersionRange,
};
use vltava_wire::records::metadata::FeatureLevelRecord;
use vltava_wire::{ErrorCode, Str};

use super::{Active, Controller, Decision, Failure};

/// The most features that one request may name; there are a handful.
const UPDATES_MAX: usize = 64;

/// The level of `metadata.version` (4.0-IV1) that last changed what records say: between it and any
/// later one nothing gets lost on the way down.
const LAST_CHANGE_OF_RECORDS: i16 = 23;

/// What a request lets happen to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    /// It may go up only.
    Upgrade,
    /// It may go down if nothing is lost by it.
    SafeDowngrade,
    /// It may go down whatever is lost.
    UnsafeDowngrade,
    /// Nothing that we know.
    Unknown,
}

impl UpgradeType {
    /// By the number that requests carry.
    pub fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Upgrade,
            2 => Self::SafeDowngrade,
            3 => Self::UnsafeDowngrade,
            _ => Self::Unknown,
        }
    }
}

/// A feature that is to get another level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature's name.
    pub feature: Str,
    /// The level that it is to get; 0 takes the feature away.
    pub level: i16,
    /// Which way the level may go.
    pub how: UpgradeType,
}

impl Controller {
    /// Sets the levels of features, all of them or none; with `validate_only` it only says whether
    /// it would.
    ///
    /// # Errors
    /// NOT_CONTROLLER; INVALID_REQUEST; INVALID_UPDATE_VERSION.
    pub fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Result<Decision<()>, Failure> {
        let active = self.active()?;
        if updates.len() > UPDATES_MAX {
            let message = format!("A request may update {UPDATES_MAX} features at most.");
            return Err(Failure::new(ErrorCode::INVALID_REQUEST, message));
        }
        // Of a feature that is named twice, the last update counts.
        let last: BTreeMap<&Str, &FeatureUpdate> =
            updates.iter().map(|update| (&update.feature, update)).collect();
        let mut records: Vec<MetadataRecord> = Vec::new();
        for update in last.into_values() {
            if let Err(reason) = active.check_update(update, self.settings.node.get()) {
                let message = format!(
                    "The update failed for all features since the following feature had an error: \
                     {reason}"
                );
                return Err(Failure::new(ErrorCode::INVALID_UPDATE_VERSION, message));
            }
            if active.image.feature_level(&update.feature) != update.level {
                let (name, feature_level) = (update.feature.clone(), update.level);
                records.push(FeatureLevelRecord { name, feature_level }.into());
            }
        }
        if validate_only {
            records.clear();
        }
        Ok(Decision::of(records, ()))
    }
}

impl Active {
    fn check_update(&self, update: &FeatureUpdate, node: i32) -> Result<(), String> {
        let FeatureUpdate { feature, level, how } = update;
        let (level, how) = (*level, *how);
        let current = self.image.feature_level(feature);
        self.why_not(update, current, node).map_or(Ok(()), |reason| {
            Err(format!("Invalid update version {level} for feature {feature}. {reason}"))
        })?;
        let loses = level < current && level < LAST_CHANGE_OF_RECORDS;
        if feature == METADATA_VERSION && loses {
            let reason = if how == UpgradeType::UnsafeDowngrade {
                "Unsafe metadata downgrade is not supported in this version."
            } else {
                "Refusing to perform the requested downgrade because it might delete metadata \
                 information."
            };
            return Err(format!(
                "Unsupported metadata.version downgrade from {current} to {level}. {reason}"
            ));
        }
        Ok(())
    }

    fn why_not(&self, update: &FeatureUpdate, current: i16, node: i32) -> Option<String> {
        let FeatureUpdate { feature, level, how } = update;
        if *how == UpgradeType::Unknown {
            return Some("The controller does not support the given upgrade type.".into());
        }
        if *level < 0 {
            return Some("A feature version cannot be less than 0.".into());
        }
        if let Some(reason) = self.unsupported(feature, *level, node) {
            return Some(reason);
        }
        if *level < current && *how == UpgradeType::Upgrade {
            let reason = "Can't downgrade the version of this feature without setting the upgrade \
                          type to either safe or unsafe downgrade.";
            return Some(reason.into());
        }
        if *level > current && *how != UpgradeType::Upgrade {
            return Some("Can't downgrade to a newer version.".into());
        }
        if *level != current && feature == KRAFT_VERSION {
            return Some("Can't downgrade the version of this feature.".into());
        }
        if SupportedFeature::of_name(feature).is_none() {
            return Some(format!("Feature {feature} not found."));
        }
        None
    }

    /// Which node could not follow to that level, and why.
    fn unsupported(&self, feature: &Str, level: i16, node: i32) -> Option<String> {
        let local = SupportedFeature::of_name(feature);
        let local = local.map(|feature| VersionRange { min: feature.min, max: feature.max });
        let brokers = self
            .image
            .brokers()
            .map(|broker| (format!("Broker {}", broker.id), broker.features.get(feature).copied()));
        let controllers =
            self.image.controllers().filter(|controller| controller.id.get() != node).map(
                |controller| {
                    let supported = controller.features.get(feature).copied();
                    (format!("Controller {}", controller.id), supported)
                },
            );
        let nodes = std::iter::once((format!("Local controller {node}"), local));
        nodes.chain(brokers).chain(controllers).find_map(|(who, supported)| {
            let VersionRange { min, max } = supported.unwrap_or(VersionRange { min: 0, max: 0 });
            match (min..=max).contains(&level) {
                true => None,
                false if max == 0 => Some(format!("{who} does not support this feature.")),
                false if min == max => Some(format!("{who} only supports versions {min}")),
                false => Some(format!("{who} only supports versions {min}-{max}")),
            }
        })
    }
}

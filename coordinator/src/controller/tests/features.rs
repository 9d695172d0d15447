//! Levels of features: where they may go, and which brokers may come.

use vltava_metadata::{
    GROUP_VERSION, KRAFT_VERSION, METADATA_VERSION, METADATA_VERSION_MAX, founding_features,
};
use vltava_wire::messages::BrokerRegistrationRequest;
use vltava_wire::messages::broker_registration::{Feature, Listener};
use vltava_wire::{ErrorCode, Uuid};

use super::fixture::{CLUSTER, World, features};
use crate::controller::{FeatureUpdate, UpgradeType};

use UpgradeType::{SafeDowngrade, Unknown, UnsafeDowngrade, Upgrade};

fn update(feature: &str, level: i16, how: UpgradeType) -> FeatureUpdate {
    FeatureUpdate { feature: feature.into(), level, how }
}

/// What Kafka's message says after the words that all of them begin with; empty if it was done.
fn tried(world: &mut World, updates: &[FeatureUpdate]) -> String {
    match world.controller.update_features(updates, false) {
        Ok(decision) => {
            world.take(decision);
            String::new()
        }
        Err(failure) => {
            assert_eq!(failure.code, ErrorCode::INVALID_UPDATE_VERSION);
            let common = "The update failed for all features since the following feature had an \
                          error: ";
            failure.message.strip_prefix(common).expect("Kafka's words").to_owned()
        }
    }
}

fn register(world: &mut World, features: Vec<Feature>) -> Result<i64, ErrorCode> {
    let request = BrokerRegistrationRequest {
        broker_id: 9,
        cluster_id: CLUSTER.into(),
        incarnation_id: Uuid(1_009),
        listeners: vec![Listener {
            name: "PLAINTEXT".into(),
            host: "localhost".into(),
            port: 9092,
            security_protocol: 0,
        }],
        features,
        log_dirs: vec![Uuid(1_009)],
        previous_broker_epoch: -1,
        ..BrokerRegistrationRequest::default()
    };
    world
        .operate(|controller, moment| controller.register_broker(&request, moment))
        .map(|response| response.broker_epoch)
}

#[test]
fn a_new_cluster_has_every_feature_at_its_newest_level() {
    let world = World::new();
    for (name, level) in founding_features() {
        assert_eq!(world.image.feature_level(name), level, "{name}");
    }
}

#[test]
fn levels_go_up_and_down_as_the_request_allows() {
    let mut world = World::new();
    world.broker(1);
    let level = |world: &World, name: &str| world.image.feature_level(name);
    let refused = tried(&mut world, &[update(GROUP_VERSION, 0, Upgrade)]);
    assert_eq!(
        refused,
        "Invalid update version 0 for feature group.version. Can't downgrade the version of this \
         feature without setting the upgrade type to either safe or unsafe downgrade."
    );
    assert_eq!(tried(&mut world, &[update(GROUP_VERSION, 0, SafeDowngrade)]), "");
    assert_eq!(level(&world, GROUP_VERSION), 0);
    assert_eq!(
        tried(&mut world, &[update(GROUP_VERSION, 1, UnsafeDowngrade)]),
        "Invalid update version 1 for feature group.version. Can't downgrade to a newer version."
    );
    assert_eq!(tried(&mut world, &[update(GROUP_VERSION, 1, Upgrade)]), "");
    assert_eq!(level(&world, GROUP_VERSION), 1);
    let only_tried =
        world.controller.update_features(&[update(GROUP_VERSION, 0, SafeDowngrade)], true);
    assert!(only_tried.expect("it would do").records.is_empty());
}

#[test]
fn one_that_is_refused_keeps_the_others_back() {
    let mut world = World::new();
    let updates = [update(GROUP_VERSION, 0, SafeDowngrade), update("x.version", 3, Upgrade)];
    assert_eq!(
        tried(&mut world, &updates),
        "Invalid update version 3 for feature x.version. Local controller 3001 does not support \
         this feature."
    );
    assert_eq!(world.image.feature_level(GROUP_VERSION), 1);
}

#[test]
fn what_kafka_refuses_is_refused_in_its_words() {
    let mut world = World::new();
    let newest = METADATA_VERSION_MAX;
    let table = [
        (update(GROUP_VERSION, 9, Upgrade), "Local controller 3001 only supports versions 0-1"),
        (update(GROUP_VERSION, -1, Upgrade), "A feature version cannot be less than 0."),
        (
            update(GROUP_VERSION, 1, Unknown),
            "The controller does not support the given upgrade type.",
        ),
        (update(KRAFT_VERSION, 0, SafeDowngrade), "Local controller 3001 only supports versions 1"),
        (update("x.version", 0, Upgrade), "Feature x.version not found."),
        (
            update(METADATA_VERSION, newest + 1, Upgrade),
            "Local controller 3001 only supports versions 7-29",
        ),
    ];
    for (update, reason) in table {
        let (level, feature) = (update.level, update.feature.clone());
        let refused = tried(&mut world, &[update]);
        assert_eq!(
            refused,
            format!("Invalid update version {level} for feature {feature}. {reason}")
        );
    }
    assert_eq!(
        tried(&mut world, &[update(METADATA_VERSION, 22, SafeDowngrade)]),
        "Unsupported metadata.version downgrade from 29 to 22. Refusing to perform the requested \
         downgrade because it might delete metadata information."
    );
    assert_eq!(tried(&mut world, &[update(METADATA_VERSION, 23, SafeDowngrade)]), "");
    assert_eq!(world.image.metadata_version(), 23);
}

#[test]
fn a_node_that_cannot_follow_is_named() {
    let mut world = World::new();
    assert_eq!(tried(&mut world, &[update(GROUP_VERSION, 0, SafeDowngrade)]), "");
    let mut old = features();
    old.retain(|feature| feature.name != GROUP_VERSION);
    register(&mut world, old).expect("the cluster does not use what it lacks");
    assert_eq!(
        tried(&mut world, &[update(GROUP_VERSION, 1, Upgrade)]),
        "Invalid update version 1 for feature group.version. Broker 9 does not support this \
         feature."
    );
}

#[test]
fn a_broker_that_lacks_what_the_cluster_uses_is_refused() {
    let mut world = World::new();
    let mut old = features();
    old.retain(|feature| feature.name != GROUP_VERSION);
    assert_eq!(register(&mut world, old), Err(ErrorCode::UNSUPPORTED_VERSION));
    let mut older = features();
    older.retain(|feature| feature.name != METADATA_VERSION);
    assert_eq!(register(&mut world, older), Err(ErrorCode::UNSUPPORTED_VERSION));
    assert!(register(&mut world, features()).is_ok());
}

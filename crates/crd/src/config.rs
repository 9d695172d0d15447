//! Each node's settings, as far as they follow from the manifest.

use std::collections::BTreeMap;

use vltava_config::{Role, Values, keys};

use crate::resource::KafkaClusterSpec;

/// Keys that follow from the manifest's other fields, so that `config` must not set them.
pub(crate) const MANAGED: &[&str] = &[
    "advertised.listeners",
    "broker.id",
    "broker.rack",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "cordoned.log.dirs",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "node.id",
    "process.roles",
    "security.inter.broker.protocol",
    "vltava.admin.listener",
    "vltava.cluster.id",
    "vltava.create.topics",
    "vltava.initial.controllers",
    "vltava.pod.uid",
    "vltava.rack.file",
];

/// What a manifest gets that says nothing else: a node that stands still is noticed sooner than by
/// Kafka's defaults. One whose process dies is noticed at once, so a busy machine fences nobody.
const QUICKER: [(&str, &str); 2] =
    [("broker.session.timeout.ms", "3000"), ("broker.heartbeat.interval.ms", "500")];

/// The settings of every node of a role: those of `brokers.config`, which coordinators share where
/// they read the key too, and above them those of `coordinators.config`.
pub fn of_role(spec: &KafkaClusterSpec, role: Role) -> BTreeMap<String, String> {
    let quicker = QUICKER.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut settings: BTreeMap<String, String> = quicker.collect();
    settings.extend(spec.brokers.config.clone());
    if role == Role::Coordinator {
        settings.retain(|key, _| {
            keys::find(key).is_some_and(|spec| spec.scope.is_read_by(false, true))
        });
        settings.extend(spec.coordinators.config.clone());
    }
    // Groups, transactions and share groups could never work while their topic waits for more
    // brokers than there will be.
    for key in [
        keys::OFFSETS_TOPIC_REPLICATION_FACTOR,
        keys::TRANSACTION_STATE_LOG_REPLICATION_FACTOR,
        keys::SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR,
    ] {
        let default = Values::default().get(key);
        if role == Role::Broker && spec.brokers.replicas < i32::from(default) {
            let replicas = spec.brokers.replicas.max(1).to_string();
            settings.entry(key.name().to_owned()).or_insert(replicas);
        }
    }
    settings
}

/// How many partitions and replicas a topic gets where it does not say.
pub(crate) fn topic_defaults(spec: &KafkaClusterSpec) -> (i32, i32) {
    let set = |key: &str| spec.brokers.config.get(key).and_then(|text| text.trim().parse().ok());
    let defaults = Values::default();
    (
        set(keys::NUM_PARTITIONS.name()).unwrap_or(defaults.get(keys::NUM_PARTITIONS)),
        set(keys::DEFAULT_REPLICATION_FACTOR.name())
            .unwrap_or(defaults.get(keys::DEFAULT_REPLICATION_FACTOR)),
    )
}

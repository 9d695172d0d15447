//! Settings that brokers take at run time: which they are, what to set, and what to give back.

use std::collections::{BTreeMap, BTreeSet};

use vltava_config::keys;
use vltava_config::spec::Update;

use crate::resource::KafkaClusterSpec;

/// Whether a key changes at run time, for all brokers at once (KIP-226).
pub fn is_dynamic(key: &str) -> bool {
    keys::find(key).is_some_and(|spec| spec.update == Update::ClusterWide)
}

/// The settings of all brokers that a manifest has and that change at run time.
pub fn dynamic(spec: &KafkaClusterSpec) -> BTreeMap<&str, &str> {
    let settings = spec.brokers.config.iter().filter(|(key, _)| is_dynamic(key));
    settings.map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// What to change of the settings of all brokers: a value each, or none where the key is to be
/// given back. Keys that the manifest never had are others' own (a throttle during a move by hand,
/// say), and stay.
pub fn changes<'a>(
    wanted: &BTreeMap<&'a str, &'a str>,
    owned: &BTreeSet<&'a str>,
    now: &BTreeMap<String, String>,
) -> Vec<(&'a str, Option<&'a str>)> {
    let set = wanted
        .iter()
        .filter(|(key, value)| now.get(**key).map(String::as_str) != Some(**value))
        .map(|(key, value)| (*key, Some(*value)));
    let gone = owned.iter().filter(|key| !wanted.contains_key(*key) && now.contains_key(**key));
    set.chain(gone.map(|key| (*key, None))).collect()
}

#[cfg(test)]
mod tests {
    use super::{changes, is_dynamic};

    #[test]
    fn what_the_manifest_had_is_given_back_and_what_others_set_stays() {
        let wanted = [("min.insync.replicas", "2"), ("log.retention.ms", "5")].into();
        let owned = ["min.insync.replicas", "log.segment.bytes"].into();
        let now = [
            ("min.insync.replicas", "2"),
            ("log.retention.ms", "6"),
            ("log.segment.bytes", "1048576"),
            ("leader.replication.throttled.rate", "100"),
        ];
        let now = now.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let expected = [("log.retention.ms", Some("5")), ("log.segment.bytes", None)];
        assert_eq!(changes(&wanted, &owned, &now), expected);
    }

    #[test]
    fn what_is_read_at_start_or_by_one_broker_alone_is_not_dynamic() {
        assert!(is_dynamic("min.insync.replicas"));
        for key in ["num.partitions", "listeners", "no.such.key"] {
            assert!(!is_dynamic(key), "{key}");
        }
    }
}

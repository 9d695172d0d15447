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

/// Whether a value that is shown is the one that is wanted. A broker shows what it has read:
/// doubles as Java writes them, lists without blanks, nothing for "not set".
pub fn is_shown(key: &str, wanted: &str, shown: Option<&str>) -> bool {
    let read = |text: &str| match keys::find(key).map(|spec| spec.parse(text)) {
        Some(Ok(value)) => value.to_text(),
        _ => Some(text.to_owned()),
    };
    read(wanted) == shown.and_then(read)
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
        .filter(|(key, value)| !is_shown(key, value, now.get(**key).map(String::as_str)))
        .map(|(key, value)| (*key, Some(*value)));
    let gone = owned.iter().filter(|key| !wanted.contains_key(*key) && now.contains_key(**key));
    set.chain(gone.map(|key| (*key, None))).collect()
}

#[cfg(test)]
mod tests {
    use super::{changes, is_dynamic, is_shown};

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
    fn what_a_broker_shows_in_its_own_way_is_what_was_wanted() {
        let same = [
            ("log.cleaner.io.max.bytes.per.second", "10485760", Some("10485760.0")),
            ("log.cleaner.min.cleanable.ratio", "0.50", Some("0.5")),
            ("log.cleanup.policy", "compact, delete", Some("compact,delete")),
            ("unclean.leader.election.enable", "True", Some("true")),
            ("log.retention.ms", " 86400000", Some("86400000")),
        ];
        for (key, wanted, shown) in same {
            assert!(is_dynamic(key) && is_shown(key, wanted, shown), "{key}={wanted}: {shown:?}");
        }
        // Where "not set" is a value, nothing is shown of it.
        let nullable = vltava_config::keys::all().find(|it| it.nullable).expect("there are such");
        assert!(is_shown(nullable.name, "", None) && is_shown(nullable.name, "", Some("")));
        let other = [
            ("log.cleanup.policy", "compact, delete", Some("delete")),
            ("log.retention.ms", "5", None),
            (nullable.name, "", Some("5")),
        ];
        for (key, wanted, shown) in other {
            assert!(!is_shown(key, wanted, shown), "{key}={wanted}: {shown:?}");
        }
    }

    #[test]
    fn what_is_read_at_start_or_by_one_broker_alone_is_not_dynamic() {
        assert!(is_dynamic("min.insync.replicas"));
        for key in ["num.partitions", "listeners", "no.such.key"] {
            assert!(!is_dynamic(key), "{key}");
        }
    }
}

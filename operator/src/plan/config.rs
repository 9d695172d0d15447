//! Settings that brokers take at run time: what to set, and what to give back.

use std::collections::{BTreeMap, BTreeSet};

use vltava_client::AlterOp;

/// What to change of the settings of all brokers. Keys that the manifest never had are others' own
/// (a throttle during a move by hand, say), and stay.
pub fn changes<'a>(
    wanted: &BTreeMap<&'a str, &str>,
    owned: &BTreeSet<&'a str>,
    now: &BTreeMap<String, String>,
) -> Vec<(&'a str, AlterOp)> {
    let set = wanted
        .iter()
        .filter(|(key, value)| now.get(**key).map(String::as_str) != Some(**value))
        .map(|(key, value)| (*key, AlterOp::Set((*value).to_owned())));
    let gone = owned.iter().filter(|key| !wanted.contains_key(*key) && now.contains_key(**key));
    set.chain(gone.map(|key| (*key, AlterOp::Delete))).collect()
}

#[cfg(test)]
mod tests {
    use super::{AlterOp, changes};

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
        let expected = [
            ("log.retention.ms", AlterOp::Set("5".to_owned())),
            ("log.segment.bytes", AlterOp::Delete),
        ];
        assert_eq!(changes(&wanted, &owned, &now), expected);
    }
}

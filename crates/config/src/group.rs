//! A group's own configuration (KIP-848, KIP-932, KIP-1142): what one group sets above what its
//! brokers say.

pub mod share;

use std::collections::BTreeMap;

use crate::keys::keys;
use crate::spec::Check::{AtLeast, Form, OneOf};
use crate::spec::{Kind, Spec};
use crate::values::Values;

keys! {
    /// How often the group's members send heartbeats, in milliseconds.
    CONSUMER_HEARTBEAT_INTERVAL_MS: i32 = "consumer.heartbeat.interval.ms", None, AtLeast(1),
        Group, ClusterWide, Medium, from "group.consumer.heartbeat.interval.ms" * 1;
    /// How long a member of the group may be silent, in milliseconds.
    CONSUMER_SESSION_TIMEOUT_MS: i32 = "consumer.session.timeout.ms", None, AtLeast(1),
        Group, ClusterWide, Medium, from "group.consumer.session.timeout.ms" * 1;
    /// Where a share group begins with a partition that it has not read before: `latest`,
    /// `earliest`, or `by_duration:` with a duration of ISO 8601, so long ago.
    SHARE_AUTO_OFFSET_RESET: String = "share.auto.offset.reset", Some("latest"),
        Form(share::check_reset, "latest, earliest or by_duration:PnDTnHnMn.nS"),
        Group, ClusterWide, Medium;
    /// How often members of the share group send heartbeats, in milliseconds.
    SHARE_HEARTBEAT_INTERVAL_MS: i32 = "share.heartbeat.interval.ms", None, AtLeast(1),
        Group, ClusterWide, Medium, from "group.share.heartbeat.interval.ms" * 1;
    /// Whether the share group is given records of transactions that have not ended, or were
    /// aborted: `read_uncommitted` or `read_committed`.
    SHARE_ISOLATION_LEVEL: String = "share.isolation.level", Some("read_uncommitted"),
        OneOf(&["read_committed", "read_uncommitted"]), Group, ClusterWide, Medium;
    /// How long a member of the share group keeps a record that it says nothing of, in
    /// milliseconds.
    SHARE_RECORD_LOCK_DURATION_MS: i32 = "share.record.lock.duration.ms", None, AtLeast(1000),
        Group, ClusterWide, Medium, from "group.share.record.lock.duration.ms" * 1;
    /// How long a member of the share group may be silent, in milliseconds.
    SHARE_SESSION_TIMEOUT_MS: i32 = "share.session.timeout.ms", None, AtLeast(1),
        Group, ClusterWide, Medium, from "group.share.session.timeout.ms" * 1;
}

/// What `group.consumer.migration.policy` allows, for a person.
pub(crate) const MIGRATION_POLICY_FORM: &str =
    "one of bidirectional, upgrade, downgrade, disabled, however capitalised";

/// Checks a policy of migration: Kafka's names.
pub(crate) fn check_migration_policy(text: &str) -> Result<(), String> {
    let known = ["bidirectional", "upgrade", "downgrade", "disabled"];
    match known.iter().any(|name| name.eq_ignore_ascii_case(text)) {
        true => Ok(()),
        false => Err(format!("`{text}` is no policy")),
    }
}

/// Every row of the table, by name.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    ROWS.iter().copied()
}

/// The row of a key, if the table has it.
pub fn find(name: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.name == name)
}

/// The brokers' keys that bound a group's key: the least and the greatest.
const BOUNDS: &[(&str, &str, &str)] = &[
    (
        "consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    ),
    (
        "consumer.session.timeout.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
    ),
    (
        "share.heartbeat.interval.ms",
        "group.share.min.heartbeat.interval.ms",
        "group.share.max.heartbeat.interval.ms",
    ),
    (
        "share.session.timeout.ms",
        "group.share.min.session.timeout.ms",
        "group.share.max.session.timeout.ms",
    ),
    (
        "share.record.lock.duration.ms",
        "group.share.min.record.lock.duration.ms",
        "group.share.max.record.lock.duration.ms",
    ),
];

/// Which timeout must be longer than which interval.
const LONGER: &[(crate::key::Key<i32>, crate::key::Key<i32>)] = &[
    (CONSUMER_SESSION_TIMEOUT_MS, CONSUMER_HEARTBEAT_INTERVAL_MS),
    (SHARE_SESSION_TIMEOUT_MS, SHARE_HEARTBEAT_INTERVAL_MS),
];

/// Checks what a group would set for itself, all of it.
///
/// # Errors
/// Kafka's sentence on the first setting that is unknown or not allowed; it answers INVALID_CONFIG.
pub fn validate<'a>(
    overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
    values: &Values,
) -> Result<(), String> {
    let mut numbers = BTreeMap::new();
    for (name, text) in overrides {
        let spec = find(name).ok_or_else(|| format!("Unknown group config name: {name}"))?;
        if spec.kind == Kind::String {
            word(spec, text)?;
        } else {
            numbers.insert(spec.name, number(spec, text)?);
        }
    }
    let broker = |name: &str| {
        let spec = crate::keys::find(name).expect("a broker's key");
        values.value(spec).as_integer().unwrap_or(0)
    };
    for (name, least, greatest) in BOUNDS {
        let Some(number) = numbers.get(name) else { continue };
        if *number < broker(least) {
            return Err(format!("{name} must be greater than or equal to {least}"));
        }
        if *number > broker(greatest) {
            return Err(format!("{name} must be less than or equal to {greatest}"));
        }
    }
    let of = |spec: &Spec| {
        let own = numbers.get(spec.name).copied();
        own.unwrap_or_else(|| broker(spec.fallbacks[0].key))
    };
    for (session, heartbeat) in LONGER {
        if of(session.spec()) <= of(heartbeat.spec()) {
            return Err(format!("{} must be greater than {}", session.name(), heartbeat.name()));
        }
    }
    Ok(())
}

/// What a group sets for a key that holds an integer, if it can be read.
pub fn own(
    key: crate::key::Key<i32>,
    overrides: &BTreeMap<impl AsRef<str> + Ord, impl AsRef<str>>,
) -> Option<i32> {
    let set = overrides.iter().find(|(name, _)| name.as_ref() == key.name());
    set.and_then(|(_, text)| text.as_ref().trim().parse().ok())
}

/// Checks a text by Kafka's rules, with its sentence on what is not allowed.
fn word(spec: &Spec, text: &str) -> Result<(), String> {
    let sentence = match spec.check {
        Form(check, _) => check(text).err(),
        OneOf(words) if !words.contains(&text) => {
            Some(format!("String must be one of: {}", words.join(", ")))
        }
        _ => None,
    };
    let name = spec.name;
    sentence
        .map_or(Ok(()), |it| Err(format!("Invalid value {text} for configuration {name}: {it}")))
}

/// An integer by Kafka's rules, or its sentence on what is none.
pub(crate) fn number(spec: &Spec, text: &str) -> Result<i64, String> {
    let name = spec.name;
    let no_number = || {
        let kind = if spec.kind == Kind::Long { "LONG" } else { "INT" };
        format!("Invalid value {text} for configuration {name}: Not a number of type {kind}")
    };
    let number: i64 = match spec.kind {
        Kind::Long => text.trim().parse().map_err(|_| no_number())?,
        _ => text.trim().parse::<i32>().map_err(|_| no_number())?.into(),
    };
    match spec.check {
        AtLeast(least) if number < least => Err(format!(
            "Invalid value {number} for configuration {name}: Value must be at least {least}"
        )),
        _ => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[(&str, &str)]) -> Result<(), String> {
        validate(set.iter().copied(), &Values::default())
    }

    #[test]
    fn a_group_may_differ_from_its_brokers_within_their_bounds() {
        assert_eq!(check(&[("consumer.session.timeout.ms", "50000")]), Ok(()));
        let share =
            [("share.auto.offset.reset", "earliest"), ("share.session.timeout.ms", "50000")];
        assert_eq!(check(&share), Ok(()));
        let table = [
            ("foo", "5", "Unknown group config name: foo"),
            (
                "consumer.session.timeout.ms",
                "5",
                "consumer.session.timeout.ms must be greater than or equal to \
                 group.consumer.min.session.timeout.ms",
            ),
            (
                "consumer.session.timeout.ms",
                "70000",
                "consumer.session.timeout.ms must be less than or equal to \
                 group.consumer.max.session.timeout.ms",
            ),
            (
                "consumer.heartbeat.interval.ms",
                "soon",
                "Invalid value soon for configuration consumer.heartbeat.interval.ms: Not a \
                 number of type INT",
            ),
            (
                "share.record.lock.duration.ms",
                "2000",
                "share.record.lock.duration.ms must be greater than or equal to \
                 group.share.min.record.lock.duration.ms",
            ),
            (
                "share.record.lock.duration.ms",
                "1",
                "Invalid value 1 for configuration share.record.lock.duration.ms: Value must be \
                 at least 1000",
            ),
            (
                "share.isolation.level",
                "READ_COMMITTED",
                "Invalid value READ_COMMITTED for configuration share.isolation.level: String \
                 must be one of: read_committed, read_uncommitted",
            ),
            (
                "share.auto.offset.reset",
                "none",
                "Invalid value none for configuration share.auto.offset.reset: Invalid value \
                 `none` for configuration share.auto.offset.reset. The value must be either \
                 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.",
            ),
        ];
        for (name, value, wanted) in table {
            assert_eq!(check(&[(name, value)]), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_set() {
        let set = |text: &str| BTreeMap::from([("consumer.session.timeout.ms", text.to_owned())]);
        assert_eq!(own(CONSUMER_SESSION_TIMEOUT_MS, &set("50000")), Some(50_000));
        assert_eq!(own(CONSUMER_SESSION_TIMEOUT_MS, &set("x")), None);
        assert_eq!(own(CONSUMER_HEARTBEAT_INTERVAL_MS, &set("50000")), None);
    }
}

//! A group's own configuration (KIP-848, KIP-1142): what one group sets above what its brokers say.

use std::collections::BTreeMap;

use crate::keys::keys;
use crate::spec::Check::AtLeast;
use crate::spec::{Kind, Spec};
use crate::values::Values;

keys! {
    /// How often the group's members send heartbeats, in milliseconds.
    CONSUMER_HEARTBEAT_INTERVAL_MS: i32 = "consumer.heartbeat.interval.ms", None, AtLeast(1),
        Group, ClusterWide, Medium, from "group.consumer.heartbeat.interval.ms" * 1;
    /// How long a member of the group may be silent, in milliseconds.
    CONSUMER_SESSION_TIMEOUT_MS: i32 = "consumer.session.timeout.ms", None, AtLeast(1),
        Group, ClusterWide, Medium, from "group.consumer.session.timeout.ms" * 1;
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
        let number = number(spec, text)?;
        numbers.insert(spec.name, number);
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
    let (session, heartbeat) = (CONSUMER_SESSION_TIMEOUT_MS, CONSUMER_HEARTBEAT_INTERVAL_MS);
    if of(session.spec()) <= of(heartbeat.spec()) {
        return Err(format!("{} must be greater than {}", session.name(), heartbeat.name()));
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

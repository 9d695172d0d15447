//! A subscription to the metrics of clients (KIP-714): which clients push which metrics how often.

use crate::keys::keys;
use crate::spec::Check::{Any, Within};
use crate::spec::Spec;

/// The shortest interval at which clients push, in milliseconds.
const INTERVAL_MIN_MS: i64 = 100;
/// The longest interval, in milliseconds.
const INTERVAL_MAX_MS: i64 = 3_600_000;

/// By what a client can be chosen.
pub const SELECTORS: &[&str] = &[
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

keys! {
    /// How often the chosen clients push, in milliseconds.
    INTERVAL_MS: i32 = "interval.ms", Some("300000"), Within(INTERVAL_MIN_MS, INTERVAL_MAX_MS),
        Subscription, ClusterWide, Medium;
    /// Which clients are chosen: `selector=regular expression`, separated by commas, all of which
    /// must fit; every client if there is none.
    MATCH: Vec<String> = "match", Some(""), Any, Subscription, ClusterWide, Medium;
    /// What the names of the metrics begin with, separated by commas; `*` for all of them.
    METRICS: Vec<String> = "metrics", Some(""), Any, Subscription, ClusterWide, Medium;
}

/// Every row of the table, by name.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    ROWS.iter().copied()
}

/// The row of a key, if the table has it.
pub fn find(name: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.name == name)
}

/// Why a subscription is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionError {
    /// Kafka answers INVALID_REQUEST.
    Request(String),
    /// Kafka answers INVALID_CONFIG.
    Config(String),
}

/// Checks what a subscription says.
///
/// # Errors
/// Kafka's sentence on the first setting that is unknown or not allowed.
pub fn validate<'a>(
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), SubscriptionError> {
    use SubscriptionError::{Config, Request};
    for (name, text) in settings {
        if find(name).is_none() {
            return Err(Request(format!("Unknown client metrics configuration: {name}")));
        }
        if name == INTERVAL_MS.name() {
            let number = crate::group::number(INTERVAL_MS.spec(), text).map_err(Config)?;
            if !(INTERVAL_MIN_MS..=INTERVAL_MAX_MS).contains(&number) {
                return Err(Request(format!(
                    "Invalid value {text} for interval.ms, interval must be between \
                     {INTERVAL_MIN_MS} and {INTERVAL_MAX_MS} (1 hour)"
                )));
            }
        }
        if name == MATCH.name() {
            selectors(text).map_err(Config)?;
        }
    }
    Ok(())
}

/// The selectors of a subscription, with the text of the expression that each must fit.
///
/// # Errors
/// Kafka's sentence on the first that is none.
pub fn selectors(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let pair = part.split_once('=').map(|(name, regex)| (name.trim(), regex.trim()));
            let pair = pair.filter(|(name, _)| SELECTORS.contains(name));
            pair.ok_or_else(|| format!("Illegal client matching pattern: {part}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_refuses_is_refused_in_its_words() {
        use SubscriptionError::{Config, Request};
        let check = |name, text| validate([(name, text)]);
        assert_eq!(check("interval.ms", "30000"), Ok(()));
        assert_eq!(check("match", "client_id=a.*,client_software_name=x"), Ok(()));
        assert_eq!(
            check("interval.ms", "5"),
            Err(Request(
                "Invalid value 5 for interval.ms, interval must be between 100 and 3600000 (1 \
                 hour)"
                    .to_owned()
            ))
        );
        let text = "Invalid value x for configuration interval.ms: Not a number of type INT";
        assert_eq!(check("interval.ms", "x"), Err(Config(text.to_owned())));
        let text = "Unknown client metrics configuration: foo";
        assert_eq!(check("foo", "1"), Err(Request(text.to_owned())));
        let text = "Illegal client matching pattern: client_id";
        assert_eq!(check("match", "client_id"), Err(Config(text.to_owned())));
    }
}

//! What a share group's own configuration comes to (KIP-932).

use std::collections::BTreeMap;

use super::own;
use crate::key::Key;
use crate::keys as of;
use crate::values::Values;

/// Where a share group begins with a partition (`share.auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareReset {
    /// At the end.
    Latest,
    /// At the first record.
    Earliest,
    /// At the first record not older than this, in milliseconds.
    ByDuration(i64),
}

/// A share group's configuration, typed and complete. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSettings {
    /// `share.auto.offset.reset`.
    pub auto_offset_reset: ShareReset,
    /// `share.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// Whether `share.isolation.level` is `read_committed`.
    pub read_committed: bool,
    /// `share.record.lock.duration.ms`.
    pub record_lock_duration_ms: i32,
    /// `share.session.timeout.ms`.
    pub session_timeout_ms: i32,
}

impl ShareSettings {
    /// The configuration of a group with these settings of its own, on a broker with these values.
    ///
    /// A setting that cannot be read counts as not set, and one beyond the brokers' bounds as the
    /// bound: those of the coordinators, which checked it, may have been others.
    pub fn resolve(
        values: &Values,
        overrides: &BTreeMap<impl AsRef<str> + Ord, impl AsRef<str>>,
    ) -> Self {
        let text = |key: Key<String>| {
            let set = overrides.iter().find(|(name, _)| name.as_ref() == key.name());
            set.map(|(_, text)| text.as_ref())
        };
        let within = |key: Key<i32>, inherited: Key<i32>, min: Key<i32>, max: Key<i32>| {
            let value = own(key, overrides).unwrap_or_else(|| values.get(inherited));
            value.max(values.get(min)).min(values.get(max))
        };
        Self {
            auto_offset_reset: text(super::SHARE_AUTO_OFFSET_RESET)
                .and_then(reset)
                .unwrap_or(ShareReset::Latest),
            heartbeat_interval_ms: within(
                super::SHARE_HEARTBEAT_INTERVAL_MS,
                of::GROUP_SHARE_HEARTBEAT_INTERVAL_MS,
                of::GROUP_SHARE_MIN_HEARTBEAT_INTERVAL_MS,
                of::GROUP_SHARE_MAX_HEARTBEAT_INTERVAL_MS,
            ),
            read_committed: text(super::SHARE_ISOLATION_LEVEL) == Some("read_committed"),
            record_lock_duration_ms: within(
                super::SHARE_RECORD_LOCK_DURATION_MS,
                of::GROUP_SHARE_RECORD_LOCK_DURATION_MS,
                of::GROUP_SHARE_MIN_RECORD_LOCK_DURATION_MS,
                of::GROUP_SHARE_MAX_RECORD_LOCK_DURATION_MS,
            ),
            session_timeout_ms: within(
                super::SHARE_SESSION_TIMEOUT_MS,
                of::GROUP_SHARE_SESSION_TIMEOUT_MS,
                of::GROUP_SHARE_MIN_SESSION_TIMEOUT_MS,
                of::GROUP_SHARE_MAX_SESSION_TIMEOUT_MS,
            ),
        }
    }
}

/// Checks a value of `share.auto.offset.reset`, with Kafka's sentence.
pub(super) fn check_reset(text: &str) -> Result<(), String> {
    let sentence = || {
        format!(
            "Invalid value `{text}` for configuration share.auto.offset.reset. The value must be \
             either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
        )
    };
    reset(text).map(|_| ()).ok_or_else(sentence)
}

fn reset(text: &str) -> Option<ShareReset> {
    match text {
        "latest" => Some(ShareReset::Latest),
        "earliest" => Some(ShareReset::Earliest),
        _ => {
            let lower = text.strip_prefix("by_duration:")?.to_ascii_lowercase();
            duration_ms(&lower).map(ShareReset::ByDuration)
        }
    }
}

/// A duration as Java's `Duration` reads it (`p1dt2h3m4.5s`, in lower case), in milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let (days, time) = match text.strip_prefix('p')?.split_once('t') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (text.strip_prefix('p')?, ""),
    };
    let mut total = 0f64;
    let mut parts = 0;
    let mut take = |text: &str, units: &[(char, f64)]| -> Option<()> {
        let mut rest = text;
        for (unit, ms) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                let whole = *unit == 's' || number.parse::<i64>().is_ok();
                total += number.parse::<f64>().ok().filter(|n| whole && *n >= 0.0)? * ms;
                parts += 1;
                rest = after;
            }
        }
        rest.is_empty().then_some(())
    };
    take(days, &[('d', 86_400_000.0)])?;
    take(time, &[('h', 3_600_000.0), ('m', 60_000.0), ('s', 1000.0)])?;
    (parts > 0 && total <= i64::MAX as f64 / 2.0).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin_are_read_as_kafka_reads_them() {
        assert_eq!(reset("latest"), Some(ShareReset::Latest));
        assert_eq!(reset("earliest"), Some(ShareReset::Earliest));
        assert_eq!(reset("by_duration:PT1H30M"), Some(ShareReset::ByDuration(5_400_000)));
        assert_eq!(reset("by_duration:P2DT0.5S"), Some(ShareReset::ByDuration(172_800_500)));
        for text in [
            "EARLIEST",
            "none",
            "by_duration:",
            "by_duration:P",
            "by_duration:PT",
            "by_duration:P1H",
            "by_duration:PT-1H",
            "by_duration:1d",
        ] {
            assert!(check_reset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_group_sets_counts_within_the_brokers_bounds() {
        let of = |set: &[(&str, &str)]| {
            let set: BTreeMap<&str, &str> = set.iter().copied().collect();
            ShareSettings::resolve(&Values::default(), &set)
        };
        let plain = of(&[]);
        assert_eq!(plain.record_lock_duration_ms, 30_000);
        assert_eq!(plain.auto_offset_reset, ShareReset::Latest);
        let own = of(&[
            ("share.record.lock.duration.ms", "20000"),
            ("share.isolation.level", "x"),
            ("share.auto.offset.reset", "earliest"),
        ]);
        assert_eq!(own.record_lock_duration_ms, 20_000);
        assert!(!own.read_committed);
        assert_eq!(own.auto_offset_reset, ShareReset::Earliest);
        assert_eq!(
            of(&[("share.record.lock.duration.ms", "2000")]).record_lock_duration_ms,
            15_000
        );
    }
}

//! A topic's configuration: what it sets itself above what its brokers say.

use std::collections::BTreeMap;

use crate::key::{FromValue, Key};
use crate::spec::Spec;
use crate::value::Value;
use crate::values::Values;

pub mod keys;

#[cfg(test)]
mod tests;

/// The values of `compression.type`.
pub(crate) const COMPRESSIONS: &[&str] =
    &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// What `log.cleanup.policy` allows, for a person.
pub(crate) const CLEANUP_POLICY_FORM: &str = "delete, compact, or both separated by a comma";

/// The longest name of a topic, in bytes: with `-` and a partition's number it must fit a file
/// name.
pub const MAX_NAME_BYTES: usize = 249;

/// What happens to old records (`cleanup.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Segments are deleted by age and size.
    pub delete: bool,
    /// Of records with the same key, the last is kept.
    pub compact: bool,
}

/// How batches are compressed on disk (`compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer did.
    Producer,
    /// Not at all.
    Uncompressed,
    /// By gzip.
    Gzip,
    /// By Snappy.
    Snappy,
    /// By LZ4.
    Lz4,
    /// By Zstandard.
    Zstd,
}

/// Whose time a record carries (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// Its producer's.
    CreateTime,
    /// The broker's at the append.
    LogAppendTime,
}

/// A topic's configuration, typed and complete. Times are in milliseconds, sizes in bytes, and −1
/// is "no limit", as in Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `compression.gzip.level`.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `flush.messages`; `i64::MAX` is never.
    pub flush_messages: i64,
    /// `flush.ms`; `i64::MAX` is never.
    pub flush_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: i32,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`.
    pub max_message_bytes: i32,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `preallocate`.
    pub preallocate: bool,
    /// `retention.bytes`.
    pub retention_bytes: i64,
    /// `retention.ms`.
    pub retention_ms: i64,
    /// `segment.bytes`.
    pub segment_bytes: i32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: i32,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// The configuration of a topic with these settings of its own, on a node with these values.
    ///
    /// A setting that cannot be read (a newer node may have written it) counts as not set.
    pub fn resolve<K: AsRef<str>, V: AsRef<str>>(
        values: &Values,
        overrides: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut own = BTreeMap::new();
        for (name, text) in overrides {
            if let Some(spec) = keys::find(name.as_ref())
                && let Ok(value) = spec.parse(text.as_ref())
            {
                own.insert(spec.name, value);
            }
        }
        let resolver = Resolver { values, own };
        Self {
            cleanup_policy: cleanup_policy(&resolver.get(keys::CLEANUP_POLICY)),
            compression_type: compression_type(&resolver.get(keys::COMPRESSION_TYPE)),
            compression_gzip_level: resolver.get(keys::COMPRESSION_GZIP_LEVEL),
            compression_lz4_level: resolver.get(keys::COMPRESSION_LZ4_LEVEL),
            compression_zstd_level: resolver.get(keys::COMPRESSION_ZSTD_LEVEL),
            delete_retention_ms: resolver.get(keys::DELETE_RETENTION_MS),
            file_delete_delay_ms: resolver.get(keys::FILE_DELETE_DELAY_MS),
            flush_messages: resolver.get(keys::FLUSH_MESSAGES),
            flush_ms: resolver.get(keys::FLUSH_MS),
            index_interval_bytes: resolver.get(keys::INDEX_INTERVAL_BYTES),
            max_compaction_lag_ms: resolver.get(keys::MAX_COMPACTION_LAG_MS),
            max_message_bytes: resolver.get(keys::MAX_MESSAGE_BYTES),
            message_timestamp_after_max_ms: resolver.get(keys::MESSAGE_TIMESTAMP_AFTER_MAX_MS),
            message_timestamp_before_max_ms: resolver.get(keys::MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
            message_timestamp_type: timestamp_type(&resolver.get(keys::MESSAGE_TIMESTAMP_TYPE)),
            min_cleanable_dirty_ratio: resolver.get(keys::MIN_CLEANABLE_DIRTY_RATIO),
            min_compaction_lag_ms: resolver.get(keys::MIN_COMPACTION_LAG_MS),
            min_insync_replicas: resolver.get(keys::MIN_INSYNC_REPLICAS),
            preallocate: resolver.get(keys::PREALLOCATE),
            retention_bytes: resolver.get(keys::RETENTION_BYTES),
            retention_ms: resolver.get(keys::RETENTION_MS),
            segment_bytes: resolver.get(keys::SEGMENT_BYTES),
            segment_index_bytes: resolver.get(keys::SEGMENT_INDEX_BYTES),
            segment_jitter_ms: resolver.get(keys::SEGMENT_JITTER_MS),
            segment_ms: resolver.get(keys::SEGMENT_MS),
            unclean_leader_election_enable: resolver.get(keys::UNCLEAN_LEADER_ELECTION_ENABLE),
        }
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self::resolve(&Values::default(), std::iter::empty::<(&str, &str)>())
    }
}

struct Resolver<'a> {
    values: &'a Values,
    own: BTreeMap<&'static str, Value>,
}

impl Resolver<'_> {
    fn get<T: FromValue>(&self, key: Key<T>) -> T {
        let value = match self.own.get(key.name()) {
            Some(value) => value.clone(),
            None => self.values.inherited(key.spec()),
        };
        T::from_value(&value).expect("a topic's key has the type of its brokers' key")
    }
}

impl Values {
    /// The value of a topic's key where the topic itself sets none.
    pub(crate) fn inherited(&self, spec: &Spec) -> Value {
        let broker = spec.fallbacks.first().and_then(|from| crate::keys::find(from.key));
        broker.map_or_else(|| spec.default_value(), |broker| self.value(broker))
    }
}

/// The default of a topic's key, whatever brokers say: its own, or that of the brokers' key that
/// stands in for it.
pub fn default_of(spec: &Spec) -> Value {
    let broker = spec.fallbacks.first().filter(|_| spec.default.is_none());
    let broker = broker.and_then(|from| crate::keys::find(from.key));
    broker.unwrap_or(spec).default_value()
}

fn cleanup_policy(names: &[String]) -> CleanupPolicy {
    let has = |name: &str| names.iter().any(|other| other == name);
    CleanupPolicy { delete: has("delete"), compact: has("compact") }
}

fn compression_type(name: &str) -> CompressionType {
    match name {
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip,
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4,
        "zstd" => CompressionType::Zstd,
        _ => CompressionType::Producer,
    }
}

fn timestamp_type(name: &str) -> TimestampType {
    match name {
        "LogAppendTime" => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    }
}

/// A topic's setting that is refused, with INVALID_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct TopicConfigError {
    /// The key.
    pub key: String,
    /// What is wrong and what to do.
    pub what: String,
}

/// Checks what a topic would set for itself.
///
/// # Errors
/// [`TopicConfigError`] with the first setting that is unknown or not allowed.
pub fn validate<K: AsRef<str>, V: AsRef<str>>(
    overrides: impl IntoIterator<Item = (K, V)>,
) -> Result<(), TopicConfigError> {
    validate_on(&Values::default(), overrides)
}

/// As [`validate`], where nodes with these values say what the topic does not.
///
/// # Errors
/// As [`validate`].
pub fn validate_on<K: AsRef<str>, V: AsRef<str>>(
    values: &Values,
    overrides: impl IntoIterator<Item = (K, V)>,
) -> Result<(), TopicConfigError> {
    let inherited = |spec, otherwise| values.inherited(spec).as_integer().unwrap_or(otherwise);
    let (min, max) = (keys::MIN_COMPACTION_LAG_MS, keys::MAX_COMPACTION_LAG_MS);
    let mut lags = (inherited(min.spec(), 0), inherited(max.spec(), i64::MAX));
    for (name, text) in overrides {
        let (name, text) = (name.as_ref(), text.as_ref());
        let refused = |what: String| TopicConfigError { key: name.to_owned(), what };
        let Some(spec) = keys::find(name) else {
            if crate::foreign::is_harmless_for_topics(name, text) {
                continue;
            }
            return Err(refused(crate::foreign::unknown_topic_key(name)));
        };
        let value =
            spec.parse(text).map_err(|bad| refused(format!("`{text}` cannot be used: {bad}")))?;
        match spec.name {
            "min.compaction.lag.ms" => lags.0 = value.as_integer().unwrap_or(lags.0),
            "max.compaction.lag.ms" => lags.1 = value.as_integer().unwrap_or(lags.1),
            _ => {}
        }
    }
    if lags.0 > lags.1 {
        let what = format!("{} must not exceed {}, {}", lags.0, max.name(), lags.1);
        return Err(TopicConfigError { key: min.name().to_owned(), what });
    }
    Ok(())
}

/// Checks a cleanup policy: Kafka's names.
pub(crate) fn check_cleanup_policy(text: &str) -> Result<(), String> {
    let mut policy = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    match policy.find(|name| !matches!(*name, "delete" | "compact")) {
        Some(other) => Err(format!("`{other}` is no cleanup policy")),
        None => Ok(()),
    }
}

/// Checks a list of throttled replicas (KIP-73).
pub(crate) fn check_throttled(text: &str) -> Result<(), String> {
    if text == "*" {
        return Ok(());
    }
    for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        let pair = element.split_once(':');
        let fits = pair.is_some_and(|(partition, broker)| {
            partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok()
        });
        if !fits {
            return Err(format!("`{element}` is not partition:broker"));
        }
    }
    Ok(())
}

/// Checks the name of a topic.
///
/// # Errors
/// Kafka's sentence that says what is wrong; it answers INVALID_TOPIC_EXCEPTION.
pub fn check_name(name: &str) -> Result<(), String> {
    let what = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > MAX_NAME_BYTES {
        format!("the length of '{name}' is longer than the max allowed length {MAX_NAME_BYTES}")
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' \
             and '-'"
        )
    } else {
        return Ok(());
    };
    Err(format!("Topic name is invalid: {what}"))
}

//! A topic's configuration as its partitions use it.

use vltava_config::topic::{CompressionType, TimestampType, TopicConfig};
use vltava_config::{Values, keys};
use vltava_log::LogConfig;
use vltava_wire::batch;
use vltava_wire::compression::Compression;

use super::recompress::Wanted;
use crate::metadata::topic::is_internal;

/// When what was appended is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// At once, and nothing is acknowledged before (`flush.messages` = 1).
    Each,
    /// After so many records, or after `flush.ms`; acknowledgements do not wait.
    After {
        /// Records.
        records: i64,
        /// Milliseconds.
        ms: i64,
    },
}

/// A topic's configuration as its partitions use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What the log needs.
    pub log: LogConfig,
    /// When to sync.
    pub flush: FlushPolicy,
    /// `min.insync.replicas`, as it was set.
    pub min_insync_replicas: i32,
    /// What batches are compressed with; `None` keeps what the producer chose.
    pub compression: Option<Wanted>,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// Whether people may delete records: not where they stand for their keys alone, as
    /// `cleanup.policy` has `compact` without `delete`.
    pub deletes: bool,
}

impl Settings {
    /// The settings of a topic's partitions.
    ///
    /// Retention never touches internal topics, nor what is compacted and not deleted, too: their
    /// records are the only copy of what they say.
    pub fn of(topic: &str, config: &TopicConfig, values: &Values) -> Self {
        let keeps_all = is_internal(topic) || !config.cleanup_policy.delete;
        let retention = |limit| if keeps_all { -1 } else { limit };
        let bytes = |number: i32| u32::try_from(number).unwrap_or(0);
        let log = LogConfig {
            segment_bytes: bytes(config.segment_bytes),
            segment_ms: config.segment_ms,
            segment_index_bytes: bytes(config.segment_index_bytes),
            index_interval_bytes: bytes(config.index_interval_bytes),
            max_message_bytes: bytes(config.max_message_bytes),
            timestamp_type: match config.message_timestamp_type {
                TimestampType::CreateTime => batch::TimestampType::CreateTime,
                TimestampType::LogAppendTime => batch::TimestampType::LogAppendTime,
            },
            timestamp_before_max_ms: config.message_timestamp_before_max_ms,
            timestamp_after_max_ms: config.message_timestamp_after_max_ms,
            retention_ms: retention(config.retention_ms),
            retention_bytes: retention(config.retention_bytes),
            compact: config.cleanup_policy.compact,
            min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
            min_compaction_lag_ms: config.min_compaction_lag_ms,
            max_compaction_lag_ms: config.max_compaction_lag_ms,
            delete_retention_ms: config.delete_retention_ms,
            producer_id_expiration_ms: values.get(keys::PRODUCER_ID_EXPIRATION_MS).into(),
            ..LogConfig::default()
        };
        let flush = match config.flush_messages {
            ..=1 => FlushPolicy::Each,
            records => FlushPolicy::After { records, ms: config.flush_ms },
        };
        Self {
            log,
            flush,
            min_insync_replicas: config.min_insync_replicas,
            compression: compression(config),
            segment_jitter_ms: config.segment_jitter_ms,
            deletes: config.cleanup_policy.delete || !config.cleanup_policy.compact,
        }
    }
}

impl Settings {
    /// The settings of one of the topic's partitions, whose segments roll earlier than those of
    /// others: `random` is a part of the longest time by which they do, 0 to 1.
    #[must_use]
    pub fn jittered(mut self, random: f64) -> Self {
        let jitter = self.segment_jitter_ms.clamp(0, self.log.segment_ms - 1);
        self.log.segment_ms -= (jitter as f64 * random.clamp(0.0, 1.0)) as i64;
        self
    }
}

/// What a topic wants its batches compressed with.
fn compression(config: &TopicConfig) -> Option<Wanted> {
    let (codec, level) = match config.compression_type {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => (Compression::None, None),
        CompressionType::Gzip => (Compression::Gzip, Some(config.compression_gzip_level)),
        CompressionType::Snappy => (Compression::Snappy, None),
        CompressionType::Lz4 => (Compression::Lz4, None),
        CompressionType::Zstd => (Compression::Zstd, Some(config.compression_zstd_level)),
    };
    Some(Wanted { codec, level })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_stand_for_their_keys_alone_are_kept_from_people() {
        let deletes = |policy| {
            let values = Values::default();
            let config = TopicConfig::resolve(&values, [("cleanup.policy", policy)]);
            Settings::of("orders", &config, &values).deletes
        };
        let policies = ["compact", "delete", "compact,delete", ""];
        assert_eq!(policies.map(deletes), [false, true, true, true]);
    }

    #[test]
    fn segments_roll_earlier_by_the_jitter_at_most() {
        let of = |pairs: &[(&str, &str)]| {
            let values = Values::default();
            let config = TopicConfig::resolve(&values, pairs.iter().copied());
            Settings::of("orders", &config, &values)
        };
        let settings = of(&[("segment.ms", "1000"), ("segment.jitter.ms", "400")]);
        let rolls = |random| settings.jittered(random).log.segment_ms;
        assert_eq!((rolls(0.0), rolls(0.5), rolls(1.0)), (1000, 800, 600));
        let all = of(&[("segment.ms", "1000"), ("segment.jitter.ms", "5000")]);
        assert_eq!(all.jittered(1.0).log.segment_ms, 1, "a segment lasts a moment at least");
    }
}

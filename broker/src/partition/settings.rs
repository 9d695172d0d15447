//! A topic's configuration as its partitions use it.

use vltava_config::topic::{CompressionType, TimestampType, TopicConfig};
use vltava_config::{Values, keys};
use vltava_log::LogConfig;
use vltava_wire::batch;
use vltava_wire::compression::Compression;

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
    pub compression: Option<Compression>,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
}

impl Settings {
    /// The settings of a topic's partitions.
    ///
    /// Retention never touches internal topics, nor what should be compacted: their records are
    /// the only copy of what they say.
    pub fn of(topic: &str, config: &TopicConfig, values: &Values) -> Self {
        let keeps_all = is_internal(topic) || config.cleanup_policy.compact;
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
            compression: match config.compression_type {
                CompressionType::Producer => None,
                CompressionType::Uncompressed => Some(Compression::None),
                CompressionType::Gzip => Some(Compression::Gzip),
                CompressionType::Snappy => Some(Compression::Snappy),
                CompressionType::Lz4 => Some(Compression::Lz4),
                CompressionType::Zstd => Some(Compression::Zstd),
            },
            file_delete_delay_ms: config.file_delete_delay_ms,
        }
    }
}

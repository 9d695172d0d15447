//! What can be set for a log; Kafka's topic configuration, as far as a log needs it.

use vltava_wire::batch::TimestampType;

/// The settings of one log. The defaults are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is not grown beyond this, in bytes.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment takes batches of a span of at most this, in ms.
    pub segment_ms: i64,
    /// `segment.index.bytes`: an index is not grown beyond this, in bytes.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: an index entry is made about every so many bytes.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: the largest batch that a leader takes, in bytes.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`: whose clock the timestamps are from.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie in the past, in ms.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie in the future, in ms.
    pub timestamp_after_max_ms: i64,
    /// `retention.ms`: older segments are deleted; −1 keeps them.
    pub retention_ms: i64,
    /// `retention.bytes`: the oldest segments beyond this size are deleted; −1 keeps them.
    pub retention_bytes: i64,
    /// `cleanup.policy` has `compact`: of the records with one key the last is kept, so that each
    /// record must have a key.
    pub compact: bool,
    /// `min.cleanable.dirty.ratio`: the share of dirty bytes, 0 to 1, beyond which a log is
    /// cleaned.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: a record is not cleaned before this time has passed, in ms.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a record does not stay uncleaned for longer, in ms.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: a tombstone stays for so long once it is all that is left of its key,
    /// in ms.
    pub delete_retention_ms: i64,
    /// `producer.id.expiration.ms`: a producer that is silent for so long is forgotten.
    pub producer_id_expiration_ms: i64,
    /// A snapshot of the producers is taken about every so many flushed bytes, besides the one
    /// at the start of each segment: it bounds what opening after an unclean stop replays.
    pub producer_snapshot_interval_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3600 * 1000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: (1 << 20) + 12,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3600 * 1000,
            retention_ms: 7 * 24 * 3600 * 1000,
            retention_bytes: -1,
            compact: false,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 3600 * 1000,
            producer_id_expiration_ms: 24 * 3600 * 1000,
            producer_snapshot_interval_bytes: 64 << 20,
        }
    }
}

impl LogConfig {
    /// How long a segment takes batches, in ms: a compacted log must let go of a segment before the
    /// records in it have waited too long.
    pub(crate) fn rolls_after_ms(&self) -> i64 {
        match self.compact {
            true => self.segment_ms.min(self.max_compaction_lag_ms),
            false => self.segment_ms,
        }
    }
}

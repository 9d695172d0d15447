//! The table of topic keys: what a topic may set for itself.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{COMPRESSIONS, check_throttled};
use crate::keys::keys;
use crate::spec::Check::{Any, AtLeast, Form, Fraction, OneOf, Within, WithinOr};
use crate::spec::Spec;

keys! {
    /// What happens to old records: `delete` deletes whole segments by age and size, `compact`
    /// keeps the last record of each key. With both, what is compacted is deleted, too.
    CLEANUP_POLICY: Vec<String> = "cleanup.policy", None, OneOf(&["compact", "delete"]),
        Topic, ClusterWide, Medium, from "log.cleanup.policy" * 1;
    /// How batches are compressed on disk; `producer` keeps what the producer chose.
    COMPRESSION_TYPE: String = "compression.type", None, OneOf(COMPRESSIONS),
        Topic, ClusterWide, Medium, from "compression.type" * 1;
    /// How hard gzip works where the broker compresses: 1 to 9, −1 for gzip's own default.
    COMPRESSION_GZIP_LEVEL: i32 = "compression.gzip.level", None, WithinOr(1, 9, -1),
        Topic, ClusterWide, Medium, from "compression.gzip.level" * 1;
    /// How hard LZ4 works where the broker compresses: 1 to 17. (It changes nothing: there
    /// is one level here.)
    COMPRESSION_LZ4_LEVEL: i32 = "compression.lz4.level", None, Within(1, 17),
        Topic, ClusterWide, Medium, from "compression.lz4.level" * 1;
    /// How hard Zstandard works where the broker compresses: −131072 to 22.
    COMPRESSION_ZSTD_LEVEL: i32 = "compression.zstd.level", None, Within(-131_072, 22),
        Topic, ClusterWide, Medium, from "compression.zstd.level" * 1;
    /// How long a compacted log keeps the mark of a deleted key, in milliseconds, once that
    /// mark is all that is left of the key.
    DELETE_RETENTION_MS: i64 = "delete.retention.ms", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.cleaner.delete.retention.ms" * 1;
    /// How long the files of a deleted segment stay on disk, in milliseconds. (It changes nothing:
    /// they are deleted at once, and who reads them keeps them until it is done.)
    FILE_DELETE_DELAY_MS: i64 = "file.delete.delay.ms", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.segment.delete.delay.ms" * 1;
    /// After how many records the log is synced to disk. 1 means that an acknowledged record is on
    /// the disks of the replicas that acknowledged it. (Kafka's default is never.)
    FLUSH_MESSAGES: i64 = "flush.messages", None, AtLeast(1),
        Topic, ClusterWide, Medium, from "log.flush.interval.messages" * 1;
    /// How long a record may wait to be synced to disk, in milliseconds.
    FLUSH_MS: i64 = "flush.ms", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.flush.interval.ms" * 1;
    /// Which followers are throttled while replicas move: `partition:broker`, separated by
    /// commas, or `*`. `follower.replication.throttled.rate` of the brokers says how much.
    FOLLOWER_REPLICATION_THROTTLED_REPLICAS: Vec<String> =
        "follower.replication.throttled.replicas", Some(""),
        Form(check_throttled, "partition:broker, separated by commas, or *"),
        Topic, ClusterWide, Medium;
    /// How many bytes of records lie between two entries of an index.
    INDEX_INTERVAL_BYTES: i32 = "index.interval.bytes", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.index.interval.bytes" * 1;
    /// Which leaders are throttled while replicas move: `partition:broker`, separated by commas, or
    /// `*`. `leader.replication.throttled.rate` of the brokers says how much.
    LEADER_REPLICATION_THROTTLED_REPLICAS: Vec<String> =
        "leader.replication.throttled.replicas", Some(""),
        Form(check_throttled, "partition:broker, separated by commas, or *"),
        Topic, ClusterWide, Medium;
    /// How long a record may wait to be compacted, in milliseconds: the log is compacted then
    /// however clean it is, and begins a new segment in time.
    MAX_COMPACTION_LAG_MS: i64 = "max.compaction.lag.ms", None, AtLeast(1),
        Topic, ClusterWide, Medium, from "log.cleaner.max.compaction.lag.ms" * 1;
    /// How large a batch of records may be, in bytes, as its producer compressed it.
    MAX_MESSAGE_BYTES: i32 = "max.message.bytes", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "message.max.bytes" * 1;
    /// How far a record's own time may lie after the broker's, in milliseconds.
    MESSAGE_TIMESTAMP_AFTER_MAX_MS: i64 = "message.timestamp.after.max.ms", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.message.timestamp.after.max.ms" * 1;
    /// How far a record's own time may lie before the broker's, in milliseconds.
    MESSAGE_TIMESTAMP_BEFORE_MAX_MS: i64 = "message.timestamp.before.max.ms", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.message.timestamp.before.max.ms" * 1;
    /// Whose time a record carries: its producer's (`CreateTime`) or the broker's
    /// (`LogAppendTime`).
    MESSAGE_TIMESTAMP_TYPE: String = "message.timestamp.type", None,
        OneOf(&["CreateTime", "LogAppendTime"]), Topic, ClusterWide, Medium,
        from "log.message.timestamp.type" * 1;
    /// The share of uncompacted bytes beyond which a log is compacted, 0 to 1.
    MIN_CLEANABLE_DIRTY_RATIO: f64 = "min.cleanable.dirty.ratio", None, Fraction(0.0, 1.0),
        Topic, ClusterWide, Medium, from "log.cleaner.min.cleanable.ratio" * 1;
    /// How long a record stays uncompacted at least, in milliseconds.
    MIN_COMPACTION_LAG_MS: i64 = "min.compaction.lag.ms", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.cleaner.min.compaction.lag.ms" * 1;
    /// How many replicas must have a record before a producer with `acks=all` hears that it was
    /// written.
    MIN_INSYNC_REPLICAS: i32 = "min.insync.replicas", None, AtLeast(1),
        Topic, ClusterWide, Medium, from "min.insync.replicas" * 1;
    /// Whether the space of a segment is reserved when it is made. (It changes nothing yet.)
    PREALLOCATE: bool = "preallocate", None, Any,
        Topic, ClusterWide, Medium, from "log.preallocate" * 1;
    /// How large a partition may become before its oldest segments are deleted, in bytes; −1 sets
    /// no limit.
    RETENTION_BYTES: i64 = "retention.bytes", None, AtLeast(-1),
        Topic, ClusterWide, Medium, from "log.retention.bytes" * 1;
    /// How long records are kept, in milliseconds; −1 keeps them for ever.
    RETENTION_MS: i64 = "retention.ms", None, AtLeast(-1),
        Topic, ClusterWide, Medium, from "log.retention.ms" * 1;
    /// The size at which a log rolls to a new segment, in bytes.
    SEGMENT_BYTES: i32 = "segment.bytes", None, AtLeast(1_048_576),
        Topic, ClusterWide, Medium, from "log.segment.bytes" * 1;
    /// How large the index of a segment may become, in bytes.
    SEGMENT_INDEX_BYTES: i32 = "segment.index.bytes", None, AtLeast(4),
        Topic, ClusterWide, Medium, from "log.index.size.max.bytes" * 1;
    /// The longest random time by which a roll comes earlier, in milliseconds.
    SEGMENT_JITTER_MS: i64 = "segment.jitter.ms", None, AtLeast(0),
        Topic, ClusterWide, Medium, from "log.roll.jitter.ms" * 1;
    /// The age at which a log rolls to a new segment, in milliseconds.
    SEGMENT_MS: i64 = "segment.ms", None, AtLeast(1),
        Topic, ClusterWide, Medium, from "log.roll.ms" * 1;
    /// Whether a replica that is not in sync may lead when no other can. What only the others had
    /// is then lost.
    UNCLEAN_LEADER_ELECTION_ENABLE: bool = "unclean.leader.election.enable", None, Any,
        Topic, ClusterWide, Medium, from "unclean.leader.election.enable" * 1;
}

/// Every row of the table.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    ROWS.iter().copied()
}

/// The row of a key, if the table has it.
pub fn find(name: &str) -> Option<&'static Spec> {
    static BY_NAME: OnceLock<BTreeMap<&'static str, &'static Spec>> = OnceLock::new();
    BY_NAME.get_or_init(|| all().map(|spec| (spec.name, spec)).collect()).get(name).copied()
}

//! Keys about the logs of partitions: the brokers' defaults for what a topic may set itself.

use crate::spec::Check::{Any, AtLeast, Form, Fraction, OneOf, Within, WithinOr};
use crate::topic::{self, COMPRESSIONS};

keys! {
    /// The size at which a log rolls to a new segment, in bytes.
    LOG_SEGMENT_BYTES: i32 = "log.segment.bytes", Some("1073741824"), AtLeast(1_048_576),
        Broker, ClusterWide, High;
    /// The age at which a log rolls to a new segment, in hours, where `log.roll.ms` is not set.
    LOG_ROLL_HOURS: i32 = "log.roll.hours", Some("168"), AtLeast(1), Broker, ReadOnly, High;
    /// The age at which a log rolls to a new segment, in milliseconds.
    LOG_ROLL_MS: i64 = "log.roll.ms", None, AtLeast(1), Broker, ClusterWide, High,
        from "log.roll.hours" * 3_600_000;
    /// The longest random time by which a roll comes earlier, in hours, where `log.roll.jitter.ms`
    /// is not set.
    LOG_ROLL_JITTER_HOURS: i32 = "log.roll.jitter.hours", Some("0"), AtLeast(0),
        Broker, ReadOnly, High;
    /// The longest random time by which a roll comes earlier, in milliseconds, so that logs do not
    /// all roll at once.
    LOG_ROLL_JITTER_MS: i64 = "log.roll.jitter.ms", None, AtLeast(0), Broker, ClusterWide, High,
        from "log.roll.jitter.hours" * 3_600_000;
    /// How long a log keeps its records, in hours, where `log.retention.minutes` and
    /// `log.retention.ms` are not set; −1 keeps them for ever.
    LOG_RETENTION_HOURS: i32 = "log.retention.hours", Some("168"), AtLeast(-1),
        Broker, ReadOnly, High;
    /// How long a log keeps its records, in minutes, where `log.retention.ms` is not set; −1 keeps
    /// them for ever.
    LOG_RETENTION_MINUTES: Option<i32> = "log.retention.minutes", None, AtLeast(-1),
        Broker, ReadOnly, High;
    /// How long a log keeps its records, in milliseconds; −1 keeps them for ever.
    LOG_RETENTION_MS: i64 = "log.retention.ms", None, AtLeast(-1), Broker, ClusterWide, High,
        from "log.retention.minutes" * 60_000, "log.retention.hours" * 3_600_000;
    /// How large the log of a partition may become before its oldest segments are deleted, in
    /// bytes; −1 sets no limit.
    LOG_RETENTION_BYTES: i64 = "log.retention.bytes", Some("-1"), AtLeast(-1),
        Broker, ClusterWide, High;
    /// How often logs are searched for segments to delete, in milliseconds.
    LOG_RETENTION_CHECK_INTERVAL_MS: i64 = "log.retention.check.interval.ms", Some("300000"),
        AtLeast(1), Broker, ReadOnly, Medium;
    /// What happens to old records: `delete` deletes whole segments by age and size, `compact`
    /// keeps the last record of each key.
    LOG_CLEANUP_POLICY: Vec<String> = "log.cleanup.policy", Some("delete"),
        Form(topic::check_cleanup_policy, topic::CLEANUP_POLICY_FORM), Broker, ClusterWide, Medium;
    /// How long a compacted log keeps the mark of a deleted key, in milliseconds, once that
    /// mark is all that is left of the key.
    LOG_CLEANER_DELETE_RETENTION_MS: i64 = "log.cleaner.delete.retention.ms", Some("86400000"),
        AtLeast(0), Broker, ClusterWide, Medium;
    /// How long a record stays uncompacted at least, in milliseconds.
    LOG_CLEANER_MIN_COMPACTION_LAG_MS: i64 = "log.cleaner.min.compaction.lag.ms", Some("0"),
        AtLeast(0), Broker, ClusterWide, Medium;
    /// How long a record may wait to be compacted, in milliseconds: the log is compacted then
    /// however clean it is, and begins a new segment in time.
    LOG_CLEANER_MAX_COMPACTION_LAG_MS: i64 = "log.cleaner.max.compaction.lag.ms",
        Some("9223372036854775807"), AtLeast(1), Broker, ClusterWide, Medium;
    /// The share of uncompacted bytes beyond which a log is compacted, 0 to 1.
    LOG_CLEANER_MIN_CLEANABLE_RATIO: f64 = "log.cleaner.min.cleanable.ratio", Some("0.5"),
        Fraction(0.0, 1.0), Broker, ClusterWide, Medium;
    /// How large the index of a segment may become, in bytes.
    LOG_INDEX_SIZE_MAX_BYTES: i32 = "log.index.size.max.bytes", Some("10485760"), AtLeast(4),
        Broker, ClusterWide, Medium;
    /// How many bytes of records lie between two entries of an index.
    LOG_INDEX_INTERVAL_BYTES: i32 = "log.index.interval.bytes", Some("4096"), AtLeast(0),
        Broker, ClusterWide, Medium;
    /// After how many records a log is synced to disk. 1 means that a record is on the disks of the
    /// replicas that acknowledge it before the producer hears of it. (Kafka's default is
    /// 9223372036854775807: never.) Coordinators are told the same: whether a broker that comes
    /// back without a clean shutdown may lack something hangs on it.
    LOG_FLUSH_INTERVAL_MESSAGES: i64 = "log.flush.interval.messages", Some("1"), AtLeast(1),
        Node, ClusterWide, High;
    /// How long a record may wait to be synced to disk, in milliseconds. Where it is not set
    /// it is `log.flush.scheduler.interval.ms`, so that time alone syncs nothing.
    LOG_FLUSH_INTERVAL_MS: i64 = "log.flush.interval.ms", None, AtLeast(0),
        Broker, ClusterWide, High, from "log.flush.scheduler.interval.ms" * 1;
    /// How often logs are searched for records that have waited too long to be synced, in
    /// milliseconds.
    LOG_FLUSH_SCHEDULER_INTERVAL_MS: i64 = "log.flush.scheduler.interval.ms",
        Some("9223372036854775807"), AtLeast(1), Broker, ReadOnly, High;
    /// How long the files of a deleted segment or partition stay on disk, in milliseconds. (It
    /// changes nothing: they are deleted at once, and who reads them keeps them until it is done.)
    LOG_SEGMENT_DELETE_DELAY_MS: i64 = "log.segment.delete.delay.ms", Some("60000"), AtLeast(0),
        Broker, ClusterWide, High;
    /// Whether the space of a segment is reserved when it is made. (It changes nothing yet.)
    LOG_PREALLOCATE: bool = "log.preallocate", Some("false"), Any, Broker, ClusterWide, Medium;
    /// Whose time a record carries: its producer's (`CreateTime`) or the broker's
    /// (`LogAppendTime`).
    LOG_MESSAGE_TIMESTAMP_TYPE: String = "log.message.timestamp.type", Some("CreateTime"),
        OneOf(&["CreateTime", "LogAppendTime"]), Broker, ClusterWide, Medium;
    /// How far a record's own time may lie before the broker's, in milliseconds.
    LOG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS: i64 = "log.message.timestamp.before.max.ms",
        Some("9223372036854775807"), AtLeast(0), Broker, ClusterWide, Medium;
    /// How far a record's own time may lie after the broker's, in milliseconds.
    LOG_MESSAGE_TIMESTAMP_AFTER_MAX_MS: i64 = "log.message.timestamp.after.max.ms",
        Some("3600000"), AtLeast(0), Broker, ClusterWide, Medium;
    /// How large a batch of records may be, in bytes, as its producer compressed it.
    MESSAGE_MAX_BYTES: i32 = "message.max.bytes", Some("1048588"), AtLeast(0),
        Broker, ClusterWide, High;
    /// How batches are compressed on disk; `producer` keeps what the producer chose.
    COMPRESSION_TYPE: String = "compression.type", Some("producer"), OneOf(COMPRESSIONS),
        Broker, ClusterWide, High;
    /// How hard gzip works where the broker compresses: 1 to 9, −1 for gzip's own default.
    COMPRESSION_GZIP_LEVEL: i32 = "compression.gzip.level", Some("-1"), WithinOr(1, 9, -1),
        Broker, ClusterWide, Medium;
    /// How hard LZ4 works where the broker compresses: 1 to 17. (It changes nothing: there
    /// is one level here.)
    COMPRESSION_LZ4_LEVEL: i32 = "compression.lz4.level", Some("9"), Within(1, 17),
        Broker, ClusterWide, Medium;
    /// How hard Zstandard works where the broker compresses: −131072 to 22.
    COMPRESSION_ZSTD_LEVEL: i32 = "compression.zstd.level", Some("3"), Within(-131_072, 22),
        Broker, ClusterWide, Medium;
}

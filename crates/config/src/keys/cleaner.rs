//! Keys of compaction, besides those that topics may set for themselves.

use crate::spec::Check::{Any, AtLeast, Fraction};

keys! {
    /// Whether compacted logs are cleaned at all. Without it the logs of groups and transactions
    /// grow for ever.
    LOG_CLEANER_ENABLE: bool = "log.cleaner.enable", Some("true"), Any, Broker, ReadOnly, Medium;
    /// How many threads clean compacted logs.
    LOG_CLEANER_THREADS: i32 = "log.cleaner.threads", Some("1"), AtLeast(0),
        Broker, ClusterWide, Medium;
    /// How long a thread waits when there is nothing to clean, in milliseconds.
    LOG_CLEANER_BACKOFF_MS: i64 = "log.cleaner.backoff.ms", Some("15000"), AtLeast(0),
        Broker, ClusterWide, Medium;
    /// How many bytes all threads together read and write in a second.
    LOG_CLEANER_IO_MAX_BYTES_PER_SECOND: f64 = "log.cleaner.io.max.bytes.per.second",
        Some("1.7976931348623157E308"), Any, Broker, ClusterWide, Medium;
    /// How many bytes of memory all threads together take for the keys that they have seen; 24 for
    /// each key.
    LOG_CLEANER_DEDUPE_BUFFER_SIZE: i64 = "log.cleaner.dedupe.buffer.size", Some("134217728"),
        AtLeast(0), Broker, ClusterWide, Medium;
    /// How full that memory may become, 0 to 1. Fuller is slower, and cleans more at once.
    LOG_CLEANER_IO_BUFFER_LOAD_FACTOR: f64 = "log.cleaner.io.buffer.load.factor", Some("0.9"),
        Fraction(0.0, 1.0), Broker, ClusterWide, Medium;
    /// How many bytes of memory all threads together take for reading and writing. (It changes
    /// nothing: each takes 1 MiB for each.)
    LOG_CLEANER_IO_BUFFER_SIZE: i32 = "log.cleaner.io.buffer.size", Some("524288"), AtLeast(0),
        Broker, ClusterWide, Medium;
}

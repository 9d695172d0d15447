//! Keys about how followers copy from leaders, and how consumers fetch.

use crate::spec::Check::{AtLeast, OneOf};

keys! {
    /// How many connections a broker opens to each leader that it copies from.
    NUM_REPLICA_FETCHERS: i32 = "num.replica.fetchers", Some("1"), AtLeast(1),
        Broker, ClusterWide, High;
    /// How many bytes of one partition a follower fetches at once. A first batch that is larger is
    /// fetched all the same.
    REPLICA_FETCH_MAX_BYTES: i32 = "replica.fetch.max.bytes", Some("1048576"), AtLeast(0),
        Broker, ReadOnly, Medium;
    /// How many bytes a follower fetches at once in all.
    REPLICA_FETCH_RESPONSE_MAX_BYTES: i32 = "replica.fetch.response.max.bytes", Some("10485760"),
        AtLeast(0), Broker, ReadOnly, Medium;
    /// How many bytes a leader waits for before it answers a follower.
    REPLICA_FETCH_MIN_BYTES: i32 = "replica.fetch.min.bytes", Some("1"), AtLeast(0),
        Broker, ReadOnly, High;
    /// How long a leader waits for records before it answers a follower, in milliseconds.
    REPLICA_FETCH_WAIT_MAX_MS: i32 = "replica.fetch.wait.max.ms", Some("500"), AtLeast(0),
        Broker, ReadOnly, High;
    /// How long a follower waits after a failed fetch, in milliseconds.
    REPLICA_FETCH_BACKOFF_MS: i32 = "replica.fetch.backoff.ms", Some("1000"), AtLeast(0),
        Broker, ReadOnly, Medium;
    /// How long a follower may lag behind before it counts as out of sync, in milliseconds.
    REPLICA_LAG_TIME_MAX_MS: i64 = "replica.lag.time.max.ms", Some("30000"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How long a follower waits for an answer of its leader, in milliseconds.
    REPLICA_SOCKET_TIMEOUT_MS: i32 = "replica.socket.timeout.ms", Some("30000"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How often the high watermarks of partitions are written down, in milliseconds.
    REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS: i64 =
        "replica.high.watermark.checkpoint.interval.ms", Some("5000"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How many bytes a second a leader serves to followers that are not in sync, of the replicas
    /// that `leader.replication.throttled.replicas` of their topics names (KIP-73).
    LEADER_REPLICATION_THROTTLED_RATE: i64 = "leader.replication.throttled.rate",
        Some("9223372036854775807"), AtLeast(0), Broker, ClusterWide, Medium;
    /// How many bytes a second a follower fetches of replicas that are not in sync, of those that
    /// `follower.replication.throttled.replicas` of their topics names (KIP-73).
    FOLLOWER_REPLICATION_THROTTLED_RATE: i64 = "follower.replication.throttled.rate",
        Some("9223372036854775807"), AtLeast(0), Broker, ClusterWide, Medium;
    /// How many bytes a second replicas take that move between log directories of the broker
    /// (KIP-113).
    REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND: i64 =
        "replica.alter.log.dirs.io.max.bytes.per.second",
        Some("9223372036854775807"), AtLeast(0), Broker, ClusterWide, Medium;
    /// Whether new replicas are kept off the broker (KIP-1066, Kafka 4.3): `*` for all of its log
    /// directories, which is all that can be said here; not set, none are. Set it on one broker at
    /// run time, before its replicas are moved away for good: what it holds stays and works on.
    CORDONED_LOG_DIRS: Vec<String> = "cordoned.log.dirs", Some(""), OneOf(&["*"]),
        Broker, PerBroker, Medium;
    /// Over how many windows of time the rate of throttled replication is taken.
    REPLICATION_QUOTA_WINDOW_NUM: i32 = "replication.quota.window.num", Some("11"), AtLeast(1),
        Broker, ReadOnly, Low;
    /// How long each of these windows is, in seconds.
    REPLICATION_QUOTA_WINDOW_SIZE_SECONDS: i32 = "replication.quota.window.size.seconds",
        Some("1"), AtLeast(1), Broker, ReadOnly, Low;
    /// Over how many windows of time the rate of moves between log directories is taken.
    ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_NUM: i32 =
        "alter.log.dirs.replication.quota.window.num", Some("11"), AtLeast(1),
        Broker, ReadOnly, Low;
    /// How long each of these windows is, in seconds.
    ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_SIZE_SECONDS: i32 =
        "alter.log.dirs.replication.quota.window.size.seconds", Some("1"), AtLeast(1),
        Broker, ReadOnly, Low;
    /// How many bytes one answer to a consumer or a follower may hold.
    FETCH_MAX_BYTES: i32 = "fetch.max.bytes", Some("57671680"), AtLeast(1024),
        Broker, ReadOnly, Medium;
    /// Which replica consumers are sent to (KIP-392): with Kafka's `RackAwareReplicaSelector`
    /// one in the rack that they name (`client.rack`); not set, the leader. Followers then hear at
    /// once how far records are committed, which costs a fetch more.
    REPLICA_SELECTOR_CLASS: Option<String> = "replica.selector.class", None,
        OneOf(&[
            "org.apache.kafka.common.replica.LeaderSelector",
            "org.apache.kafka.common.replica.RackAwareReplicaSelector",
        ]),
        Broker, ReadOnly, Medium;
    /// How many fetch sessions a broker remembers (KIP-227).
    MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS: i32 = "max.incremental.fetch.session.cache.slots",
        Some("1000"), AtLeast(0), Broker, ReadOnly, Medium;
    /// How many partitions one answer that describes topics may hold (KIP-966).
    MAX_REQUEST_PARTITION_SIZE_LIMIT: i32 = "max.request.partition.size.limit", Some("2000"),
        AtLeast(1), Broker, ReadOnly, Medium;
}

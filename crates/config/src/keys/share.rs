//! Keys about share groups and the coordinator that keeps their state (KIP-932).

use crate::spec::Check::{AtLeast, OneOf, Within};

keys! {
    /// The assignors that share groups may use; there is one.
    GROUP_SHARE_ASSIGNORS: Vec<String> = "group.share.assignors", Some("simple"),
        OneOf(&["simple"]), Broker, ReadOnly, Medium;
    /// How often a record is given to members of a share group before it is given up.
    GROUP_SHARE_DELIVERY_COUNT_LIMIT: i32 = "group.share.delivery.count.limit", Some("5"),
        Within(2, 10), Broker, ReadOnly, Medium;
    /// How often members of share groups send heartbeats, in milliseconds.
    GROUP_SHARE_HEARTBEAT_INTERVAL_MS: i32 = "group.share.heartbeat.interval.ms", Some("5000"),
        AtLeast(1), Broker, ReadOnly, Medium;
    /// The longest such interval, in milliseconds.
    GROUP_SHARE_MAX_HEARTBEAT_INTERVAL_MS: i32 = "group.share.max.heartbeat.interval.ms",
        Some("15000"), AtLeast(1), Node, ReadOnly, Medium;
    /// The shortest such interval, in milliseconds.
    GROUP_SHARE_MIN_HEARTBEAT_INTERVAL_MS: i32 = "group.share.min.heartbeat.interval.ms",
        Some("5000"), AtLeast(1), Node, ReadOnly, Medium;
    /// How long a member of a share group may be silent, in milliseconds.
    GROUP_SHARE_SESSION_TIMEOUT_MS: i32 = "group.share.session.timeout.ms", Some("45000"),
        AtLeast(1), Broker, ReadOnly, Medium;
    /// The longest such timeout, in milliseconds.
    GROUP_SHARE_MAX_SESSION_TIMEOUT_MS: i32 = "group.share.max.session.timeout.ms", Some("60000"),
        AtLeast(1), Node, ReadOnly, Medium;
    /// The shortest such timeout, in milliseconds.
    GROUP_SHARE_MIN_SESSION_TIMEOUT_MS: i32 = "group.share.min.session.timeout.ms", Some("45000"),
        AtLeast(1), Node, ReadOnly, Medium;
    /// How many members a share group may have.
    GROUP_SHARE_MAX_SIZE: i32 = "group.share.max.size", Some("200"), Within(1, 1000),
        Broker, ReadOnly, Medium;
    /// How many members of share groups a broker remembers between two of their fetches.
    GROUP_SHARE_MAX_SHARE_SESSIONS: i32 = "group.share.max.share.sessions", Some("2000"),
        AtLeast(1), Broker, ReadOnly, Medium;
    /// How many records of a partition a share group may have between the first that is not done
    /// with and the last that was given out.
    GROUP_SHARE_PARTITION_MAX_RECORD_LOCKS: i32 = "group.share.partition.max.record.locks",
        Some("2000"), Within(100, 10_000), Broker, ReadOnly, Medium;
    /// How long a member of a share group keeps a record that it says nothing of, in milliseconds.
    GROUP_SHARE_RECORD_LOCK_DURATION_MS: i32 = "group.share.record.lock.duration.ms",
        Some("30000"), Within(1000, 3_600_000), Broker, ReadOnly, Medium;
    /// The longest that a group may set for that, in milliseconds.
    GROUP_SHARE_MAX_RECORD_LOCK_DURATION_MS: i32 = "group.share.max.record.lock.duration.ms",
        Some("60000"), Within(30_000, 3_600_000), Node, ReadOnly, Medium;
    /// The shortest that a group may set for that, in milliseconds.
    GROUP_SHARE_MIN_RECORD_LOCK_DURATION_MS: i32 = "group.share.min.record.lock.duration.ms",
        Some("15000"), Within(1000, 30_000), Node, ReadOnly, Medium;
    /// How many bytes are read at once when a broker loads the state of share groups.
    SHARE_COORDINATOR_LOAD_BUFFER_SIZE: i32 = "share.coordinator.load.buffer.size",
        Some("5242880"), AtLeast(1), Broker, ReadOnly, High;
    /// After how many updates all of a share-partition's state is written anew.
    SHARE_COORDINATOR_SNAPSHOT_UPDATE_RECORDS_PER_SNAPSHOT: i32 =
        "share.coordinator.snapshot.update.records.per.snapshot", Some("500"), Within(0, 500),
        Broker, ReadOnly, Medium;
    /// How the state of share groups is compressed: 0 not at all, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    SHARE_COORDINATOR_STATE_TOPIC_COMPRESSION_CODEC: i32 =
        "share.coordinator.state.topic.compression.codec", Some("0"), Within(0, 4),
        Broker, ReadOnly, Medium;
    /// How many replicas of the topic of that state must be in sync.
    SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: i16 = "share.coordinator.state.topic.min.isr",
        Some("2"), AtLeast(1), Broker, ReadOnly, High;
    /// How many partitions that topic has. It must not change once the topic exists.
    SHARE_COORDINATOR_STATE_TOPIC_NUM_PARTITIONS: i32 =
        "share.coordinator.state.topic.num.partitions", Some("50"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How often the log of that state is looked at for what is not needed any more, in
    /// milliseconds.
    SHARE_COORDINATOR_STATE_TOPIC_PRUNE_INTERVAL_MS: i32 =
        "share.coordinator.state.topic.prune.interval.ms", Some("300000"), AtLeast(1),
        Broker, ReadOnly, Low;
    /// How many replicas that topic gets. It is not created before there are as many brokers.
    SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: i16 =
        "share.coordinator.state.topic.replication.factor", Some("3"), AtLeast(1),
        Broker, ReadOnly, High;
    /// The size of a segment of that topic, in bytes.
    SHARE_COORDINATOR_STATE_TOPIC_SEGMENT_BYTES: i32 =
        "share.coordinator.state.topic.segment.bytes", Some("104857600"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How long a change of that state waits for the replicas, in milliseconds.
    SHARE_COORDINATOR_WRITE_TIMEOUT_MS: i32 = "share.coordinator.write.timeout.ms", Some("5000"),
        AtLeast(1), Broker, ReadOnly, High;
}

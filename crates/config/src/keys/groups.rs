//! Keys about consumer groups, their offsets, and producers' ids.

use crate::group;
use crate::spec::Check::{AtLeast, Form, OneOf, Within};

keys! {
    /// How long the first rebalance of an empty group waits for more members, in milliseconds.
    GROUP_INITIAL_REBALANCE_DELAY_MS: i32 = "group.initial.rebalance.delay.ms", Some("3000"),
        AtLeast(0), Broker, ReadOnly, Medium;
    /// The shortest session timeout that a member may ask for, in milliseconds.
    GROUP_MIN_SESSION_TIMEOUT_MS: i32 = "group.min.session.timeout.ms", Some("6000"), AtLeast(1),
        Broker, ReadOnly, Medium;
    /// The longest session timeout that a member may ask for, in milliseconds.
    GROUP_MAX_SESSION_TIMEOUT_MS: i32 = "group.max.session.timeout.ms", Some("1800000"),
        AtLeast(1), Broker, ReadOnly, Medium;
    /// How many members a group may have.
    GROUP_MAX_SIZE: i32 = "group.max.size", Some("2147483647"), AtLeast(1),
        Broker, ReadOnly, Medium;
    /// The assignors that groups of the new protocol may use; the first is that of groups whose
    /// members ask for none.
    GROUP_CONSUMER_ASSIGNORS: Vec<String> = "group.consumer.assignors", Some("uniform,range"),
        OneOf(&["uniform", "range"]), Broker, ReadOnly, Medium;
    /// Whether groups with members change their protocol: `upgrade` from the classic one to the new
    /// one when a member of the new one joins, `downgrade` back when the last of those has gone,
    /// `bidirectional` both, `disabled` neither. Groups without members always may.
    GROUP_CONSUMER_MIGRATION_POLICY: String = "group.consumer.migration.policy",
        Some("bidirectional"), Form(group::check_migration_policy, group::MIGRATION_POLICY_FORM),
        Broker, ReadOnly, Medium;
    /// How often members of groups of the new protocol send heartbeats, in milliseconds.
    GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.heartbeat.interval.ms",
        Some("5000"), AtLeast(1), Broker, ReadOnly, Medium;
    /// The shortest such interval, in milliseconds.
    GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.min.heartbeat.interval.ms",
        Some("5000"), AtLeast(1), Broker, ReadOnly, Medium;
    /// The longest such interval, in milliseconds.
    GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.max.heartbeat.interval.ms",
        Some("15000"), AtLeast(1), Broker, ReadOnly, Medium;
    /// How long a member of a group of the new protocol may be silent, in milliseconds.
    GROUP_CONSUMER_SESSION_TIMEOUT_MS: i32 = "group.consumer.session.timeout.ms", Some("45000"),
        AtLeast(1), Broker, ReadOnly, Medium;
    /// The shortest such timeout, in milliseconds.
    GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS: i32 = "group.consumer.min.session.timeout.ms",
        Some("45000"), AtLeast(1), Broker, ReadOnly, Medium;
    /// The longest such timeout, in milliseconds.
    GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS: i32 = "group.consumer.max.session.timeout.ms",
        Some("60000"), AtLeast(1), Broker, ReadOnly, Medium;
    /// How many members a group of the new protocol may have.
    GROUP_CONSUMER_MAX_SIZE: i32 = "group.consumer.max.size", Some("2147483647"), AtLeast(1),
        Broker, ReadOnly, Medium;
    /// How many bytes a consumer may attach to a committed offset.
    OFFSET_METADATA_MAX_BYTES: i32 = "offset.metadata.max.bytes", Some("4096"), AtLeast(0),
        Broker, ReadOnly, High;
    /// How long a commit of offsets waits for the replicas, in milliseconds.
    OFFSETS_COMMIT_TIMEOUT_MS: i32 = "offsets.commit.timeout.ms", Some("5000"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How many bytes are read at once when a broker loads the groups of a partition.
    OFFSETS_LOAD_BUFFER_SIZE: i32 = "offsets.load.buffer.size", Some("5242880"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How long the offsets of a group are kept once it has no members, in minutes.
    OFFSETS_RETENTION_MINUTES: i32 = "offsets.retention.minutes", Some("10080"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How often offsets are searched for those that have expired, in milliseconds.
    OFFSETS_RETENTION_CHECK_INTERVAL_MS: i64 = "offsets.retention.check.interval.ms",
        Some("600000"), AtLeast(1), Broker, ReadOnly, High;
    /// How records of committed offsets are compressed: 0 not at all, 1 gzip, 2 snappy, 3 lz4, 4
    /// zstd.
    OFFSETS_TOPIC_COMPRESSION_CODEC: i32 = "offsets.topic.compression.codec", Some("0"),
        Within(0, 4), Broker, ReadOnly, High;
    /// How many partitions the topic of committed offsets has. It must not change once the topic
    /// exists.
    OFFSETS_TOPIC_NUM_PARTITIONS: i32 = "offsets.topic.num.partitions", Some("50"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How many replicas the topic of committed offsets gets. It is not created before there are as
    /// many brokers.
    OFFSETS_TOPIC_REPLICATION_FACTOR: i16 = "offsets.topic.replication.factor", Some("3"),
        AtLeast(1), Broker, ReadOnly, High;
    /// The size of a segment of the topic of committed offsets, in bytes.
    OFFSETS_TOPIC_SEGMENT_BYTES: i32 = "offsets.topic.segment.bytes", Some("104857600"),
        AtLeast(1), Broker, ReadOnly, High;
    /// How long a partition remembers a producer that writes nothing, in milliseconds.
    PRODUCER_ID_EXPIRATION_MS: i32 = "producer.id.expiration.ms", Some("86400000"), AtLeast(1),
        Broker, ClusterWide, Low;
}

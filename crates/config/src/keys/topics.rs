//! Keys about topics as a whole: how they come to be, and who leads their partitions.

use crate::spec::Check::{Any, AtLeast};

keys! {
    /// Whether a topic that does not exist is created when a client asks for it.
    AUTO_CREATE_TOPICS_ENABLE: bool = "auto.create.topics.enable", Some("true"), Any,
        Broker, ReadOnly, High;
    /// How many partitions a new topic gets where its creator does not say.
    NUM_PARTITIONS: i32 = "num.partitions", Some("1"), AtLeast(1), Node, ReadOnly, Medium;
    /// How many replicas a new topic gets where its creator does not say.
    DEFAULT_REPLICATION_FACTOR: i32 = "default.replication.factor", Some("1"), AtLeast(1),
        Node, ReadOnly, Medium;
    /// How many replicas must have a record before a producer with `acks=all` hears that it was
    /// written. With fewer in sync, such a producer is refused. A topic with fewer replicas needs
    /// all that it has.
    MIN_INSYNC_REPLICAS: i32 = "min.insync.replicas", Some("1"), AtLeast(1),
        Node, ClusterWide, High;
    /// Whether topics can be deleted.
    DELETE_TOPIC_ENABLE: bool = "delete.topic.enable", Some("true"), Any, Node, ReadOnly, High;
    /// Whether a replica that is not in sync may lead when no other can. What only the others had
    /// is then lost.
    UNCLEAN_LEADER_ELECTION_ENABLE: bool = "unclean.leader.election.enable", Some("false"), Any,
        Node, ClusterWide, High;
    /// Whether leadership returns to the preferred replica once that is in sync again.
    AUTO_LEADER_REBALANCE_ENABLE: bool = "auto.leader.rebalance.enable", Some("true"), Any,
        Coordinator, ReadOnly, High;
    /// How often the active coordinator looks for partitions whose preferred replica does not lead,
    /// in seconds. (Kafka's default is 300.)
    LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS: i64 = "leader.imbalance.check.interval.seconds",
        Some("5"), AtLeast(1), Coordinator, ReadOnly, High;
}

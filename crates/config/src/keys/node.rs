//! Keys that say who a node is and where it keeps its data.

use crate::spec::Check::{Any, AtLeast, OneOf};

keys! {
    /// What this node is: `broker` or `controller` (a coordinator). `vltava broker` and `vltava
    /// coordinator` set it themselves; a file that says otherwise is refused.
    PROCESS_ROLES: Vec<String> = "process.roles", Some(""), OneOf(&["broker", "controller"]),
        Node, ReadOnly, High;
    /// The node's number: unique among brokers and coordinators, and never changed while its data
    /// folder lives.
    NODE_ID: i32 = "node.id", Some("-1"), AtLeast(-1), Node, ReadOnly, High;
    /// The older name of `node.id`. If both are set they must agree.
    BROKER_ID: i32 = "broker.id", Some("-1"), AtLeast(-1), Broker, ReadOnly, High;
    /// The rack, zone or data centre that the broker stands in. Replicas of a partition are spread
    /// over racks.
    BROKER_RACK: Option<String> = "broker.rack", None, Any, Broker, ReadOnly, Medium;
    /// The data folder, where `log.dirs` is not set. (Kafka's default is a folder under /tmp, which
    /// does not outlive a restart of the machine.)
    LOG_DIR: Vec<String> = "log.dir", Some("/var/lib/vltava"), Any, Node, ReadOnly, High;
    /// The data folders, separated by commas. New partitions go to the one with the fewest.
    LOG_DIRS: Vec<String> = "log.dirs", None, Any, Node, ReadOnly, High, from "log.dir" * 1;
    /// The folder of the metadata log; the first of `log.dirs` where it is not set.
    METADATA_LOG_DIR: Option<String> = "metadata.log.dir", None, Any, Node, ReadOnly, High;
    /// How often a broker tells the active coordinator that it lives, in milliseconds.
    BROKER_HEARTBEAT_INTERVAL_MS: i32 = "broker.heartbeat.interval.ms", Some("2000"), AtLeast(1),
        Broker, ReadOnly, Medium;
    /// How long a broker may be silent before it is fenced and its partitions get other leaders, in
    /// milliseconds. A broker whose process died is fenced sooner: see `vltava.fence.grace.ms`.
    BROKER_SESSION_TIMEOUT_MS: i32 = "broker.session.timeout.ms", Some("9000"), AtLeast(1),
        Node, ReadOnly, Medium;
    /// How long a broker tries to register with the active coordinator when it starts, in
    /// milliseconds. After that it ends with an error.
    INITIAL_BROKER_REGISTRATION_TIMEOUT_MS: i32 = "initial.broker.registration.timeout.ms",
        Some("60000"), AtLeast(1), Broker, ReadOnly, Medium;
    /// Whether a broker that is told to stop first hands the leadership of its partitions to
    /// others.
    CONTROLLED_SHUTDOWN_ENABLE: bool = "controlled.shutdown.enable", Some("true"), Any,
        Broker, ReadOnly, Medium;
    /// How many threads recover and close logs, for each data folder.
    NUM_RECOVERY_THREADS_PER_DATA_DIR: i32 = "num.recovery.threads.per.data.dir", Some("2"),
        AtLeast(1), Broker, ClusterWide, High;
}

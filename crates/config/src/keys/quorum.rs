//! Keys of the metadata quorum: its members, its timing and its log.

use crate::listeners;
use crate::spec::Check::{Any, AtLeast, Form};

keys! {
    /// Where coordinators can be found: `host:port`, separated by commas. One that answers is
    /// enough; the rest is learnt from it.
    CONTROLLER_QUORUM_BOOTSTRAP_SERVERS: Vec<String> = "controller.quorum.bootstrap.servers",
        Some(""), Form(listeners::check_addresses, "host:port, separated by commas"),
        Node, ReadOnly, High;
    /// The coordinators as a fixed list: `id@host:port`, separated by commas. Used to find them,
    /// like `controller.quorum.bootstrap.servers`; who votes is kept in the quorum itself
    /// (KIP-853).
    CONTROLLER_QUORUM_VOTERS: Vec<String> = "controller.quorum.voters", Some(""),
        Form(listeners::check_voters, "id@host:port, separated by commas"), Node, ReadOnly, High;
    /// How long a coordinator seeks votes before it tries again, in milliseconds.
    CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS: i32 = "controller.quorum.election.timeout.ms",
        Some("1000"), AtLeast(1), Node, ReadOnly, High;
    /// How long a coordinator goes without a fetch from the active one before it seeks votes, and
    /// how long the active one goes without fetches from a majority before it resigns, in
    /// milliseconds.
    CONTROLLER_QUORUM_FETCH_TIMEOUT_MS: i32 = "controller.quorum.fetch.timeout.ms", Some("2000"),
        AtLeast(1), Node, ReadOnly, High;
    /// How long a request within the quorum may take, in milliseconds.
    CONTROLLER_QUORUM_REQUEST_TIMEOUT_MS: i32 = "controller.quorum.request.timeout.ms",
        Some("2000"), AtLeast(1), Node, ReadOnly, Medium;
    /// How long a node waits before it repeats a failed request to the quorum, in milliseconds.
    CONTROLLER_QUORUM_RETRY_BACKOFF_MS: i32 = "controller.quorum.retry.backoff.ms", Some("20"),
        AtLeast(0), Node, ReadOnly, Low;
    /// Whether a coordinator that does not vote has itself added to the voters once it has caught
    /// up (KIP-853, KIP-1186). One that lost its disk has its former self removed first. One that
    /// is removed while it runs comes back: stop it first.
    CONTROLLER_QUORUM_AUTO_JOIN_ENABLE: bool = "controller.quorum.auto.join.enable",
        Some("false"), Any, Coordinator, ReadOnly, Medium;
    /// The size at which the metadata log rolls to a new segment, in bytes.
    METADATA_LOG_SEGMENT_BYTES: i32 = "metadata.log.segment.bytes", Some("1073741824"),
        AtLeast(8_388_608), Node, ReadOnly, High;
    /// The age at which the metadata log rolls to a new segment, in milliseconds.
    METADATA_LOG_SEGMENT_MS: i64 = "metadata.log.segment.ms", Some("604800000"), AtLeast(1),
        Node, ReadOnly, High;
    /// How much of the metadata log and its snapshots is kept, in bytes; −1 keeps all. What the
    /// latest snapshot does not hold is always kept.
    METADATA_MAX_RETENTION_BYTES: i64 = "metadata.max.retention.bytes", Some("104857600"),
        AtLeast(-1), Node, ReadOnly, High;
    /// How many bytes of metadata records are written before the next snapshot.
    METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS: i64 =
        "metadata.log.max.record.bytes.between.snapshots", Some("20971520"), AtLeast(1),
        Node, ReadOnly, High;
    /// How old the latest snapshot may become while there are newer records, in milliseconds; 0
    /// sets no such limit.
    METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS: i64 = "metadata.log.max.snapshot.interval.ms",
        Some("3600000"), AtLeast(0), Node, ReadOnly, High;
    /// How often the active coordinator writes a record that says nothing, in milliseconds, so that
    /// the end of an idle metadata log moves; 0 never does.
    METADATA_MAX_IDLE_INTERVAL_MS: i32 = "metadata.max.idle.interval.ms", Some("500"), AtLeast(0),
        Coordinator, ReadOnly, Low;
}

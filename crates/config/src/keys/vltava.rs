//! Keys that Kafka does not have.

use crate::listeners;
use crate::spec::Check::{Any, AtLeast, Form};

keys! {
    /// The id of the cluster that the node belongs to. A node formats an empty data folder only
    /// under an id that it was told; a folder of another cluster is refused.
    VLTAVA_CLUSTER_ID: Option<String> = "vltava.cluster.id", None,
        Form(listeners::check_uuid, "an id of 22 characters in URL-safe base64"),
        Node, ReadOnly, High;
    /// The coordinators that found the quorum: `id@host:port:directoryId`, separated by commas.
    /// Only for the first start of a new cluster: on a data folder that has been used it says no
    /// more than where the others are, where neither `controller.quorum.bootstrap.servers` nor
    /// `controller.quorum.voters` does. The quorum is founded once all of them have met, each on
    /// its empty folder; until then none is ready. A founder that comes back with an empty folder
    /// afterwards, while another remembers, is nobody whom the voters know: it observes, under a
    /// new directory id, until its former self is removed from the voters and it is added
    /// (`kafka-metadata-quorum.sh`, or by itself with `controller.quorum.auto.join.enable`). A
    /// founder that is alone in the list, or all of them on empty folders, found a new quorum:
    /// take the list out once there is one.
    VLTAVA_INITIAL_CONTROLLERS: Vec<String> = "vltava.initial.controllers", Some(""),
        Form(listeners::check_initial, "id@host:port:directoryId, separated by commas"),
        Coordinator, ReadOnly, High;
    /// How long the active coordinator waits, once the last heartbeat connection of a broker has
    /// closed, for it to open another, before it fences the broker; in milliseconds. Such a
    /// broker's process is most likely dead, so this is much shorter than its session.
    VLTAVA_FENCE_GRACE_MS: i32 = "vltava.fence.grace.ms", Some("500"), AtLeast(0),
        Coordinator, ReadOnly, Medium;
    /// The `host:port` on which the node serves `/metrics`, `/livez` and `/readyz` by HTTP; not
    /// set, it serves none.
    VLTAVA_ADMIN_LISTENER: Option<String> = "vltava.admin.listener", None,
        Form(listeners::check_address, "host:port, or :port for all addresses"),
        Node, ReadOnly, Medium;
    /// Where a collector of OpenTelemetry takes metrics by OTLP/HTTP:
    /// `http://host:port/v1/metrics`. Brokers carry to it what clients push (KIP-714); not set,
    /// clients are not asked to push.
    VLTAVA_CLIENT_TELEMETRY_ENDPOINT: Option<String> = "vltava.client.telemetry.endpoint", None,
        Form(listeners::check_http, "http://host:port/path"), Broker, ReadOnly, Medium;
    /// A file that holds the broker's rack, once that is known, or `-` where it has none. The
    /// broker registers once the file says something; `broker.rack` counts where it never does.
    VLTAVA_RACK_FILE: Option<String> = "vltava.rack.file", None, Any, Broker, ReadOnly, Medium;
    /// How long the broker waits for that file, in milliseconds. After that it registers with the
    /// rack of its earlier registration, if there is one, and takes the file's up when it comes.
    VLTAVA_RACK_WAIT_MS: i64 = "vltava.rack.wait.ms", Some("10000"), AtLeast(0),
        Broker, ReadOnly, Low;
    /// How many bytes requests may take in the node's memory at once. Beyond that, sockets are not
    /// read until there is room again.
    VLTAVA_MEMORY_BUDGET_BYTES: i64 = "vltava.memory.budget.bytes", Some("268435456"),
        AtLeast(1_048_576), Node, ReadOnly, Medium;
    /// How much space of a data folder's disk is kept free, in bytes: with less, writing is
    /// refused, so that deleting still works.
    VLTAVA_DISK_HEADROOM_BYTES: i64 = "vltava.disk.headroom.bytes", Some("67108864"), AtLeast(0),
        Broker, ReadOnly, Medium;
    /// Topics that a broker creates once it has started, unless they exist:
    /// `name:partitions:replicas[:cleanup policy]`, separated by commas.
    VLTAVA_CREATE_TOPICS: Vec<String> = "vltava.create.topics", Some(""),
        Form(listeners::check_create_topics, "name:partitions:replicas, separated by commas"),
        Broker, ReadOnly, Low;
    /// The uid of the pod that the node runs in, as the downward API tells it. It changes nothing;
    /// DescribeConfigs shows it, so that the operator knows which pod answers.
    VLTAVA_POD_UID: Option<String> = "vltava.pod.uid", None, Any, Node, ReadOnly, Low;
}

//! Keys about listeners, connections and requests.

use crate::listeners;
use crate::spec::Check::{Any, AtLeast, Form, OneOf};

keys! {
    /// What the node listens on: `NAME://host:port`, separated by commas. An empty host means all
    /// addresses of the machine; port 0 takes a free one.
    LISTENERS: Vec<String> = "listeners", Some("PLAINTEXT://:9092"),
        Form(listeners::check_list, listeners::FORM), Node, PerBroker, High;
    /// What clients and other nodes are told to connect to, where that is not what `listeners`
    /// says: `NAME://host:port`, separated by commas.
    ADVERTISED_LISTENERS: Option<Vec<String>> = "advertised.listeners", None,
        Form(listeners::check_advertised, listeners::FORM), Node, PerBroker, High;
    /// The security protocol of each listener: `NAME:PROTOCOL`, separated by commas. A listener
    /// that it does not name is of the protocol that it is called after, and PLAINTEXT otherwise.
    LISTENER_SECURITY_PROTOCOL_MAP: Vec<String> = "listener.security.protocol.map",
        Some("PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"),
        Form(listeners::check_protocol_map, listeners::MAP_FORM), Node, PerBroker, Low;
    /// The name of the listener that other brokers connect to. Where it is not set it is the first
    /// listener whose protocol is `security.inter.broker.protocol`.
    INTER_BROKER_LISTENER_NAME: Option<String> = "inter.broker.listener.name", None, Any,
        Broker, ReadOnly, Medium;
    /// The security protocol between brokers, where `inter.broker.listener.name` is not set.
    SECURITY_INTER_BROKER_PROTOCOL: String = "security.inter.broker.protocol", Some("PLAINTEXT"),
        OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), Broker, ReadOnly, Medium;
    /// The names of the coordinators' listeners. A coordinator listens on those of them that
    /// `listeners` has; a broker needs the first for its protocol.
    CONTROLLER_LISTENER_NAMES: Vec<String> = "controller.listener.names", Some("CONTROLLER"), Any,
        Node, ReadOnly, High;
    /// The largest request that a node reads, in bytes. A larger one closes its connection.
    SOCKET_REQUEST_MAX_BYTES: i32 = "socket.request.max.bytes", Some("104857600"), AtLeast(1),
        Node, ReadOnly, High;
    /// How many connections the node holds at once. Where there are several listeners, the one
    /// between brokers accepts more.
    MAX_CONNECTIONS: i32 = "max.connections", Some("2147483647"), AtLeast(0),
        Node, ClusterWide, Medium;
    /// How many connections the node holds from one address, on all its listeners together.
    MAX_CONNECTIONS_PER_IP: i32 = "max.connections.per.ip", Some("2147483647"), AtLeast(0),
        Node, ClusterWide, Medium;
    /// How long a connection may be silent before the node closes it, in milliseconds; a negative
    /// number never closes one.
    CONNECTIONS_MAX_IDLE_MS: i64 = "connections.max.idle.ms", Some("600000"), Any,
        Node, ReadOnly, Medium;
    /// The largest push of a client's metrics, in bytes as it comes (KIP-714).
    TELEMETRY_MAX_BYTES: i32 = "telemetry.max.bytes", Some("1048576"), AtLeast(1),
        Broker, ReadOnly, Low;
}

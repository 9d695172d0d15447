//! What a client may take of a node.

use std::time::Duration;

/// Bounds on connections and frames; they hold for all listeners of a server together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame, in bytes (`socket.request.max.bytes`).
    pub request_max_bytes: usize,
    /// Requests of one connection that are read but not answered. A client of Kafka's own has 5
    /// in flight; librdkafka up to 1,000 small ones, which then wait in the socket.
    pub in_flight_max: usize,
    /// Bytes of such requests and of answers not yet written, for one connection, be it that the
    /// socket does not take them or that an older request is not answered. One request is read in
    /// any case.
    pub in_flight_bytes_max: usize,
    /// Connections of the process (`max.connections`); beyond it, protected listeners alone
    /// accept.
    pub connections_max: usize,
    /// Connections from one address, whichever listener they come to
    /// (`max.connections.per.ip`).
    pub connections_per_ip_max: usize,
    /// How long a connection may be silent in both directions, nothing being in flight
    /// (`connections.max.idle.ms`).
    pub idle_max: Duration,
    /// How long a frame that has begun may stand still while it is read for. A client that
    /// declares much and sends nothing does not hold memory for longer. A large frame comes at
    /// 64 KiB a second besides, that time aside.
    pub frame_stall_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_max_bytes: 100 * 1024 * 1024,
            in_flight_max: 64,
            in_flight_bytes_max: 32 * 1024 * 1024,
            connections_max: usize::MAX,
            connections_per_ip_max: usize::MAX,
            idle_max: Duration::from_millis(600_000),
            frame_stall_max: Duration::from_secs(30),
        }
    }
}

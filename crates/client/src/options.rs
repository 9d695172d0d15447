//! How connections are made.

use std::time::Duration;

use vltava_wire::Str;

/// How a connection is made and how its calls behave.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How this client calls itself in every request.
    pub client_id: Str,
    /// How long opening the socket and negotiating versions may take together.
    pub connect_timeout: Duration,
    /// How long an answer may take, unless the call says otherwise. A connection on which a call
    /// runs out of time is closed: whether the peer would ever answer is not known.
    pub request_timeout: Duration,
    /// The largest response, in bytes; a larger one closes the connection.
    pub response_max_bytes: usize,
    /// Calls that may wait for their answers; further ones wait to be sent.
    pub in_flight_max: usize,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            client_id: Str::from_static("vltava"),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            response_max_bytes: 256 * 1024 * 1024,
            in_flight_max: 256,
        }
    }
}

impl ConnectOptions {
    /// The defaults, under a name of one's own.
    pub fn named(client_id: &str) -> Self {
        Self { client_id: client_id.into(), ..Self::default() }
    }
}

//! What a node gives to the server: something that handles requests.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use vltava_wire::ApiKey;
use vltava_wire::header::RequestHeader;

use crate::answer::Reply;

/// One connection of this process; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection that was accepted.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its id.
    pub connection: ConnectionId,
    /// The other end.
    pub peer: SocketAddr,
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
}

/// One request as it came in.
#[derive(Debug)]
pub struct Inbound {
    /// Its header; the version may be one that nobody knows.
    pub header: RequestHeader,
    /// The kind of request.
    pub key: ApiKey,
    /// What follows the header. While a byte string that shares it lives, its memory stays
    /// charged to the budget: let go of it as soon as it is done with.
    pub body: Bytes,
    /// The other end.
    pub peer: SocketAddr,
    /// The connection that it came by.
    pub connection: ConnectionId,
    /// The name of the listener that accepted the connection.
    pub listener: Arc<str>,
    /// When its last byte came in.
    pub received: Instant,
}

/// Handles the requests of all connections.
pub trait Handler: Send + Sync + 'static {
    /// Handles one request. The next one of the same connection waits until this returns, so it
    /// does only what must be done in order; the rest goes into [`Reply::Later`].
    ///
    /// Once begun it is carried to its end, even if the client closes meanwhile: what a client
    /// sent before it closed is handled.
    fn handle(&self, request: Inbound) -> impl Future<Output = Reply> + Send;

    /// A connection was accepted.
    fn opened(&self, _opened: &Opened) {}

    /// A connection ended: its client closed it, or its process died, or it was closed from here.
    ///
    /// Called once for each [`opened`](Self::opened), as soon as the end is known, even while
    /// answers are pending: their futures are dropped before. No request of the connection is
    /// being handled when it is called, and none will be.
    fn closed(&self, _connection: ConnectionId) {}
}

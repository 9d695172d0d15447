//! Listening sockets and the loops that accept connections from them.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections that the system keeps until they are accepted. Thousands may come at once after a
/// node has come back; the system's own limit (`net.core.somaxconn`) lowers it.
const BACKLOG: i32 = 1024;

/// Pauses after an error that the next `accept` would meet again (no descriptors, no memory).
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host has no address.
    #[error("listener {listener}: cannot resolve {host:?}")]
    Resolve {
        /// The listener's name.
        listener: Arc<str>,
        /// The host as configured.
        host: String,
        /// Why.
        source: Error,
    },
    /// The address is taken or is not this machine's.
    #[error("listener {listener}: cannot listen on {host}:{port}")]
    Listen {
        /// The listener's name.
        listener: Arc<str>,
        /// The host as configured.
        host: String,
        /// The port as configured.
        port: u16,
        /// Why.
        source: Error,
    },
    /// A listener of that name exists.
    #[error("there is a listener {0} already")]
    Duplicate(Arc<str>),
}

/// A listener that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its name, as in `listeners`.
    pub name: Arc<str>,
    /// The host or address to listen on; empty for all addresses of the machine.
    pub host: String,
    /// The port; 0 for a free one.
    pub port: u16,
    /// Whether the nodes of the cluster come here, be it beside clients. Its connections are
    /// accepted though `max.connections` are open, unless it is the only listener (as in Kafka:
    /// there is no bound else), and what nodes send has a part of the memory budget for itself, so
    /// that replication goes on whatever clients do.
    pub protected: bool,
}

impl ListenerConfig {
    /// A listener for clients.
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        Self { name: name.into(), host: host.to_owned(), port, protected: false }
    }

    /// Makes it one for the nodes of the cluster.
    #[must_use]
    pub fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    /// Opens the socket. Connections queue there until a [`Server`](crate::Server) takes it.
    ///
    /// # Errors
    /// If the host is not known or the address cannot be listened on.
    pub async fn bind(self) -> Result<BoundListener, BindError> {
        let socket = match self.host.as_str() {
            // A machine without IPv6 has no such wildcard.
            "" => listen(([0; 16], self.port).into())
                .or_else(|_| listen(([0, 0, 0, 0], self.port).into())),
            host => self.resolve(host).await.map(listen)?,
        };
        let bound = socket.and_then(|socket| Ok((socket.local_addr()?, socket)));
        match bound {
            Ok((address, socket)) => Ok(BoundListener { config: self, socket, address }),
            Err(source) => {
                let Self { name: listener, host, port, .. } = self;
                Err(BindError::Listen { listener, host, port, source })
            }
        }
    }

    async fn resolve(&self, host: &str) -> Result<SocketAddr, BindError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let none = || Error::from(ErrorKind::NotFound);
        tokio::net::lookup_host((host, self.port))
            .await
            .and_then(|mut addresses| addresses.next().ok_or_else(none))
            .map_err(|source| BindError::Resolve {
                listener: self.name.clone(),
                host: self.host.clone(),
                source,
            })
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A node that restarts need not wait for its old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A socket that listens, and that nobody accepts from yet.
#[derive(Debug)]
pub struct BoundListener {
    pub(crate) config: ListenerConfig,
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
}

impl BoundListener {
    /// The listener's name.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// The address, its port known even if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Accepts until `stop`, and gives each connection to `accepted`; errors go to `failed`.
pub(crate) async fn accept(
    listener: BoundListener,
    stop: CancellationToken,
    accepted: impl Fn(TcpStream, SocketAddr),
    failed: impl Fn(&Error),
) {
    let mut pause = PAUSE_MIN;
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            next = listener.socket.accept() => next,
        };
        match next {
            Ok((stream, peer)) => {
                pause = PAUSE_MIN;
                accepted(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                failed(&error);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                }
            }
        }
    }
}

/// Whether the error is that of the connection that was to be accepted, which has gone.
fn is_of_connection(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

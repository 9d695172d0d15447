//! Listeners, and the connections that they accept.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::connection;
use crate::handler::{ConnectionId, Handler};
use crate::limits::Limits;
use crate::listener::{BindError, BoundListener, ListenerConfig, accept};
use crate::metrics::NetMetrics;
use crate::rate_limit::RateLimit;
use crate::reactors::Reactors;
use crate::sessions::{Admitted, Refusal, Sessions};

/// Each time that one address has as many connections more, it is told.
const CROWD: usize = 1000;

/// What all connections of a server share.
pub(crate) struct Shared<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) limits: RwLock<Arc<Limits>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: NetMetrics,
    pub(crate) sessions: Sessions,
    log: RateLimit<(Option<IpAddr>, &'static str)>,
    tasks: TaskTracker,
    reactors: Arc<Reactors>,
    /// How many listeners are served.
    listeners: AtomicUsize,
}

/// A listener that is served.
#[derive(Debug)]
struct Served {
    address: SocketAddr,
    stop: CancellationToken,
}

/// Serves listeners until its token is cancelled; dropping it does not end it.
pub struct Server<H> {
    shared: Arc<Shared<H>>,
    listeners: Mutex<HashMap<Arc<str>, Served>>,
    shutdown: CancellationToken,
}

impl<H: Handler> Server<H> {
    /// Opens the listeners and serves them, until `shutdown` is cancelled.
    ///
    /// # Errors
    /// If one of them cannot be opened; then none is.
    pub async fn bind(
        listeners: Vec<ListenerConfig>,
        limits: Limits,
        budget: Arc<Budget>,
        metrics: NetMetrics,
        handler: Arc<H>,
        shutdown: CancellationToken,
    ) -> Result<Self, BindError> {
        let mut bound = Vec::with_capacity(listeners.len());
        for listener in listeners {
            bound.push(listener.bind().await?);
        }
        Self::start(bound, limits, budget, metrics, handler, shutdown)
    }

    /// Serves listeners that are open, until `shutdown` is cancelled. Must be called within the
    /// runtime that shall serve them.
    ///
    /// # Errors
    /// [`BindError::Duplicate`] if two have one name.
    pub fn start(
        listeners: Vec<BoundListener>,
        limits: Limits,
        budget: Arc<Budget>,
        metrics: NetMetrics,
        handler: Arc<H>,
        shutdown: CancellationToken,
    ) -> Result<Self, BindError> {
        let reactors = Arc::new(Reactors::here());
        Self::start_on(reactors, listeners, limits, budget, metrics, handler, shutdown)
    }

    /// As [`start`](Self::start); the connections are served by threads of their own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on(
        reactors: Arc<Reactors>,
        listeners: Vec<BoundListener>,
        limits: Limits,
        budget: Arc<Budget>,
        metrics: NetMetrics,
        handler: Arc<H>,
        shutdown: CancellationToken,
    ) -> Result<Self, BindError> {
        let mut names = HashSet::new();
        if let Some(twice) = listeners.iter().find(|one| !names.insert(one.name().clone())) {
            return Err(BindError::Duplicate(twice.name().clone()));
        }
        let shared = Arc::new(Shared {
            handler,
            limits: RwLock::new(Arc::new(limits)),
            budget,
            metrics,
            sessions: Sessions::default(),
            log: RateLimit::default(),
            tasks: TaskTracker::new(),
            reactors,
            listeners: AtomicUsize::new(0),
        });
        let server = Self { shared, listeners: Mutex::default(), shutdown };
        for listener in listeners {
            server.serve(listener)?;
        }
        let (shared, shutdown) = (server.shared.clone(), server.shutdown.clone());
        tokio::spawn(async move {
            shutdown.cancelled().await;
            shared.sessions.end();
            shared.tasks.close();
        });
        Ok(server)
    }

    /// Opens one more listener.
    ///
    /// # Errors
    /// If it cannot be opened, or there is one of that name.
    pub async fn add_listener(&self, listener: ListenerConfig) -> Result<SocketAddr, BindError> {
        self.serve(listener.bind().await?)
    }

    /// Closes a listener and its connections; those of the others stay. Returns whether there
    /// was one of that name.
    pub fn remove_listener(&self, name: &str) -> bool {
        {
            let mut listeners = self.listeners.lock();
            let Some(served) = listeners.remove(name) else { return false };
            served.stop.cancel();
            self.shared.listeners.store(listeners.len(), Ordering::Relaxed);
        }
        self.shared.sessions.close_listener(name);
        true
    }

    /// The address of a listener.
    pub fn local_addr(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.lock().get(name).map(|served| served.address)
    }

    /// Changes the limits for connections and frames that come from now on.
    pub fn set_limits(&self, limits: Limits) {
        *self.shared.limits.write() = Arc::new(limits);
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.sessions.len()
    }

    /// Closes a connection, if it is still open.
    pub fn close(&self, connection: ConnectionId) {
        self.shared.sessions.close(connection);
    }

    /// Waits until all listeners and connections have ended; `shutdown` starts that.
    pub async fn stopped(&self) {
        self.shutdown.cancelled().await;
        self.shared.tasks.wait().await;
    }

    fn serve(&self, listener: BoundListener) -> Result<SocketAddr, BindError> {
        let (name, address) = (listener.name().clone(), listener.local_addr());
        let stop = self.shutdown.child_token();
        let mut listeners = self.listeners.lock();
        if listeners.contains_key(&name) {
            return Err(BindError::Duplicate(name));
        }
        listeners.insert(name.clone(), Served { address, stop: stop.clone() });
        self.shared.listeners.store(listeners.len(), Ordering::Relaxed);
        let shared = self.shared.clone();
        let protected = listener.config.protected;
        let stopped = stop.clone();
        self.shared.tasks.spawn(async move {
            let accepted = |stream, peer| {
                if !stopped.is_cancelled() {
                    shared.accepted(stream, peer, &name, protected);
                }
            };
            let failed = |error: &std::io::Error| shared.accept_failed(&name, error);
            accept(listener, stop, accepted, failed).await;
        });
        Ok(address)
    }
}

impl<H: Handler> Shared<H> {
    fn accepted(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        listener: &Arc<str>,
        protected: bool,
    ) {
        let limits = self.limits.read().clone();
        let is_exempt = protected && self.listeners.load(Ordering::Relaxed) > 1;
        match self.sessions.admit(&limits, peer, listener, is_exempt) {
            Ok(Admitted { opened, closed, of_address }) => {
                self.watch_crowd(of_address, peer, listener);
                let session = connection::Session::open(self.clone(), opened, protected, &limits);
                let Ok(stream) = stream.into_std() else { return };
                let serve = async move {
                    // Fails only for a connection that has gone.
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        session.run(stream, closed).await;
                    }
                };
                self.tasks.spawn_on(serve, self.reactors.next());
            }
            Err(Refusal::Ending) => {}
            Err(refusal) => {
                self.metrics.refused(refusal.name());
                self.warn(peer, listener, refusal.name(), "too many connections are open");
            }
        }
    }

    /// Says who holds many connections, also if nothing comes by them.
    fn watch_crowd(&self, count: usize, peer: SocketAddr, listener: &str) {
        if !count.is_multiple_of(CROWD) {
            return;
        }
        if let Some(suppressed) = self.log.check((Some(peer.ip()), "crowd"), Instant::now()) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            let address = peer.ip();
            tracing::warn!(%address, %listener, suppressed, "{count} connections from this address \
                are open; max.connections.per.ip bounds them");
        }
    }

    fn accept_failed(&self, listener: &str, error: &std::io::Error) {
        if let Some(suppressed) = self.log.check((None, "accept"), Instant::now()) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::error!(%listener, suppressed, "cannot accept connections: {error}");
        }
    }

    /// Writes a line about a peer that did what it should not, unless there were many.
    pub(crate) fn warn(
        &self,
        peer: SocketAddr,
        listener: &str,
        kind: &'static str,
        reason: impl std::fmt::Display,
    ) {
        if let Some(suppressed) = self.log.check((Some(peer.ip()), kind), Instant::now()) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::warn!(%peer, %listener, suppressed, "connection closed: {reason}");
        }
    }
}

impl<H> std::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

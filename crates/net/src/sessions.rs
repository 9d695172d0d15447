//! The open connections of a server: how many there are, and how to end one from here.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::handler::{ConnectionId, Opened};
use crate::limits::Limits;

/// Why a connection was closed as soon as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `max.connections` are open.
    Connections,
    /// `max.connections.per.ip` are open from that address.
    PerIp,
    /// The server ends.
    Ending,
}

impl Refusal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connections => "max.connections",
            Self::PerIp => "max.connections.per.ip",
            Self::Ending => "ending",
        }
    }
}

/// A connection that was entered.
pub(crate) struct Admitted {
    pub(crate) opened: Opened,
    /// Hears when it shall end.
    pub(crate) closed: oneshot::Receiver<()>,
    /// How many there are from its address, itself among them.
    pub(crate) of_address: usize,
}

/// All open connections.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<ConnectionId, Session>,
    /// Connections by address, whichever listener they came to.
    per_ip: HashMap<IpAddr, usize>,
    last: u64,
    ending: bool,
}

#[derive(Debug)]
struct Session {
    listener: Arc<str>,
    ip: IpAddr,
    close: oneshot::Sender<()>,
}

impl Sessions {
    /// Enters a connection. One of a protected listener counts as all do, and is entered though
    /// `max.connections` are open.
    pub(crate) fn admit(
        &self,
        limits: &Limits,
        peer: SocketAddr,
        listener: &Arc<str>,
        protected: bool,
    ) -> Result<Admitted, Refusal> {
        let mut inner = self.inner.lock();
        if inner.ending {
            return Err(Refusal::Ending);
        }
        if !protected && inner.open.len() >= limits.connections_max {
            return Err(Refusal::Connections);
        }
        let ip = peer.ip();
        let of_address = inner.count(ip, limits)?;
        inner.last += 1;
        let connection = ConnectionId(inner.last);
        let (close, closed) = oneshot::channel();
        inner.open.insert(connection, Session { listener: listener.clone(), ip, close });
        let opened = Opened { connection, peer, listener: listener.clone() };
        Ok(Admitted { opened, closed, of_address })
    }

    /// Strikes out a connection that ended.
    pub(crate) fn remove(&self, connection: ConnectionId) {
        let mut inner = self.inner.lock();
        let Some(session) = inner.open.remove(&connection) else { return };
        inner.uncount(session.ip);
    }

    /// Ends one connection, if it is still open.
    pub(crate) fn close(&self, connection: ConnectionId) {
        // The entry stays until the connection has ended, its closer is used up.
        if let Some(session) = self.inner.lock().open.get_mut(&connection) {
            session.close();
        }
    }

    /// Ends all connections of a listener.
    pub(crate) fn close_listener(&self, listener: &str) {
        let mut inner = self.inner.lock();
        inner
            .open
            .values_mut()
            .filter(|session| &*session.listener == listener)
            .for_each(Session::close);
    }

    /// Ends all connections, and admits none any more.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ending = true;
        inner.open.values_mut().for_each(Session::close);
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().open.len()
    }
}

impl Session {
    fn close(&mut self) {
        let (unused, _) = oneshot::channel();
        // A connection that ends by itself at this moment does not listen any more.
        let _ = std::mem::replace(&mut self.close, unused).send(());
    }
}

impl Inner {
    /// Counts a connection, and says how many there are from that address.
    fn count(&mut self, ip: IpAddr, limits: &Limits) -> Result<usize, Refusal> {
        let of_ip = self.per_ip.get(&ip).copied().unwrap_or(0);
        if of_ip >= limits.connections_per_ip_max {
            return Err(Refusal::PerIp);
        }
        self.per_ip.insert(ip, of_ip + 1);
        Ok(of_ip + 1)
    }

    fn uncount(&mut self, ip: IpAddr) {
        if let Some(of_ip) = self.per_ip.get_mut(&ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }
}

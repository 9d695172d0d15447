//! Ports on 127.0.0.1: free ones for nodes, and whether those that they have are still free.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::time::Duration;

use crate::error::CliError;

/// Ports of nodes are taken from here: below those that Linux gives to outgoing connections (from
/// 32768), which could take the port of a node that is down.
const INSIDE: Range<u16> = 20_000..31_000;
/// Those for clients outside, where the manifest names none: among those that Kubernetes gives, and
/// none of the others.
const OUTSIDE: Range<u16> = 31_000..32_768;
/// How long somebody may take to accept a connection on this machine.
const ANSWER: Duration = Duration::from_millis(200);

/// Whether a node could listen on a port, and would be reached there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && !is_answered(port)
}

/// Whether a connection is accepted although nobody listens: a Kubernetes on this machine leads the
/// ports of its Services elsewhere, without a socket.
fn is_answered(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, ANSWER).is_ok()
}

/// Gives free ports, each once.
#[derive(Debug)]
pub(crate) struct FreePorts {
    start: u16,
    taken: Vec<u16>,
}

impl FreePorts {
    /// Starts somewhere in the range, so that two clusters seldom meet. Ports in `taken` belong to
    /// nodes already, whether they run or not.
    pub(crate) fn new(random: u16, taken: Vec<u16>) -> Self {
        Self { start: random, taken }
    }

    /// The next free port for nodes among themselves.
    ///
    /// # Errors
    /// [`CliError::NoFreePort`] if the whole range is taken.
    pub(crate) fn take(&mut self) -> Result<u16, CliError> {
        self.take_of(INSIDE)
    }

    /// The next free port for clients outside.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn take_outside(&mut self) -> Result<u16, CliError> {
        self.take_of(OUTSIDE)
    }

    fn take_of(&mut self, range: Range<u16>) -> Result<u16, CliError> {
        let size = range.end - range.start;
        let first = range.start + self.start % size;
        let mut ports = (first..range.end).chain(range.start..first);
        let free = ports.find(|port| !self.taken.contains(port) && is_free(*port));
        let port = free.ok_or(CliError::NoFreePort)?;
        self.taken.push(port);
        Ok(port)
    }
}

#[cfg(test)]
mod tests {
    use super::{FreePorts, INSIDE, OUTSIDE, is_free};
    use std::net::TcpListener;

    #[test]
    fn a_port_is_given_once() {
        let mut ports = FreePorts::new(7, Vec::new());
        let first = ports.take().expect("one is free");
        let second = ports.take().expect("another is free");
        assert_ne!(first, second);
        assert!(INSIDE.contains(&first) && INSIDE.contains(&second));
        assert!(OUTSIDE.contains(&ports.take_outside().expect("one is free")));
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("one is free");
        let port = listener.local_addr().expect("it is bound").port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }

    #[test]
    fn the_search_wraps_round_and_ends() {
        let size = INSIDE.end - INSIDE.start;
        let all_but_one: Vec<u16> = INSIDE.skip(1).collect();
        let mut ports = FreePorts::new(size - 1, all_but_one);
        if is_free(INSIDE.start) {
            assert_eq!(ports.take().ok(), Some(INSIDE.start));
        }
        assert!(ports.take().is_err());
    }
}

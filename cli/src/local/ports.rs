//! Ports on 127.0.0.1: free ones for nodes, and whether those that they have are still free.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use crate::error::CliError;

/// Ports of nodes are taken from here: below those that Linux gives to outgoing connections (from
/// 32768), which could take the port of a node that is down.
const RANGE: Range<u16> = 20_000..31_000;

/// Whether a node could listen on a port.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Gives free ports, each once.
#[derive(Debug)]
pub(crate) struct FreePorts {
    next: u16,
    left: u16,
    taken: Vec<u16>,
}

impl FreePorts {
    /// Starts somewhere in the range, so that two clusters seldom meet. Ports in `taken` belong to
    /// nodes already, whether they run or not.
    pub(crate) fn new(random: u16, taken: Vec<u16>) -> Self {
        let size = RANGE.end - RANGE.start;
        Self { next: RANGE.start + random % size, left: size, taken }
    }

    /// The next free port.
    ///
    /// # Errors
    /// [`CliError::NoFreePort`] if the whole range is taken.
    pub(crate) fn take(&mut self) -> Result<u16, CliError> {
        while self.left > 0 {
            let port = self.next;
            self.left -= 1;
            self.next = if port + 1 == RANGE.end { RANGE.start } else { port + 1 };
            if !self.taken.contains(&port) && is_free(port) {
                self.taken.push(port);
                return Ok(port);
            }
        }
        Err(CliError::NoFreePort)
    }
}

#[cfg(test)]
mod tests {
    use super::{FreePorts, RANGE, is_free};
    use std::net::TcpListener;

    #[test]
    fn a_port_is_given_once() {
        let mut ports = FreePorts::new(7, Vec::new());
        let first = ports.take().expect("one is free");
        let second = ports.take().expect("another is free");
        assert_ne!(first, second);
        assert!(RANGE.contains(&first) && RANGE.contains(&second));
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
        let size = RANGE.end - RANGE.start;
        let all_but_one: Vec<u16> = RANGE.skip(1).collect();
        let mut ports = FreePorts::new(size - 1, all_but_one);
        if is_free(RANGE.start) {
            assert_eq!(ports.take().ok(), Some(RANGE.start));
        }
        assert!(ports.take().is_err());
    }
}

//! The watchdog beside a broker: it lets the broker's clients go when the broker stands still.
//!
//! A process that was stopped (SIGSTOP, a debugger) keeps its connections. Once its session has
//! ended its partitions have other leaders, but clients with requests on the way to it wait until
//! their own timeouts, which are half a minute and more. So a process of its own looks whether the
//! broker stands still, and ends its connections once it has for as long as its session lasts:
//! the system sends what it sends for a broker that died, and clients go on at once.
//!
//! It duplicates the broker's sockets (`pidfd_getfd(2)`) for a moment, only then. A broker in a
//! container has none: there the liveness probe does the same, by killing it.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, SocketFlags, accept_with, getsockname, shutdown, sockopt};
use rustix::process::{
    PTracer, Pid, PidfdFlags, PidfdGetfdFlags, getppid, pidfd_getfd, pidfd_open, set_ptracer,
};
use vltava_net::logging::{LogConfig, LogOutput};

use crate::args::WatchdogArgs;
use crate::error::CliError;
use crate::local::process;

/// How often the broker is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Starts the watchdog of this process, which is a broker.
///
/// # Errors
/// If the system refuses.
pub(crate) fn start(session_timeout: Duration) -> io::Result<()> {
    let child = Command::new(std::env::current_exe()?)
        .arg("watchdog")
        .args(["--pid", &std::process::id().to_string()])
        .args(["--session-timeout-ms", &session_timeout.as_millis().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // A signal to the broker's group is not for its watchdog.
        .process_group(0)
        .spawn()?;
    // Where the system lets only parents look into a process (Yama), it is told of this child.
    // Elsewhere there is nothing to be told, which it answers with EINVAL.
    let watchdog = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(watchdog) = watchdog {
        let _ = set_ptracer(PTracer::ProcessID(watchdog));
    }
    Ok(())
}

/// Watches a broker, the parent of this process, until it ends.
///
/// # Errors
/// [`CliError::Watchdog`] if the broker cannot be watched.
pub fn run(args: &WatchdogArgs) -> Result<(), CliError> {
    let logs = LogConfig::from_env(LogOutput::Stderr);
    if let Ok(logs) = logs {
        // The broker tells what is wrong with these settings.
        let _ = logs.init();
    }
    let Some(broker) = Broker::open(args.pid).map_err(CliError::Watchdog)? else { return Ok(()) };
    let session = Duration::from_millis(args.session_timeout_ms);
    let mut still = Still::default();
    let mut held = None;
    let mut next = LOOK;
    while !broker.ends_within(next).map_err(CliError::Watchdog)? {
        let left = still.left(Instant::now(), broker.stands_still(), session);
        next = left.unwrap_or(LOOK).clamp(Duration::from_millis(1), LOOK);
        if left != Some(Duration::ZERO) {
            held = None;
            continue;
        }
        next = LOOK;
        match &held {
            None => held = Some(broker.let_clients_go(session).map_err(CliError::Watchdog)?),
            Some(listeners) => broker.turn_away(listeners).map_err(CliError::Watchdog)?,
        }
    }
    Ok(())
}

/// Since when a process stands still.
#[derive(Debug, Default)]
struct Still {
    since: Option<Instant>,
}

impl Still {
    /// How long it may go on standing still at this look, before it has for `session`; `None` if
    /// it does not stand still.
    fn left(&mut self, now: Instant, stands_still: bool, session: Duration) -> Option<Duration> {
        if !stands_still {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        Some(session.saturating_sub(now.duration_since(since)))
    }
}

/// The broker that is watched.
struct Broker {
    pid: i32,
    handle: OwnedFd,
}

impl Broker {
    /// The parent of this process; `None` if that is another by now.
    fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(parent) = Pid::from_raw(pid) else { return Ok(None) };
        let handle = match pidfd_open(parent, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            handle => handle?,
        };
        // The pid may have been another's already when it was opened.
        Ok((getppid() == Some(parent)).then_some(Self { pid, handle }))
    }

    /// Whether it ends within a time.
    fn ends_within(&self, time: Duration) -> io::Result<bool> {
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&time)) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            ready => Ok(ready? > 0),
        }
    }

    fn stands_still(&self) -> bool {
        process::stands_still(self.pid)
    }

    /// Ends all connections that came to its listeners; gives back the listeners.
    fn let_clients_go(&self, session: Duration) -> io::Result<Vec<RawFd>> {
        let sockets = self.sockets()?;
        let (listeners, others): (Vec<_>, Vec<_>) =
            sockets.into_iter().partition(|socket| socket.listens);
        let ports: BTreeSet<u16> = listeners.iter().map(|socket| socket.local.port()).collect();
        let accepted = others.iter().filter(|socket| ports.contains(&socket.local.port()));
        let mut count = 0;
        for connection in accepted {
            // It may have ended by itself.
            count += usize::from(shutdown(&connection.socket, Shutdown::Both).is_ok());
        }
        tracing::warn!(
            connections = count,
            "this broker stood still for its session of {} ms and does still: its connections are \
             ended, so that clients go on with its partitions' next leaders",
            session.as_millis()
        );
        let listeners: Vec<RawFd> = listeners.iter().map(|listener| listener.number).collect();
        self.turn_away(&listeners)?;
        Ok(listeners)
    }

    /// Ends connections that came meanwhile, which the system took in the broker's name.
    fn turn_away(&self, listeners: &[RawFd]) -> io::Result<()> {
        for number in listeners {
            // Held for this moment only: when the broker dies its ports are free at once.
            let Some(listener) = self.duplicate(*number)? else { continue };
            // The broker's listeners do not block, and this is the same file description.
            while accept_with(&listener, SocketFlags::CLOEXEC).is_ok() {}
        }
        Ok(())
    }

    /// The TCP sockets that it has open.
    fn sockets(&self) -> io::Result<Vec<Socket>> {
        let folder = PathBuf::from(format!("/proc/{}/fd", self.pid));
        let mut sockets = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(number) = socket_number(&path) else { continue };
            if let Some(socket) = self.duplicate(number)?.and_then(|fd| Socket::of(number, fd)) {
                sockets.push(socket);
            }
        }
        Ok(sockets)
    }

    /// A duplicate of one of its descriptors; `None` if it is closed.
    fn duplicate(&self, number: RawFd) -> io::Result<Option<OwnedFd>> {
        match pidfd_getfd(self.handle.as_fd(), number, PidfdGetfdFlags::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(rustix::io::Errno::BADF | rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A TCP socket of the broker.
struct Socket {
    /// Its descriptor in the broker.
    number: RawFd,
    socket: OwnedFd,
    local: SocketAddr,
    listens: bool,
}

impl Socket {
    fn of(number: RawFd, socket: OwnedFd) -> Option<Self> {
        let local = SocketAddr::try_from(getsockname(&socket).ok()?).ok()?;
        let listens = sockopt::socket_acceptconn(&socket).ok()?;
        Some(Self { number, socket, local, listens })
    }
}

/// The number of a descriptor in `/proc/PID/fd`, if it is a socket.
fn socket_number(path: &Path) -> Option<RawFd> {
    let target = std::fs::read_link(path).ok()?;
    target.to_str()?.starts_with("socket:").then_some(())?;
    path.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    use super::Still;

    #[test]
    fn who_stands_still_for_a_session_is_let_go_and_not_before() {
        let mut still = Still::default();
        let looks = [(0, 3_000), (2_999, 1), (3_000, 0), (60_000, 0)];
        assert_eq!(
            looks.map(|(at, _)| left(&mut still, at, true)),
            looks.map(|(_, left)| Some(left))
        );
    }

    #[test]
    fn who_went_on_in_between_begins_anew() {
        let mut still = Still::default();
        assert_eq!(left(&mut still, 0, true), Some(3_000));
        assert_eq!(left(&mut still, 2_000, false), None);
        assert_eq!(left(&mut still, 2_500, true), Some(3_000));
        assert_eq!(left(&mut still, 5_500, true), Some(0));
    }

    /// What is left at a time, both in milliseconds, of a session of three seconds.
    fn left(still: &mut Still, at: u64, stands_still: bool) -> Option<u128> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let now = *START + Duration::from_millis(at);
        still.left(now, stands_still, Duration::from_secs(3)).map(|left| left.as_millis())
    }
}

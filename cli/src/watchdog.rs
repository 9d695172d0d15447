//! The watchdog beside a broker: it lets go of everybody when the broker stands still.
//!
//! A process that was stopped (SIGSTOP, a debugger) keeps its connections. Once its session has
//! ended its partitions have other leaders, but clients with requests on the way to it wait until
//! their own timeouts, which are half a minute and more. So a process of its own looks whether the
//! broker stands still, and shortly before its session ends it ends the broker's connections, to
//! clients, brokers and coordinators, as the system does for a process that died. What follows is
//! what follows a death: the broker is fenced, and clients go on with the next leaders.
//!
//! It duplicates the broker's sockets (`pidfd_getfd(2)`) for a moment, only then. A broker in a
//! container has none: there the liveness probe ends who stands still.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, accept_with, shutdown, sockopt,
};
use rustix::process::{
    PTracer, Pid, PidfdFlags, PidfdGetfdFlags, getppid, pidfd_getfd, pidfd_open, set_ptracer,
};
use vltava_config::{Values, keys};
use vltava_net::logging::{LogConfig, LogOutput};

use crate::args::WatchdogArgs;
use crate::error::CliError;
use crate::local;

/// How often the broker is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The shortest time between two looks.
const TICK: Duration = Duration::from_millis(1);

/// Starts the watchdog of this process, which is a broker.
///
/// # Errors
/// If the system refuses.
pub(crate) fn start(values: &Values) -> io::Result<()> {
    let milliseconds = |value: i32| Duration::from_millis(u64::try_from(value).unwrap_or(0));
    let session = milliseconds(values.get(keys::BROKER_SESSION_TIMEOUT_MS));
    let heartbeat = milliseconds(values.get(keys::BROKER_HEARTBEAT_INTERVAL_MS));
    let child = Command::new(std::env::current_exe()?)
        .arg("watchdog")
        .args(["--pid", &std::process::id().to_string()])
        .args(["--after-ms", &patience(session, heartbeat).as_millis().to_string()])
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

/// How long a broker may stand still. Its last heartbeat may have come an interval before, so its
/// session ends that much sooner. The connections must have ended by then: a fenced broker that
/// others are still connected to is not listed, and clients that move away from it find it gone.
fn patience(session: Duration, heartbeat: Duration) -> Duration {
    session.saturating_sub(heartbeat + 2 * LOOK).max(session / 2)
}

/// Watches a broker, the parent of this process, until it ends.
///
/// # Errors
/// [`CliError::Watchdog`] if the broker cannot be watched.
pub fn run(args: &WatchdogArgs) -> Result<(), CliError> {
    if let Ok(logs) = LogConfig::from_env(LogOutput::Stderr) {
        // The broker tells what is wrong with these settings.
        let _ = logs.init();
    }
    let Some(broker) = Broker::open(args.pid).map_err(CliError::Watchdog)? else { return Ok(()) };
    let patience = Duration::from_millis(args.after_ms);
    let mut still = Still::default();
    let mut listeners = None;
    let mut next = LOOK;
    while !broker.ends_within(next).map_err(CliError::Watchdog)? {
        next = LOOK;
        match still.left(Instant::now(), broker.stands_still(), patience) {
            None => listeners = None,
            Some(left) if !left.is_zero() => next = next.min(left.max(TICK)),
            Some(_) => {
                if let Err(error) = broker.let_go(&mut listeners, patience)
                    // It may have ended meanwhile.
                    && !broker.ends_within(Duration::ZERO).map_err(CliError::Watchdog)?
                {
                    return Err(CliError::Watchdog(error));
                }
            }
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
    /// How long it may go on standing still at this look; `None` if it does not stand still.
    fn left(&mut self, now: Instant, stands_still: bool, patience: Duration) -> Option<Duration> {
        if !stands_still {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        Some(patience.saturating_sub(now.duration_since(since)))
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
        local::stands_still(self.pid)
    }

    /// Ends all its connections, the first time, and those that came to its listeners since.
    fn let_go(&self, listeners: &mut Option<Vec<RawFd>>, patience: Duration) -> io::Result<()> {
        if listeners.is_none() {
            *listeners = Some(self.end_connections(patience)?);
        }
        listeners.iter().flatten().try_for_each(|listener| self.turn_away(*listener))
    }

    /// Ends all its connections; gives back its listeners.
    fn end_connections(&self, patience: Duration) -> io::Result<Vec<RawFd>> {
        let (mut listeners, mut ended) = (Vec::new(), 0);
        let folder = PathBuf::from(format!("/proc/{}/fd", self.pid));
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(number) = socket_number(&path) else { continue };
            let Some(socket) = self.duplicate(number)? else { continue };
            match is_listener(&socket) {
                Some(true) => listeners.push(number),
                // It may have ended by itself.
                Some(false) => ended += usize::from(shutdown(&socket, Shutdown::Both).is_ok()),
                None => {}
            }
        }
        tracing::warn!(
            connections = ended,
            "this broker has stood still for {} ms: its connections are ended, as if it had died, \
             so that its session ends and clients go on with its partitions' next leaders",
            patience.as_millis()
        );
        Ok(listeners)
    }

    /// Ends connections to a listener, which the system took in the broker's name.
    fn turn_away(&self, listener: RawFd) -> io::Result<()> {
        // Held for this moment only: when the broker dies its ports are free at once.
        if let Some(listener) = self.duplicate(listener)? {
            // The broker's listeners do not block, and this is the same file description.
            while accept_with(&listener, SocketFlags::CLOEXEC).is_ok() {}
        }
        Ok(())
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

/// Whether a socket is a TCP listener, or a TCP connection; `None` if it is neither.
fn is_listener(socket: &OwnedFd) -> Option<bool> {
    let is_tcp = sockopt::socket_type(socket).ok()? == SocketType::STREAM
        && matches!(
            sockopt::socket_domain(socket).ok()?,
            AddressFamily::INET | AddressFamily::INET6
        );
    is_tcp.then(|| sockopt::socket_acceptconn(socket).ok()).flatten()
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

    use super::{Still, patience};

    #[test]
    fn a_broker_is_let_go_before_its_session_can_end() {
        let patience = |session, heartbeat| {
            let of = Duration::from_millis;
            patience(of(session), of(heartbeat)).as_millis()
        };
        assert_eq!(patience(3_000, 500), 2_300);
        assert_eq!(patience(9_000, 2_000), 6_800);
        assert_eq!(patience(1_000, 900), 500, "but not for a moment's rest");
    }

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

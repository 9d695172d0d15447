//! Nodes as processes: started, found again, signalled, waited for.
//!
//! A node's process is known by its pid, its start time and the boot of the machine, so that
//! another process that has got the same pid since is never taken for it.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;

/// How often a process that is to end is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// A log beyond this is put aside when its node starts anew.
const LOG_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A process that cannot be mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pid: i32,
    /// When it started, in clock ticks since the boot.
    started: u64,
    boot: String,
}

impl ProcessId {
    /// The process with this pid, if it lives.
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (started, ended) = start_of(&stat)?;
        // Its first thread may have ended before others, which still hold its ports and files.
        (!ended || has_threads(pid)).then(|| Self { pid, started, boot: boot_id() })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let started = words.next()?.parse().ok()?;
        Some(Self { pid, started, boot: words.next()?.to_owned() })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// Whether a process has more threads than its first.
fn has_threads(pid: i32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
}

/// When a process started, from `/proc/PID/stat` (see proc(5)), and whether its first thread has
/// ended and only waits for the parent to notice.
fn start_of(stat: &str) -> Option<(u64, bool)> {
    let mut fields = fields_of(stat)?;
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((started, matches!(state, "Z" | "X" | "x")))
}

/// The fields of `/proc/PID/stat` from the state on.
fn fields_of(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    // The second field is a name in parentheses, which may hold anything.
    stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace())
}

/// Whether a process was stopped, by a signal or by a debugger, and did not go on since.
pub(crate) fn stands_still(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    is_stopped(&stat)
}

fn is_stopped(stat: &str) -> bool {
    matches!(fields_of(stat).and_then(|mut fields| fields.next()), Some("T" | "t"))
}

fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    BOOT.get_or_init(|| read().trim().to_owned()).clone()
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeStatus {
    /// Its process lives.
    Running(i32),
    /// It was stopped, or never started.
    Stopped,
    /// Its process ended without having been stopped by us.
    Dead,
}

/// How a node is at this moment.
pub(crate) fn status(dir: &DataDir, name: NodeName) -> NodeStatus {
    let text = fs::read_to_string(dir.pid_file(name));
    let noted = text.as_ref().ok().and_then(|text| ProcessId::parse(text));
    if let Some(process) = noted.filter(ProcessId::is_alive) {
        return NodeStatus::Running(process.pid);
    }
    match unnoted(dir, name) {
        Some(pid) => NodeStatus::Running(pid),
        None if text.is_ok() => NodeStatus::Dead,
        None => NodeStatus::Stopped,
    }
}

/// The pid that is noted of a node, whether it lives or not.
pub(crate) fn noted(dir: &DataDir, name: NodeName) -> Option<u32> {
    let text = fs::read_to_string(dir.pid_file(name)).ok()?;
    ProcessId::parse(&text).and_then(|process| u32::try_from(process.pid).ok())
}

/// The process of a node that was started by a command which died before it could note it.
fn unnoted(dir: &DataDir, name: NodeName) -> Option<i32> {
    let config = dir.config_file(name);
    let wanted = [name.kind().as_bytes(), b"--config", config.as_os_str().as_bytes()];
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).skip(1).take(3).collect();
        (arguments == wanted && ProcessId::of(pid).is_some()).then_some(pid)
    })
}

/// Whether a node's process lives.
pub(crate) fn is_running(dir: &DataDir, name: NodeName) -> bool {
    matches!(status(dir, name), NodeStatus::Running(_))
}

/// Starts a node's process, apart from the terminal, with its output in the node's log.
///
/// # Errors
/// [`CliError::StartNode`] if the system refuses.
pub(crate) fn start(dir: &DataDir, name: NodeName) -> Result<Child, CliError> {
    let failed = |source| CliError::StartNode { node: name, source };
    let log = open_log(&dir.log_file(name)).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command
        .arg(name.kind())
        .arg("--config")
        .arg(dir.config_file(name))
        .current_dir(dir.node(name))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // Ctrl-C of the terminal must reach `up` alone, which stops nodes in order.
        .process_group(0);
    for (variable, _) in std::env::vars_os() {
        // The manifest decides about nodes here, not what some image would read.
        let text = variable.to_string_lossy();
        if text.starts_with("KAFKA_") || text == "CLUSTER_ID" || text == "HOSTNAME_COMMAND" {
            command.env_remove(&variable);
        }
    }
    let mut child = command.spawn().map_err(failed)?;
    match i32::try_from(child.id()).ok().and_then(ProcessId::of) {
        Some(ProcessId { pid, started, boot }) => {
            note(dir, name, &format!("{pid} {started} {boot}\n"))?;
        }
        None => {
            // It ended at once; who waits for it reads the reason in its log.
            let _ = child.wait();
            note(dir, name, "ended\n")?;
        }
    }
    Ok(child)
}

/// Writes a node's pid file. It need not outlive a crash of the machine: the process would not.
fn note(dir: &DataDir, name: NodeName, text: &str) -> Result<(), CliError> {
    let path = dir.pid_file(name);
    let next = path.with_extension("next");
    fs::write(&next, text)
        .and_then(|()| fs::rename(&next, &path))
        .map_err(|source| CliError::WriteFile { path, source })
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_MAX_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// Sends a signal to a node's process; `false` if it does not run.
///
/// # Errors
/// [`CliError::Signal`] if the system refuses.
pub(crate) fn signal(dir: &DataDir, name: NodeName, signal: Signal) -> Result<bool, CliError> {
    let NodeStatus::Running(pid) = status(dir, name) else { return Ok(false) };
    let Some(pid) = Pid::from_raw(pid) else { return Ok(false) };
    match rustix::process::kill_process(pid, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(CliError::Signal { node: name, source: error.into() }),
    }
}

/// Waits until a node's process has ended; `false` if it lives on after the time.
pub(crate) async fn ended(dir: &DataDir, name: NodeName, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while is_running(dir, name) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// Forgets a node's process, which has been stopped on purpose.
pub(crate) fn forget(dir: &DataDir, name: NodeName) -> Result<(), CliError> {
    let path = dir.pid_file(name);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CliError::WriteFile { path, source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ProcessId, is_stopped, start_of};

    #[test]
    fn this_process_lives_and_is_itself() {
        let pid = i32::try_from(std::process::id()).expect("pids are small");
        let me = ProcessId::of(pid).expect("this process lives");
        assert!(me.is_alive());
        let text = format!("{} {} {}", me.pid, me.started, me.boot);
        assert_eq!(ProcessId::parse(&text).as_ref(), Some(&me));
        let other = ProcessId { started: me.started + 1, ..me };
        assert!(!other.is_alive(), "another process had the pid before");
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(start_of(&format!("5 (a) b) (c)) S {tail}")), Some((777, false)));
        assert_eq!(start_of(&format!("5 (gone) Z {tail}")), Some((777, true)));
    }

    #[test]
    fn a_stopped_process_is_told_from_others_whatever_its_name() {
        assert!(is_stopped("5 (a) T 1 2"), "SIGSTOP");
        assert!(is_stopped("5 (a) t 1 2"), "a debugger");
        for running in ["5 (a) S 1 2", "5 (T) R 1", "5 (x) T) D 1", "5 (a) Z 1", "", "5 (a)"] {
            assert!(!is_stopped(running), "{running}");
        }
    }

    #[test]
    fn a_pid_file_that_makes_no_sense_is_no_process() {
        for bad in ["", "ended", "0 1 x", "-1 1 x", "1", "1 x y"] {
            assert_eq!(ProcessId::parse(bad), None, "{bad}");
        }
    }
}

//! `up` in the foreground: the nodes' log lines, until Ctrl-C or until no node runs any more.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::logs::{LOOK, Watched};
use crate::local::node_name::NodeName;
use crate::local::process::NodeStatus;
use crate::local::state::ClusterState;
use crate::local::{process, shutdown};
use crate::output;

/// Signals that end `up`: Ctrl-C, a polite end, and the terminal's going away.
pub(crate) struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Ends {
    /// Handles these signals from now on, instead of ending at once.
    ///
    /// # Errors
    /// [`CliError::Signals`] if the process may not handle them.
    pub(crate) fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Signals);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Shows the nodes' log lines until it is told to end, then stops the cluster in order. A second
/// signal kills what still runs.
///
/// # Errors
/// [`CliError::KilledInstead`] if it came to that; [`CliError::Refused`] if no node runs any more,
/// and not all of them were stopped.
pub(crate) async fn run(
    dir: &DataDir,
    state: &ClusterState,
    mut children: BTreeMap<NodeName, Child>,
    mut watched: Watched,
    ends: &mut Ends,
) -> Result<(), CliError> {
    let mut ended = BTreeMap::new();
    loop {
        tokio::select! {
            () = ends.next() => break,
            () = tokio::time::sleep(LOOK) => {
                // Who closed the output still has a cluster, which must be stopped.
                if watched.show().and_then(|()| report(&mut children, &mut ended)).is_err() {
                    break;
                }
                if !state.nodes.keys().any(|name| process::is_running(dir, *name)) {
                    return none_runs(dir, state, &ended).await;
                }
            }
        }
    }
    let result = {
        let nodes: Vec<NodeName> = state.nodes.keys().copied().collect();
        let stopping = shutdown::all(dir, state);
        let mut stopping = std::pin::pin!(in_order(ASKED, (dir, &nodes), stopping, ends));
        loop {
            tokio::select! {
                result = &mut stopping => break result,
                // Nobody need read it any more.
                () = tokio::time::sleep(LOOK) => drop(watched.show()),
            }
        }
    };
    let _ = watched.show();
    result
}

/// What is said where somebody asked for the end.
pub(crate) const ASKED: &str = "stopping in order; Ctrl-C once more";
/// What is said where the nodes were started in vain.
pub(crate) const IN_VAIN: &str = "stopping what was started; Ctrl-C";

/// Lets nodes stop in order, and says `what` a signal does meanwhile: it kills those that still
/// run.
///
/// # Errors
/// [`CliError::KilledInstead`] if it came.
pub(crate) async fn in_order(
    what: &str,
    (dir, nodes): (&DataDir, &[NodeName]),
    stopping: impl Future<Output = Result<(), CliError>>,
    ends: &mut Ends,
) -> Result<(), CliError> {
    // Nobody may read it any more, and the nodes must be stopped all the same.
    let _ = output::line(format_args!("{what} kills what still runs"));
    tokio::select! {
        result = stopping => result,
        () = ends.next() => kill_all(dir, nodes).await,
    }
}

/// Kills those that run.
async fn kill_all(dir: &DataDir, nodes: &[NodeName]) -> Result<(), CliError> {
    let mut killed = Vec::new();
    for name in nodes {
        if shutdown::kill(dir, *name).await? {
            let _ = output::line(format_args!("{name} killed"));
            killed.push(name.to_string());
        }
    }
    if killed.is_empty() { Ok(()) } else { Err(CliError::KilledInstead { nodes: killed }) }
}

/// How a process of ours ended: its pid, and what the system says.
type Ended = BTreeMap<NodeName, (u32, ExitStatus)>;

/// Says which of our own processes have ended, and lets the system forget them.
fn report(children: &mut BTreeMap<NodeName, Child>, ended: &mut Ended) -> Result<(), CliError> {
    let mut news = Vec::new();
    for (name, child) in children.iter_mut() {
        if let Ok(Some(status)) = child.try_wait() {
            ended.insert(*name, (child.id(), status));
            news.push((*name, status));
        }
    }
    for (name, status) in news {
        children.remove(&name);
        output::line(format_args!("{name} ended: {}", how(status)))?;
    }
    Ok(())
}

/// No node runs any more. That is as it should be if all were stopped, and told as a failure if one
/// was killed or fell over.
async fn none_runs(dir: &DataDir, state: &ClusterState, ended: &Ended) -> Result<(), CliError> {
    // Who stops them forgets their processes once they are gone, and has the lock until then.
    let _lock = match dir.lock().await {
        // `down` has removed all of it.
        Err(CliError::NoCluster { .. }) => return output::line("no node runs any more"),
        lock => lock.ok(),
    };
    let died = |name: &NodeName| {
        if process::status(dir, *name) != NodeStatus::Dead {
            return None;
        }
        // One that somebody else started since is another process.
        let ours = ended.get(name).filter(|(pid, _)| process::noted(dir, *name) == Some(*pid));
        match ours {
            Some((_, status)) if status.success() => None,
            Some((_, status)) => Some(format!("{name} {}", how(*status))),
            None => Some(format!("{name} died")),
        }
    };
    let died: Vec<String> = state.nodes.keys().filter_map(died).collect();
    if died.is_empty() {
        return output::line("no node runs any more");
    }
    Err(CliError::Refused(format!("no node runs any more: {}", died.join(", "))))
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "stopped".to_owned(),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(9)) => "killed (SIGKILL)".to_owned(),
        (None, Some(15)) => "SIGTERM".to_owned(),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

//! `stop`, `kill`, `start` and `down`.

use std::time::Duration;

use crate::args::DownArgs;
use crate::error::CliError;
use crate::local::data_dir::{DataDir, DataLock};
use crate::local::node_name::NodeName;
use crate::local::state::ClusterState;
use crate::local::{ports, process, readiness, shutdown};
use crate::output;

/// How long a node has to become ready: one with a large log reads it first.
const READY: Duration = Duration::from_secs(60);

/// How long it is waited for where no quorum can let it in.
const READY_WITHOUT_QUORUM: Duration = Duration::from_secs(5);

/// Stops nodes in good order.
///
/// # Errors
/// If there is no such node, or one does not end.
pub async fn stop(dir: &DataDir, names: &[String]) -> Result<(), CliError> {
    let (_lock, state) = locked(dir).await?;
    let nodes = find(&state, names)?;
    for name in &nodes {
        if !process::is_running(dir, *name) {
            output::line(format_args!("{name} does not run"))?;
        }
    }
    shutdown::together(dir, &state, &nodes).await
}

/// Kills nodes at once.
///
/// # Errors
/// If there is no such node, or one cannot be killed.
pub async fn kill(dir: &DataDir, names: &[String]) -> Result<(), CliError> {
    // Without the lock: killing must work at any moment.
    let nodes = find(&ClusterState::existing(dir, false)?, names)?;
    for name in nodes {
        if shutdown::kill(dir, name).await? {
            output::line(format_args!("{name} killed"))?;
        } else {
            output::line(format_args!("{name} does not run"))?;
        }
    }
    Ok(())
}

/// Starts nodes that do not run, and waits until they are ready.
///
/// # Errors
/// If there is no such node, a port is taken, or one does not become ready.
pub async fn start(dir: &DataDir, names: &[String]) -> Result<(), CliError> {
    let (_lock, state) = locked(dir).await?;
    let nodes = find(&state, names)?;
    let (running, down): (Vec<NodeName>, Vec<NodeName>) =
        nodes.into_iter().partition(|name| process::is_running(dir, *name));
    for name in &running {
        output::line(format_args!("{name} runs already"))?;
    }
    check_ports(&state, &down)?;
    for name in &down {
        process::start(dir, *name)?;
    }
    let holds = shutdown::has_quorum(dir, &state);
    let within = if holds { READY } else { READY_WITHOUT_QUORUM };
    let tell = |name| output::line(format_args!("{name} started"));
    match readiness::wait(dir, &state, &down, within, tell).await {
        Err(CliError::NotReady { node, .. }) if !holds => {
            let why = super::leaderless(dir)?.unwrap_or_default();
            Err(CliError::Refused(format!("{node} is started, and cannot be ready yet: {why}")))
        }
        outcome => outcome,
    }
}

/// Stops the whole cluster, and removes its data if asked to.
///
/// # Errors
/// If there is no cluster, a node does not end, or the data cannot be removed.
pub async fn down(dir: &DataDir, args: &DownArgs) -> Result<(), CliError> {
    let (lock, state) = locked(dir).await?;
    if !state.nodes.keys().any(|name| process::is_running(dir, *name)) {
        output::line("no node runs")?;
    }
    shutdown::all(dir, &state).await?;
    if !args.volumes {
        return Ok(());
    }
    dir.remove(lock)?;
    output::line(format_args!("removed {}", dir.root().display()))
}

/// Waits until no other command changes the cluster, and reads what it is then.
async fn locked(dir: &DataDir) -> Result<(DataLock, ClusterState), CliError> {
    // Where there is none, nothing is made either.
    ClusterState::existing(dir, false)?;
    let lock = dir.lock().await?;
    let state = ClusterState::existing(dir, false).inspect_err(|_| dir.remove_unused())?;
    Ok((lock, state))
}

fn find(state: &ClusterState, names: &[String]) -> Result<Vec<NodeName>, CliError> {
    let mut nodes = names.iter().map(|name| state.find(name)).collect::<Result<Vec<_>, _>>()?;
    nodes.sort();
    nodes.dedup();
    Ok(nodes)
}

/// Sees to it that nodes which do not run could listen where they must.
///
/// # Errors
/// [`CliError::PortTaken`] with the first port that they cannot have.
pub(crate) fn check_ports(state: &ClusterState, nodes: &[NodeName]) -> Result<(), CliError> {
    for name in nodes {
        let Some(node) = state.nodes.get(name) else { continue };
        let listeners = node.listeners.values().map(|address| (address.port, address.outside));
        for (port, outside) in listeners.chain([(node.admin_port, false)]) {
            if !ports::is_free(port) {
                let what = if outside {
                    "end what listens there, or choose other nodePorts in the manifest"
                } else {
                    "end what listens there"
                };
                return Err(CliError::PortTaken { port, node: *name, what: what.to_owned() });
            }
        }
    }
    Ok(())
}

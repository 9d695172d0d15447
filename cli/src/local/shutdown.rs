//! Stopping a cluster in order: brokers hand over while coordinators can still hear them.

use std::time::Duration;

use rustix::process::Signal;

use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;
use crate::local::process;
use crate::local::state::ClusterState;
use crate::output;

/// How long nodes have to end in good order: a broker waits half a minute for others to lead its
/// partitions, and then closes its files.
const GRACE: Duration = Duration::from_secs(45);
/// How long brokers have where no quorum can tell others to lead.
const GRACE_WITHOUT_QUORUM: Duration = Duration::from_secs(5);
/// How long a killed process takes at most to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Stops all nodes: first the brokers, then the coordinators. One that does not end in time is
/// killed.
///
/// # Errors
/// [`CliError::DidNotEnd`] if one lives on even so.
pub(crate) async fn all(dir: &DataDir, state: &ClusterState) -> Result<(), CliError> {
    for brokers in [true, false] {
        let nodes: Vec<NodeName> =
            state.nodes.keys().copied().filter(|name| name.is_broker() == brokers).collect();
        together(dir, state, &nodes).await?;
    }
    Ok(())
}

/// Whether most coordinators run.
pub(crate) fn has_quorum(dir: &DataDir, state: &ClusterState) -> bool {
    let coordinators: Vec<&NodeName> =
        state.nodes.keys().filter(|name| !name.is_broker()).collect();
    let up = coordinators.iter().filter(|name| process::is_running(dir, ***name)).count();
    up * 2 > coordinators.len()
}

/// Stops some nodes at once.
pub(crate) async fn together(
    dir: &DataDir,
    state: &ClusterState,
    nodes: &[NodeName],
) -> Result<(), CliError> {
    let grace = if has_quorum(dir, state) { GRACE } else { GRACE_WITHOUT_QUORUM };
    let mut told = Vec::new();
    for name in nodes {
        if process::signal(dir, *name, Signal::TERM)? {
            told.push(*name);
        } else {
            process::forget(dir, *name)?;
        }
    }
    let deadline = tokio::time::Instant::now() + grace;
    for name in told {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if process::ended(dir, name, left).await {
            process::forget(dir, name)?;
            say(format_args!("{name} stopped"));
        } else {
            kill(dir, name).await?;
            say(format_args!("{name} did not end in {} s: killed", grace.as_secs()));
        }
    }
    Ok(())
}

/// Says what was done. If nobody reads it, the nodes must be stopped all the same.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = output::line(text);
}

/// Kills a node; `false` if it did not run.
pub(crate) async fn kill(dir: &DataDir, name: NodeName) -> Result<bool, CliError> {
    if !process::signal(dir, name, Signal::KILL)? {
        return Ok(false);
    }
    if process::ended(dir, name, GONE).await {
        return Ok(true);
    }
    Err(CliError::DidNotEnd { node: name, seconds: GONE.as_secs() })
}

//! Faults: signals to nodes, by the pid that the cluster started.

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::cluster::Cluster;

/// Sends a signal to one process.
///
/// # Errors
/// If there is no such process.
pub fn signal(pid: i32, signal: Signal) -> Outcome {
    let process = Pid::from_raw(pid).ok_or("0 is no pid")?;
    kill_process(process, signal).map_err(|error| format!("signal to {pid}: {error}"))
}

/// Sends a signal to a node.
///
/// # Errors
/// If the node does not run.
pub fn signal_node(cluster: &Cluster, node: &str, to_send: Signal) -> Outcome {
    let node = cluster.node(node)?;
    let pid = node.pid.ok_or_else(|| format!("{} does not run", node.name))?;
    signal(pid, to_send)
}

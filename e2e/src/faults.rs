//! Faults: signals to nodes, by the pid that the cluster started, of one's choice or at random.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
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

/// What is done to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A broker or a coordinator is killed.
    Kill,
    /// One stands still.
    Pause,
    /// Two brokers are killed.
    KillTwo,
    /// A broker and a coordinator are killed.
    KillBoth,
    /// All nodes are killed.
    KillAll,
}

/// Chooses a fault and the nodes that it comes to.
///
/// # Errors
/// If the cluster does not say which nodes it has.
pub fn choose(cluster: &Cluster, random: &mut StdRng) -> Outcome<(Fault, Vec<String>)> {
    let names = |role: &str| -> Outcome<Vec<String>> {
        let nodes = cluster.nodes()?;
        Ok(nodes.into_iter().filter(|node| node.role == role).map(|node| node.name).collect())
    };
    let (brokers, coordinators) = (names("broker")?, names("coordinator")?);
    let mut pick = |from: &[String], count: usize| -> Vec<String> {
        from.choose_multiple(random, count).cloned().collect()
    };
    let one_broker = pick(&brokers, 1);
    let one_coordinator = pick(&coordinators, 1);
    let two = pick(&brokers, 2);
    let either = if random.random_bool(0.7) { one_broker.clone() } else { one_coordinator.clone() };
    Ok(match random.random_range(0..10) {
        0..=3 => (Fault::Kill, either),
        4..=5 => (Fault::Pause, either),
        6..=7 => (Fault::KillBoth, [one_broker, one_coordinator].concat()),
        8 => (Fault::KillTwo, two),
        _ => (Fault::KillAll, [brokers, coordinators].concat()),
    })
}

/// Kills or pauses the nodes.
///
/// # Errors
/// If one of them does not run.
pub fn begin(cluster: &Cluster, fault: Fault, nodes: &[String]) -> Outcome {
    let to_send = if fault == Fault::Pause { Signal::STOP } else { Signal::KILL };
    nodes.iter().try_for_each(|node| signal_node(cluster, node, to_send))
}

/// Lets paused nodes go on, or starts killed ones again.
///
/// # Errors
/// If they do not start.
pub fn end(cluster: &Cluster, fault: Fault, nodes: &[String]) -> Outcome {
    if fault == Fault::Pause {
        return nodes.iter().try_for_each(|node| signal_node(cluster, node, Signal::CONT));
    }
    cluster.start_all()
}

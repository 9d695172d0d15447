//! What dies under a load: a leader's pod, a machine; and machines that are drained.

use std::time::{Duration, Instant};

use crate::kube::manifest::{LOAD, Manifest};
use crate::kube::outside;
use crate::kube::pods::is_up;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{SETTLES, Steady, World};
use crate::{Outcome, until};

/// How long a second machine is held back, at least, while the first is away.
const HELD_BACK: Duration = Duration::from_secs(15);

/// The pod of a leader is killed.
pub(super) fn leader(world: &World) -> Outcome<String> {
    let namespace = namespace_of("leader");
    let cluster = world.cluster(&namespace, &Manifest::new("prague").outside(&PORTS))?;
    let load = Steady::start(&outside())?;
    let mut gaps = Vec::new();
    for _ in 0..3 {
        load.more(200)?;
        let leader = cluster.leader(&outside(), LOAD, 0)?;
        let pod = format!("prague-broker-{leader}");
        load.reset_gap();
        cluster.kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"])?;
        load.more(400)?;
        gaps.push(load.longest_gap());
        cluster.pods_up("broker", 3, SETTLES)?;
        cluster.whole(&outside(), SETTLES)?;
    }
    cluster.settled()?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    let most = world.bounds.gap;
    if let Some(gap) = gaps.iter().find(|gap| **gap > most) {
        return Err(format!("{gap:.1?} without an acknowledgement; {most:?} is the most"));
    }
    Ok(format!("gaps {gaps:.1?}; {found}"))
}

/// A machine dies and comes back.
pub(super) fn node(world: &World) -> Outcome<String> {
    let namespace = namespace_of("node");
    let cluster = world.cluster(&namespace, &Manifest::new("prague").outside(&PORTS))?;
    let load = Steady::start(&outside())?;
    let leader = cluster.leader(&outside(), LOAD, 0)?;
    let pod = cluster.json(&["get", "pod", &format!("prague-broker-{leader}")])?;
    let machine = pod["spec"]["nodeName"].as_str().ok_or("the leader's pod has no node")?;
    load.reset_gap();
    world.shell.run("docker", &["kill", machine]).map_err(|error| {
        format!("{error}; this scenario needs nodes that are containers here, as kind's are")
    })?;
    let gone_on = load.more(1000);
    let gap = load.longest_gap();
    world.shell.run("docker", &["start", machine])?;
    let back = Instant::now();
    gone_on?;
    world.node_ready(machine, true, SETTLES)?;
    cluster.pods_up("broker", 3, SETTLES)?;
    cluster.pods_up("coordinator", 3, SETTLES)?;
    cluster.whole(&outside(), SETTLES)?;
    let healed = back.elapsed();
    cluster.settled()?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("gap {gap:.1?}, all in sync {healed:.1?} after the machine's return; {found}"))
}

/// Two machines are drained back to back, and a third one while a roll is under way.
pub(super) fn drain(world: &World) -> Outcome<String> {
    let namespace = namespace_of("drain");
    let manifest = Manifest::new("prague").outside(&PORTS);
    let cluster = world.cluster(&namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    let workers = world.workers()?;
    let [(first, _), (second, _), (third, _), ..] = workers.as_slice() else {
        return Err("there are fewer than three machines to drain".to_owned());
    };
    let watch = cluster.watch()?;
    let both = drain_both(world, &cluster, &load, first, second);
    let rolling = both.and_then(|()| {
        cluster.settled()?;
        drain_during_roll(world, &cluster, &manifest, third)
    });
    for machine in [first, second, third] {
        world.shell.kubectl(&["uncordon", machine])?;
    }
    rolling?;
    cluster.settled()?;
    cluster.whole(&outside(), SETTLES)?;
    for component in ["broker", "coordinator"] {
        let down = watch.most_down(component);
        if down > 1 {
            return Err(format!("{down} {component}s were down at once"));
        }
    }
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("two back to back and one during a roll, never two of a kind down; {found}"))
}

/// A machine is drained as a roll begins: evictions of the operator and of `kubectl drain` share
/// one budget, and the roll goes on once the machine is back.
fn drain_during_roll(
    world: &World,
    cluster: &crate::kube::Cluster,
    manifest: &Manifest,
    machine: &str,
) -> Outcome {
    let before = cluster.uids("broker")?;
    cluster.apply(&manifest.clone().set("log.retention.check.interval.ms", "220000"))?;
    world.shell.kubectl(&drain_of(machine))?;
    world.shell.kubectl(&["uncordon", machine])?;
    cluster.settled()?;
    let after = cluster.uids("broker")?;
    match before.iter().find(|pod| after.contains(pod)) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} was not restarted by the roll")),
    }
}

fn drain_of(machine: &str) -> [&str; 5] {
    ["drain", machine, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"]
}

fn drain_both(
    world: &World,
    cluster: &crate::kube::Cluster,
    load: &Steady,
    first: &str,
    second: &str,
) -> Outcome {
    world.shell.kubectl(&drain_of(first))?;
    let mut other = world.shell.stream("kubectl", &drain_of(second))?;
    // Its pods wait for the first machine's, which lie on its disk and so wait for it.
    let start = Instant::now();
    while start.elapsed() < HELD_BACK {
        let pods = cluster.pods("broker")?;
        let there = pods.iter().find(|pod| pod["spec"]["nodeName"] == second);
        if !there.is_some_and(is_up) {
            let _ = other.kill();
            let _ = other.wait();
            return Err(format!("{second} lost its broker while {first}'s was away"));
        }
        load.more(100)?;
    }
    world.shell.kubectl(&["uncordon", first])?;
    until("the second drain", SETTLES, || match other.try_wait() {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("kubectl drain {second} ended with {status}")),
        Ok(None) => Err("it still waits".to_owned()),
        Err(error) => Err(error.to_string()),
    })?;
    // What lies on the second machine's disk comes back with it, and not before.
    world.shell.kubectl(&["uncordon", second]).map(|_| ())
}

//! Topics that follow the manifest.

use std::time::{Duration, Instant};

use crate::kube::cluster::{Partition, partitions};
use crate::kube::manifest::Manifest;
use crate::kube::outside;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, SETTLES, Steady, World};
use crate::{Outcome, until};

/// How long one change of the manifest may take to come into force.
const IN_FORCE: Duration = Duration::from_secs(90);

/// Created, grown, moved, altered, kept; and what is refused stops nothing else.
pub(super) fn run(world: &World) -> Outcome<String> {
    let namespace = namespace_of("topics");
    let mut manifest = Manifest::new("prague").outside(&PORTS);
    let load_topic =
        |replicas: i32| format!("{{name: load, partitions: 6, replicationFactor: {replicas}}}");
    manifest.topics = vec![
        load_topic(1),
        "{name: orders, partitions: 2, replicationFactor: 3, config: {retention.ms: \"3600000\"}}"
            .to_owned(),
        "{name: leaving, partitions: 1, replicationFactor: 3}".to_owned(),
    ];
    let cluster = world.cluster(&namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    has(&cluster, "orders", "retention.ms", "3600000")?;
    let by_hand = ["topic", "create", "by-hand", "-p", "1", "-r", "3"];
    cluster.vltava(1, &by_hand)?;

    // Replication up and down, partitions up, a setting changed, a topic no longer declared.
    let start = Instant::now();
    manifest.topics = vec![
        load_topic(3),
        "{name: orders, partitions: 5, replicationFactor: 3, config: {retention.ms: \"7200000\"}}"
            .to_owned(),
    ];
    cluster.apply(&manifest)?;
    replicas(&cluster, "load", 6, 3)?;
    let up = start.elapsed();
    replicas(&cluster, "orders", 5, 3)?;
    has(&cluster, "orders", "retention.ms", "7200000")?;
    row(&cluster, "leaving", "Kept")?;
    replicas(&cluster, "leaving", 1, 3)?;

    // Down again, a setting reset, and fewer partitions refused while the rest goes on.
    let start = Instant::now();
    manifest.topics = vec![
        load_topic(2),
        "{name: orders, partitions: 3, replicationFactor: 3}".to_owned(),
        "{name: new, partitions: 4, replicationFactor: 3}".to_owned(),
    ];
    cluster.apply(&manifest)?;
    replicas(&cluster, "load", 6, 2)?;
    let down = start.elapsed();
    replicas(&cluster, "new", 4, 3)?;
    row(&cluster, "orders", "Refused")?;
    replicas(&cluster, "orders", 5, 3)?;
    let topics_ready = cluster.condition("TopicsReady", "False", IN_FORCE)?;
    let said = crate::kube::conditions::find(&topics_ready, "TopicsReady");
    if !said.as_ref().is_some_and(|it| it.message.contains("orders")) {
        return Err(format!("TopicsReady does not name orders: {said:?}"));
    }
    replicas(&cluster, "by-hand", 1, 3)?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("replication 1 → 3 in {up:.1?}, 3 → 2 in {down:.1?}; {found}"))
}

/// Waits until a topic has so many partitions, each with so many replicas in sync.
fn replicas(cluster: &Cluster, topic: &str, count: usize, replicas: usize) -> Outcome {
    until(&format!("{topic} as {count} × {replicas} in {}", cluster.name), SETTLES, || {
        let all = partitions(&outside())?;
        let its: Vec<&Partition> = all.iter().filter(|it| it.topic == topic).collect();
        let is_so = |it: &&Partition| it.replicas.len() == replicas && it.isr.len() == replicas;
        if its.len() == count && its.iter().all(is_so) { Ok(()) } else { Err(format!("{its:?}")) }
    })
}

/// Waits until a topic's setting is in force.
fn has(cluster: &Cluster, topic: &str, key: &str, value: &str) -> Outcome {
    until(&format!("{key} of {topic}"), IN_FORCE, || {
        let shown = cluster.vltava(1, &["config", "describe", "topic", topic])?;
        let line = shown.lines().find(|line| line.contains(key)).unwrap_or_default();
        if line.contains(value) { Ok(()) } else { Err(format!("it shows {line:?}")) }
    })
}

/// Waits until the status has a row of a topic with this state.
fn row(cluster: &Cluster, topic: &str, state: &str) -> Outcome {
    until(&format!("{topic} to be {state}"), IN_FORCE, || {
        let resource = cluster.resource()?;
        let rows = resource["status"]["topics"].as_array().cloned().unwrap_or_default();
        let found = rows.iter().find(|row| row["name"] == topic);
        match found {
            Some(row) if row["state"] == state => Ok(()),
            other => Err(format!("its row is {other:?}")),
        }
    })
}

//! More nodes and fewer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kube::cluster::partitions;
use crate::kube::manifest::Manifest;
use crate::kube::world::namespace_of;
use crate::kube::{Cluster, SETTLES, Steady, World, operator};
use crate::{Outcome, until};

/// How far the brokers' numbers of replicas may lie apart once they are balanced.
const APART_MAX: usize = 3;
/// How long the operator works on the way down before it is killed.
const HALF_WAY: Duration = Duration::from_secs(3);
/// How long a refusal may take.
const REFUSED: Duration = Duration::from_secs(30);

/// Three brokers, four, three.
pub(super) fn run(world: &World) -> Outcome<String> {
    let namespace = namespace_of("scale");
    let mut manifest = Manifest::new("prague").at_nodes();
    manifest.broker_fields = vec!["storage: {size: 1Gi, reclaimPolicy: Delete}".to_owned()];
    let manifest = manifest.topic("{name: orders, partitions: 9, replicationFactor: 3}");
    let cluster = world.cluster(&namespace, &manifest)?;
    let bootstrap = cluster.bootstrap("external")?;
    let load = Steady::start(&bootstrap)?;
    let start = Instant::now();
    scale(&cluster, 4)?;
    cluster.settled()?;
    balanced(&bootstrap, 4)?;
    let up = start.elapsed();
    load.more(200)?;

    let start = Instant::now();
    scale(&cluster, 3)?;
    std::thread::sleep(HALF_WAY);
    operator::kill(&world.shell)?;
    drained_first(&cluster, &bootstrap)?;
    cluster.settled()?;
    let down = start.elapsed();
    balanced(&bootstrap, 3)?;
    let claims = cluster.kubectl(&["get", "pvc", "-o", "name"])?;
    if claims.contains("broker-4") {
        return Err(format!("the fourth broker's volume was to be deleted: {claims}"));
    }
    let known = cluster.vltava(1, &["quorum", "status"])?;
    if known.contains("broker-4") {
        return Err(format!("broker 4 is still registered: {known}"));
    }

    // Two brokers cannot hold three replicas.
    scale(&cluster, 2)?;
    cluster.says("replication", REFUSED)?;
    cluster.pods_up("broker", 3, REFUSED)?;
    scale(&cluster, 3)?;
    cluster.settled()?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("3 → 4 in {up:.1?}, 4 → 3 in {down:.1?}; {found}"))
}

fn scale(cluster: &Cluster, brokers: i32) -> Outcome {
    let replicas = format!("--replicas={brokers}");
    cluster.kubectl(&["scale", &format!("kc/{}", cluster.name), &replicas]).map(|_| ())
}

/// The fourth broker's pod is there as long as it holds a replica.
fn drained_first(cluster: &Cluster, bootstrap: &str) -> Outcome {
    until("the fourth broker's end", SETTLES, || {
        // In this order: what was held while the pod was gone cannot be what was held before.
        let pods = cluster.pods("broker")?;
        let gone = pods.len() == 3;
        let held = partitions(bootstrap)?.iter().filter(|it| it.replicas.contains(&4)).count();
        match (gone, held) {
            (true, 0) => Ok(Ok(())),
            (true, held) => Ok(Err(format!("the broker went while it held {held} replicas"))),
            (false, held) => Err(format!("it holds {held} replicas")),
        }
    })?
}

/// Every broker has its share of the replicas.
fn balanced(bootstrap: &str, brokers: i32) -> Outcome {
    until("balanced replicas", SETTLES, || {
        let mut held: BTreeMap<i32, usize> = (1..=brokers).map(|broker| (broker, 0)).collect();
        for partition in partitions(bootstrap)? {
            if partition.topic.starts_with("__") {
                continue;
            }
            for replica in partition.replicas {
                *held.entry(replica).or_default() += 1;
            }
        }
        let (least, most) = (held.values().min(), held.values().max());
        let apart = most.zip(least).map_or(0, |(most, least)| most - least);
        let fine = apart <= APART_MAX && held.len() == brokers as usize;
        if fine { Ok(()) } else { Err(format!("replicas of each: {held:?}")) }
    })
}

/// One coordinator, three, five, three.
pub(super) fn coordinators(world: &World) -> Outcome<String> {
    let namespace = namespace_of("coordinators");
    let mut manifest = Manifest::new("prague").at_nodes();
    manifest.coordinators = 1;
    let cluster = world.cluster(&namespace, &manifest)?;
    let bootstrap = cluster.bootstrap("external")?;
    let load = Steady::start(&bootstrap)?;
    let mut took = Vec::new();
    for count in [3, 5, 3] {
        let start = Instant::now();
        manifest.coordinators = count;
        cluster.apply(&manifest)?;
        cluster.settled()?;
        voters(&cluster, count as usize)?;
        took.push(start.elapsed());
        load.more(200)?;
    }
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("1 → 3 → 5 → 3 in {took:.1?}; {found}"))
}

/// Waits until so many coordinators vote.
pub(super) fn voters(cluster: &Cluster, count: usize) -> Outcome {
    until(&format!("{count} voters"), SETTLES, || {
        let status = cluster.vltava(1, &["quorum", "status"])?;
        let voters = status
            .lines()
            .filter(|line| line.contains("Mode: leader") || line.contains("Mode: follower"))
            .count();
        if voters == count { Ok(()) } else { Err(status) }
    })
}

//! Where pods run, and what they know of it.

use std::collections::BTreeSet;

use crate::Outcome;
use crate::kube::cluster::partitions;
use crate::kube::manifest::Manifest;
use crate::kube::outside;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, Steady, World};

/// The label of a machine's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// One broker a machine, each with its machine's zone as its rack.
pub(super) fn run(world: &World) -> Outcome<String> {
    let namespace = namespace_of("placement");
    let workers = world.workers()?;
    if workers.len() < 3 {
        return Err(format!("there are {} machines; this needs three", workers.len()));
    }
    for (index, (machine, _)) in workers.iter().enumerate() {
        // Two zones for three machines.
        let label = format!("{ZONE}=zone-{}", index % 2);
        world.shell.kubectl(&["label", "node", machine, &label, "--overwrite"])?;
    }
    let outcome = placed(world, &namespace, workers.len());
    for (machine, _) in &workers {
        world.shell.kubectl(&["label", "node", machine, &format!("{ZONE}-")])?;
    }
    let found = outcome?;
    world.remove_namespace(&namespace)?;
    Ok(found)
}

fn placed(world: &World, namespace: &str, machines: usize) -> Outcome<String> {
    let manifest = Manifest::new("prague")
        .outside(&PORTS)
        .topic("{name: pairs, partitions: 6, replicationFactor: 2}");
    let cluster = world.cluster(namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    let mut on = BTreeSet::new();
    let mut racks = std::collections::BTreeMap::new();
    for pod in cluster.pods("broker")? {
        let machine = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        let rack = pod["metadata"]["annotations"]["vltava.dev/rack"].as_str().unwrap_or_default();
        let zone =
            world.shell.json(&["get", "node", &machine])?["metadata"]["labels"][ZONE].clone();
        if zone != rack {
            return Err(format!("a pod on {machine} ({zone}) has the rack {rack:?}"));
        }
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let id: i32 = name.rsplit('-').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        racks.insert(id, rack.to_owned());
        on.insert(machine);
    }
    if on.len() != machines.min(3) {
        return Err(format!("three brokers run on {on:?}"));
    }
    spread(&cluster, &racks)?;
    let found = load.finish_without_errors()?;
    Ok(format!("brokers on {} machines in racks {racks:?}; {found}", on.len()))
}

/// The replicas of a pair lie in two racks.
fn spread(cluster: &Cluster, racks: &std::collections::BTreeMap<i32, String>) -> Outcome {
    for partition in partitions(&outside())?.iter().filter(|it| it.topic == "pairs") {
        let its: BTreeSet<Option<&String>> =
            partition.replicas.iter().map(|id| racks.get(id)).collect();
        if its.len() != 2 {
            return Err(format!("{}: {partition:?} lies in {its:?}", cluster.name));
        }
    }
    Ok(())
}

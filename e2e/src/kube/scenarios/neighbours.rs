//! Clusters side by side, and others who write on our objects.

use std::time::Duration;

use crate::kube::manifest::Manifest;
use crate::kube::world::namespace_of;
use crate::kube::{Cluster, Steady, World};
use crate::{Outcome, until};

/// How long a field may be other than the manifest says.
const PUT_RIGHT: Duration = Duration::from_secs(60);

/// Two clusters in one namespace, one of the same name in another.
pub(super) fn run(world: &World) -> Outcome<String> {
    let (here, there) = (namespace_of("neighbours"), format!("{}-2", namespace_of("neighbours")));
    let mut manifest = Manifest::new("prague").at_nodes();
    manifest.coordinators = 1;
    manifest.brokers = 1;
    manifest.config.clear();
    manifest.topics = vec!["{name: load, partitions: 2, replicationFactor: 1}".to_owned()];
    let other = Manifest { name: "brno".to_owned(), ..manifest.clone() };
    world.namespace(&here)?;
    world.namespace(&there)?;
    let clusters =
        [world.named(&here, "prague"), world.named(&here, "brno"), world.named(&there, "prague")];
    for (cluster, manifest) in clusters.iter().zip([&manifest, &other, &manifest]) {
        cluster.apply(manifest)?;
    }
    let mut loads = Vec::new();
    let mut ids = Vec::new();
    for cluster in &clusters {
        let resource = cluster.settled()?;
        ids.push(resource["status"]["clusterId"].to_string());
        loads.push(Steady::start(&cluster.bootstrap("external")?)?);
    }
    ids.sort();
    ids.dedup();
    if ids.len() != 3 {
        return Err(format!("three clusters have the ids {ids:?}"));
    }
    edits(&clusters[0])?;
    clusters[1].kubectl(&["delete", "kafkacluster", "brno", "--wait"])?;
    let mut found = Vec::new();
    for (index, load) in loads.into_iter().enumerate() {
        if index == 1 {
            drop(load);
            continue;
        }
        load.more(100)?;
        found.push(load.finish_without_errors()?.to_string());
    }
    world.remove_namespace(&here)?;
    world.remove_namespace(&there)?;
    Ok(found.join("; "))
}

/// What others put on our objects stays; what is ours is put right.
fn edits(cluster: &Cluster) -> Outcome {
    let service = "service/prague-broker";
    let set = "statefulset/prague-broker";
    for object in [service, set] {
        cluster.kubectl(&["label", object, "example.com/team=orders"])?;
        cluster.kubectl(&["annotate", object, "example.com/note=mine"])?;
    }
    let ours = "app.kubernetes.io/component";
    cluster.kubectl(&["label", set, &format!("{ours}=mine"), "--overwrite"])?;
    let replicas = "{\"spec\":{\"replicas\":2}}";
    cluster.kubectl(&["patch", set, "--type=merge", "-p", replicas])?;
    until("our fields as they were", PUT_RIGHT, || {
        let found = cluster.json(&["get", set])?;
        let label = &found["metadata"]["labels"][ours];
        let replicas = &found["spec"]["replicas"];
        if label == "broker" && replicas == 1 { Ok(()) } else { Err(format!("{label} {replicas}")) }
    })?;
    for object in [service, set] {
        let found = cluster.json(&["get", object])?;
        let label = &found["metadata"]["labels"]["example.com/team"];
        let note = &found["metadata"]["annotations"]["example.com/note"];
        if label != "orders" || note != "mine" {
            return Err(format!("{object} lost what others wrote: {label}, {note}"));
        }
    }
    cluster.settled().map(|_| ())
}

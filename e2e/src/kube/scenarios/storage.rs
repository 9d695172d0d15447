//! Volumes that are lost, and volumes that are to grow.

use std::time::{Duration, Instant};

use serde_json::json;

use super::scale::voters;
use crate::kube::cluster::partitions;
use crate::kube::manifest::Manifest;
use crate::kube::outside;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, SETTLES, Steady, World};
use crate::{Outcome, until};

/// How long the status may take to say what is the matter.
const SAID: Duration = Duration::from_secs(60);
/// A class whose volumes may grow, as far as Kubernetes is told.
const GROWING: &str = "e2e-growing";

/// A broker's disk, then a coordinator's.
pub(super) fn lost(world: &World) -> Outcome<String> {
    let namespace = namespace_of("lost-volume");
    let mut manifest = Manifest::new("prague").outside(&PORTS);
    let single = |unclean: bool| {
        let config =
            if unclean { ", config: {unclean.leader.election.enable: \"true\"}" } else { "" };
        format!("{{name: single, partitions: 3, replicationFactor: 1{config}}}")
    };
    let load_topic = manifest.topics.clone();
    manifest.topics.push(single(false));
    let cluster = world.cluster(&namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    let only = partitions(&outside())?.into_iter().find(|it| it.topic == "single");
    let broker = only.map(|it| it.replicas[0]).ok_or("there is no topic single")?;
    let start = Instant::now();
    lose(&cluster, &format!("prague-broker-{broker}"))?;
    refilled(broker)?;
    let refill = start.elapsed();
    let offline = partitions(&outside())?
        .into_iter()
        .find(|it| it.topic == "single" && it.replicas == [broker]);
    if offline.is_none_or(|it| it.leader >= 0) {
        return Err("a partition whose only copy was lost is led by an empty one".to_owned());
    }
    cluster.event("single", SAID)?;
    manifest.topics = load_topic;
    manifest.topics.push(single(true));
    cluster.apply(&manifest)?;
    cluster.whole(&outside(), SETTLES)?;
    cluster.settled()?;

    let start = Instant::now();
    lose(&cluster, "prague-coordinator-2")?;
    cluster.pods_up("coordinator", 3, SETTLES)?;
    voters(&cluster, 3)?;
    cluster.settled()?;
    let replaced = start.elapsed();
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("broker refilled in {refill:.1?}, coordinator replaced in {replaced:.1?}; {found}"))
}

/// Deletes a pod with its volume.
fn lose(cluster: &Cluster, pod: &str) -> Outcome {
    let found = cluster.json(&["get", "pod", pod])?;
    let volumes = found["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let claim = volumes
        .iter()
        .find_map(|it| it["persistentVolumeClaim"]["claimName"].as_str())
        .ok_or_else(|| format!("{pod} has no volume"))?;
    let uid = &found["metadata"]["uid"];
    cluster.kubectl(&["delete", "pvc", claim, "--wait=false"])?;
    cluster.kubectl(&["delete", "pod", pod])?;
    until(&format!("another {pod}"), SETTLES, || {
        let now = cluster.json(&["get", "pod", pod])?;
        if now["metadata"]["uid"] == *uid {
            return Err("it is the old one".to_owned());
        }
        Ok(())
    })
}

/// Waits until a broker is in sync again wherever there are others that had its data.
fn refilled(broker: i32) -> Outcome {
    until(&format!("broker {broker} in every ISR"), SETTLES, || {
        let all = partitions(&outside())?;
        let short = all.iter().find(|it| {
            it.replicas.len() > 1 && it.replicas.contains(&broker) && !it.isr.contains(&broker)
        });
        match short {
            None => Ok(()),
            Some(partition) => Err(format!("{partition:?}")),
        }
    })
}

/// Where the class cannot grow, where it can, and where the manifest would shrink.
pub(super) fn grow(world: &World) -> Outcome<String> {
    let namespace = namespace_of("grow");
    let mut manifest = Manifest::new("prague").outside(&PORTS);
    let storage = |class: &str, size: &str| {
        vec![format!("storage: {{size: {size}, storageClassName: {class}}}")]
    };
    let standard = growing_class(world)?;
    manifest.broker_fields = storage(GROWING, "1Gi");
    manifest.coordinator_fields = storage(&standard, "1Gi");
    let cluster = world.cluster(&namespace, &manifest)?;
    let before = cluster.uids("broker")?;
    let load = Steady::start(&outside())?;
    manifest.broker_fields = storage(GROWING, "2Gi");
    manifest.coordinator_fields = storage(&standard, "2Gi");
    cluster.apply(&manifest)?;
    cluster.says(&standard, SAID)?;
    asked(&cluster, "broker", "2Gi")?;
    asked(&cluster, "coordinator", "1Gi")?;
    manifest.broker_fields = storage(GROWING, "1Gi");
    manifest.coordinator_fields = storage(&standard, "1Gi");
    cluster.apply(&manifest)?;
    cluster.says("shrink", SAID)?;
    asked(&cluster, "broker", "2Gi")?;
    manifest.broker_fields = storage(GROWING, "2Gi");
    cluster.apply(&manifest)?;
    cluster.condition("Ready", "True", SETTLES)?;
    as_a_cloud(&cluster)?;
    if cluster.uids("broker")? != before {
        return Err("a larger volume restarted brokers".to_owned());
    }
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    world.shell.kubectl(&["delete", "storageclass", GROWING])?;
    Ok(format!("claims grown without a restart; {found}"))
}

/// Nobody makes volumes larger here: writes what a cloud would of the claims, which are waited for.
fn as_a_cloud(cluster: &Cluster) -> Outcome {
    cluster.says("it is to grow to 2Gi and has 1Gi so far", SAID)?;
    let say = |status: serde_json::Value| -> Outcome {
        let patch = json!({"status": status}).to_string();
        let how = ["--subresource=status", "--type=merge", "-p", &patch];
        (1..=3).try_for_each(|broker| {
            let claim = format!("data-prague-broker-{broker}");
            let what = ["patch", "pvc", &claim];
            cluster.kubectl(&[what.as_slice(), &how].concat()).map(|_| ())
        })
    };
    say(json!({"conditions": [{
        "type": "FileSystemResizePending", "status": "True", "message": "so says the suite",
    }]}))?;
    cluster.says("FileSystemResizePending: so says the suite", SAID)?;
    cluster.condition("Progressing", "True", SAID)?;
    say(json!({"capacity": {"storage": "2Gi"}, "conditions": []}))?;
    cluster.settled().map(|_| ())
}

/// Makes a class like the default one whose volumes may grow; returns the default's name.
fn growing_class(world: &World) -> Outcome<String> {
    let list = world.shell.json(&["get", "storageclass"])?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let mark = "storageclass.kubernetes.io/is-default-class";
    let default = items
        .iter()
        .find(|it| it["metadata"]["annotations"][mark] == "true")
        .ok_or("there is no default storage class")?;
    let mut class = default.clone();
    class["metadata"] = json!({"name": GROWING});
    class["allowVolumeExpansion"] = json!(true);
    world.shell.apply("default", &class.to_string())?;
    let name = default["metadata"]["name"].as_str().unwrap_or_default();
    Ok(name.to_owned())
}

/// Waits until every claim of a component asks for this much.
fn asked(cluster: &Cluster, component: &str, size: &str) -> Outcome {
    until(&format!("claims of {size}"), SAID, || {
        let claims = cluster.json(&["get", "pvc"])?;
        let items = claims["items"].as_array().cloned().unwrap_or_default();
        let its = items
            .iter()
            .filter(|it| it["metadata"]["labels"]["app.kubernetes.io/component"] == component);
        let sizes: Vec<String> =
            its.map(|it| it["spec"]["resources"]["requests"]["storage"].to_string()).collect();
        let all = !sizes.is_empty() && sizes.iter().all(|it| it.trim_matches('"') == size);
        if all { Ok(()) } else { Err(format!("{sizes:?}")) }
    })
}

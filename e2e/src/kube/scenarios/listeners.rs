//! Listeners that come, change and go while clients are served by the others.

use std::time::Duration;

use serde_json::Value;

use crate::kube::cluster::partitions;
use crate::kube::manifest::Manifest;
use crate::kube::outside;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, Steady, World};
use crate::{Outcome, until};

/// How long a listener may take to come or go.
const IN_FORCE: Duration = Duration::from_secs(60);

/// One added, changed, removed; addresses that a cloud would give; an ingress of one's own.
pub(super) fn run(world: &World) -> Outcome<String> {
    let namespace = namespace_of("listeners");
    let first = Manifest::new("prague").outside(&PORTS);
    let cluster = world.cluster(&namespace, &first)?;
    let before = cluster.uids("broker")?;
    let load = Steady::start(&outside())?;
    let with = |listener: &str| {
        let mut manifest = first.clone();
        manifest.listeners.push(listener.to_owned());
        cluster.apply(&manifest)
    };
    with("{name: second, port: 9095, type: NodePort}")?;
    let added = answers(&cluster, "second")?;
    at_the_nodes(world, &cluster, "second")?;
    with("{name: second, port: 9096, type: NodePort}")?;
    let changed = answers(&cluster, "second")?;
    with("{name: cloud, port: 9097, type: LoadBalancer}")?;
    as_a_cloud(&cluster)?;
    with(
        "{name: behind, port: 9098, type: ClusterIP, advertisedHost: \
         \"broker-{id}.kafka.example.com\", advertisedPort: 443}",
    )?;
    addresses(&cluster, "behind", |broker| format!("broker-{broker}.kafka.example.com:443"))?;
    cluster.apply(&first)?;
    cluster.settled()?;
    until("the end of what was removed", IN_FORCE, || match partitions(&changed) {
        Err(_) => Ok(()),
        Ok(_) => Err(format!("{changed} still answers")),
    })?;
    if cluster.uids("broker")? != before {
        return Err("a change of listeners restarted brokers".to_owned());
    }
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("a second one at {added}; {found}"))
}

/// Waits until a listener serves every partition's leader at the address that the status shows.
fn answers(cluster: &Cluster, listener: &str) -> Outcome<String> {
    until(&format!("the listener {listener}"), IN_FORCE, || {
        let bootstrap = cluster.bootstrap(listener)?;
        crate::check::ends(&bootstrap, crate::kube::manifest::LOAD)?;
        Ok(bootstrap)
    })
}

/// The addresses of a listener, once they are as expected.
fn addresses(cluster: &Cluster, listener: &str, expected: impl Fn(i64) -> String) -> Outcome {
    until(&format!("the addresses of {listener}"), IN_FORCE, || {
        let resource = cluster.resource()?;
        let rows = rows(&resource, listener);
        let fits = |row: &Value| row["address"] == expected(row["id"].as_i64().unwrap_or(0));
        if rows.len() == 3 && rows.iter().all(fits) { Ok(()) } else { Err(format!("{rows:?}")) }
    })
}

fn rows(resource: &Value, listener: &str) -> Vec<Value> {
    let listeners = resource["status"]["listeners"].as_array().cloned().unwrap_or_default();
    let found = listeners.iter().find(|it| it["name"] == listener);
    found.and_then(|it| it["brokers"].as_array().cloned()).unwrap_or_default()
}

/// Each broker is shown at the machine that it runs on.
fn at_the_nodes(world: &World, cluster: &Cluster, listener: &str) -> Outcome {
    let workers = world.workers()?;
    let rows = rows(&cluster.resource()?, listener);
    for pod in cluster.pods("broker")? {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let id: i64 = name.rsplit('-').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        let machine = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let host = workers.iter().find(|(name, _)| name == machine).map(|(_, host)| host.as_str());
        let row = rows.iter().find(|row| row["id"] == id);
        let address = row.and_then(|row| row["address"].as_str()).unwrap_or_default();
        if address.rsplit_once(':').map(|(host, _)| host) != host {
            return Err(format!("broker {id} is on {machine} ({host:?}) and shown at {address}"));
        }
    }
    Ok(())
}

/// Gives the Services of a LoadBalancer listener addresses, as a cloud would.
fn as_a_cloud(cluster: &Cluster) -> Outcome {
    let services = until("Services of the cloud's kind", IN_FORCE, || {
        let list = cluster.json(&["get", "services"])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let wanted = |it: &&Value| it["spec"]["type"] == "LoadBalancer";
        let found: Vec<Value> = items.iter().filter(wanted).cloned().collect();
        if found.len() >= 3 { Ok(found) } else { Err(format!("{} Services", found.len())) }
    })?;
    for service in services {
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        let number: u32 = name.rsplit('-').next().and_then(|it| it.parse().ok()).unwrap_or(100);
        let status = format!(
            "{{\"status\":{{\"loadBalancer\":{{\"ingress\":[{{\"ip\":\"192.0.2.{number}\"}}]}}}}}}"
        );
        cluster.kubectl(&[
            "patch",
            "service",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ])?;
    }
    addresses(cluster, "cloud", |broker| format!("192.0.2.{broker}:9097"))
}

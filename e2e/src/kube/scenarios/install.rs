//! From nothing to the first record.

use std::time::Instant;

use serde_json::Value;

use crate::Outcome;
use crate::kube::manifest::Manifest;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, Steady, World, host, operator, outside};
use crate::spine::kcat;

/// A client that tries again at once, so that what is measured is the cluster.
const EAGER: [(&str, &str); 2] =
    [("reconnect.backoff.max.ms", "200"), ("topic.metadata.refresh.fast.interval.ms", "100")];

/// `helm install`, then one manifest.
pub(super) fn by_helm(world: &World) -> Outcome<String> {
    let namespace = namespace_of("install");
    world.remove_namespace(&namespace)?;
    operator::uninstall(&world.shell)?;
    let start = Instant::now();
    world.operator()?;
    let operator = start.elapsed();
    let found = first_record(world, &namespace, start)?;
    world.remove_namespace(&namespace)?;
    Ok(format!("operator available after {operator:.1?}; {found}"))
}

/// One file by `kubectl apply`, then one manifest.
pub(super) fn by_kubectl(world: &World) -> Outcome<String> {
    let namespace = namespace_of("kubectl-alone");
    world.remove_namespace(&namespace)?;
    operator::uninstall(&world.shell)?;
    let path = world.root.join("dist/vltava.yaml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let released = format!(":{}", env!("CARGO_PKG_VERSION"));
    let text = text.replace(&released, &format!(":{}", world.images.tag()));
    let start = Instant::now();
    // The definitions that Helm left behind, by intent, are taken over from it.
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let applied = world.shell.run_with("kubectl", &apply, &text);
    let found = applied.and_then(|_| first_record(world, &namespace, start));
    // Other scenarios find the operator by Helm again, whatever came of this one.
    world.remove_namespace(&namespace)?;
    world.shell.run_with("kubectl", &["delete", "--ignore-not-found", "-f", "-"], &text)?;
    world.operator()?;
    found
}

/// Applies the first cluster of every reader of the quickstart, and waits for its first record.
fn first_record(world: &World, namespace: &str, start: Instant) -> Outcome<String> {
    let shell = &world.shell;
    shell.kubectl(&["create", "namespace", namespace])?;
    let cluster = world.named(namespace, "prague");
    cluster.apply(&Manifest::new("prague").outside(&PORTS))?;
    let load = Steady::start_with(&outside(), &EAGER)?;
    let first = start.elapsed();
    cluster.settled()?;
    let settled = start.elapsed();
    seen_by_kcat(&cluster)?;
    tells_the_truth(&cluster)?;
    load.more(500)?;
    let found = load.finish_without_errors()?;
    let due = world.bounds.first_record;
    if first > due {
        return Err(format!("the first record came after {first:.1?}; {due:?} is due"));
    }
    Ok(format!("first record after {first:.1?}, settled after {settled:.1?}; {found}"))
}

/// kcat, from outside, finds every broker at its own port.
fn seen_by_kcat(cluster: &Cluster) -> Outcome {
    for port in PORTS {
        let listing = kcat(&["-L", "-b", &format!("{}:{port}", host()), "-m", "10"], "")?;
        for (broker, its_port) in (1..).zip(PORTS) {
            let line = format!("broker {broker} at {}:{its_port}", host());
            if !listing.contains(&line) {
                return Err(format!("{}: kcat does not show {line:?}: {listing}", cluster.name));
            }
        }
    }
    Ok(())
}

/// `kubectl get kc` shows what there is.
fn tells_the_truth(cluster: &Cluster) -> Outcome {
    let table = cluster.kubectl(&["get", "kc", &cluster.name])?;
    let row = table.lines().nth(1).unwrap_or_default();
    let words: Vec<&str> = row.split_whitespace().collect();
    if words.iter().filter(|word| **word == "3/3").count() != 2 || !words.contains(&"True") {
        return Err(format!("kubectl get kc says\n{table}"));
    }
    let resource = cluster.resource()?;
    let addresses = cluster.bootstrap("external")?;
    let expected: Vec<String> = PORTS.iter().map(|port| format!("{}:{port}", host())).collect();
    if expected.iter().any(|address| !addresses.contains(address.as_str())) {
        return Err(format!("status shows {addresses} for the listener outside"));
    }
    match &resource["status"]["underReplicated"] {
        Value::Number(number) if number.as_i64() == Some(0) => Ok(()),
        other => Err(format!("underReplicated is {other}")),
    }
}

//! Who may connect to what, where the network enforces it.

use serde_json::{Value, json};
use vltava_crd::KafkaCluster;

use super::{Facts, metadata};
use crate::names;
use crate::plan::Component;

/// A policy for each component.
pub(super) fn all(cluster: &KafkaCluster, facts: &Facts) -> Vec<Value> {
    vec![coordinators(cluster), brokers(cluster, facts)]
}

fn policy(cluster: &KafkaCluster, component: Component, ingress: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(cluster, &names::set(cluster, component), Some(component)),
        "spec": {
            "podSelector": {"matchLabels": names::selector(cluster, component)},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    })
}

/// Nodes of the cluster alone; probes and metrics come from anywhere.
fn coordinators(cluster: &KafkaCluster) -> Value {
    let ours = json!({"podSelector": {"matchLabels": {
        "app.kubernetes.io/name": "vltava",
        "app.kubernetes.io/instance": names::name(cluster),
    }}});
    let ingress = json!([
        {"from": [ours], "ports": [{"port": names::COORDINATOR_PORT, "protocol": "TCP"}]},
        {"ports": [{"port": names::ADMIN_PORT, "protocol": "TCP"}]},
    ]);
    policy(cluster, Component::Coordinator, &ingress)
}

/// Whoever speaks Kafka, at the ports of the listeners; and at those of brokers that were not told
/// of these yet, or not restarted: others replicate from them.
fn brokers(cluster: &KafkaCluster, facts: &Facts) -> Value {
    let mut ports: Vec<i32> = cluster.spec.listeners.iter().map(|it| it.port).collect();
    ports.push(names::ADMIN_PORT);
    let old = facts.old_ports.iter().filter(|port| !ports.contains(port));
    let old: Vec<i32> = old.copied().collect();
    ports.extend(old);
    let ports: Vec<Value> =
        ports.iter().map(|port| json!({"port": port, "protocol": "TCP"})).collect();
    policy(cluster, Component::Broker, &json!([{"ports": ports}]))
}

//! How pods are found: by name, by clients inside, and by clients outside.

use serde_json::{Value, json};
use vltava_crd::{KafkaCluster, Listener, ListenerType};

use super::{Facts, metadata};
use crate::names;
use crate::plan::Component;

/// Every Service of a cluster.
pub(super) fn all(cluster: &KafkaCluster, facts: &Facts) -> Vec<Value> {
    let mut services = vec![
        headless(cluster, Component::Coordinator),
        headless(cluster, Component::Broker),
        bootstrap(cluster),
    ];
    for listener in cluster.spec.listeners.iter().filter(|listener| listener.is_outside()) {
        for broker in 1..=facts.brokers {
            services.push(outside(cluster, listener, broker));
        }
    }
    services
}

fn port(name: &str, port: i32) -> Value {
    json!({"name": name, "port": port, "targetPort": port, "protocol": "TCP"})
}

/// A name for each pod, ready or not: who is not ready yet must be found, too.
fn headless(cluster: &KafkaCluster, component: Component) -> Value {
    let mut ports = vec![port("admin", names::ADMIN_PORT)];
    match component {
        Component::Coordinator => ports.push(port("controller", names::COORDINATOR_PORT)),
        Component::Broker => ports.extend(inside(cluster)),
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, &names::set(cluster, component), Some(component)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": names::selector(cluster, component),
            "ports": ports,
        },
    })
}

/// Where clients inside begin.
fn bootstrap(cluster: &KafkaCluster) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, &names::bootstrap(cluster), Some(Component::Broker)),
        "spec": {
            "type": "ClusterIP",
            "selector": names::selector(cluster, Component::Broker),
            "ports": inside(cluster).collect::<Vec<_>>(),
        },
    })
}

fn inside(cluster: &KafkaCluster) -> impl Iterator<Item = Value> + '_ {
    let listeners = cluster.spec.listeners.iter();
    let inside = listeners.filter(|listener| listener.kind == ListenerType::Internal);
    inside.map(|listener| port(&listener.object_name(), listener.port))
}

/// Where clients outside reach one broker.
fn outside(cluster: &KafkaCluster, listener: &Listener, broker: i32) -> Value {
    let mut selector = names::selector(cluster, Component::Broker);
    selector.insert(names::POD_INDEX.to_owned(), broker.to_string());
    let mut its_port = port(&listener.object_name(), listener.port);
    let place = usize::try_from(broker - 1).unwrap_or(usize::MAX);
    if let Some(node_port) = listener.node_ports.get(place) {
        its_port["nodePort"] = json!(node_port);
    }
    let mut spec = json!({
        "type": listener.kind.name(),
        "publishNotReadyAddresses": true,
        "selector": selector,
        "ports": [its_port],
    });
    if listener.kind == ListenerType::LoadBalancer {
        if let Some(class) = &listener.load_balancer_class {
            spec["loadBalancerClass"] = json!(class);
        }
        if !listener.load_balancer_source_ranges.is_empty() {
            spec["loadBalancerSourceRanges"] = json!(listener.load_balancer_source_ranges);
        }
    }
    let name = names::outside(cluster, listener, broker);
    let mut metadata = metadata(cluster, &name, Some(Component::Broker));
    if !listener.annotations.is_empty() {
        metadata["annotations"] = json!(listener.annotations);
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
}

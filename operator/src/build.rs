//! The objects that make up a cluster, from its manifest and what was found: pure, one file a kind.

mod budget;
pub mod founding;
mod network_policy;
mod services;
mod statefulset;

pub use budget::budgets;
pub use statefulset::inside;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vltava_crd::KafkaCluster;

use crate::names;
use crate::plan::Component;
use crate::plan::disruption::Budget;

/// What the objects follow from besides the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The cluster's id.
    pub cluster_id: String,
    /// The brokers' image.
    pub broker_image: String,
    /// The coordinators' image.
    pub coordinator_image: String,
    /// How many brokers there are at the moment to be: more than the manifest asks for while those
    /// that are to go are drained.
    pub brokers: i32,
    /// How many coordinators there are at the moment to be.
    pub coordinators: i32,
    /// Who founds the quorum, or founded it: a directory id each; none if that is not known.
    pub founders: Vec<String>,
    /// Whether the quorum was founded.
    pub is_founded: bool,
    /// Ports at which brokers still listen, besides those of the manifest.
    pub old_ports: BTreeSet<i32>,
    /// Which brokers others may take away.
    pub broker_budget: Budget,
    /// Which coordinators.
    pub coordinator_budget: Budget,
}

/// Every object of a cluster, in the order in which they are applied.
pub fn objects(cluster: &KafkaCluster, facts: &Facts) -> Vec<Value> {
    let mut objects = Vec::new();
    objects.push(founding::config_map(cluster, facts));
    objects.extend(services::all(cluster, facts));
    objects.extend(budgets(cluster, facts));
    if cluster.spec.network_policy.enabled {
        objects.extend(network_policy::all(cluster, facts));
    }
    for component in [Component::Coordinator, Component::Broker] {
        objects.push(statefulset::statefulset(cluster, component, facts));
    }
    objects
}

/// What every object of a cluster begins with.
fn metadata(cluster: &KafkaCluster, name: &str, component: Option<Component>) -> Value {
    let labels = match component {
        Some(component) => names::labels_of(cluster, component),
        None => names::labels(cluster),
    };
    json!({
        "name": name,
        "namespace": names::namespace(cluster),
        "labels": labels,
        "ownerReferences": [{
            "apiVersion": "vltava.dev/v1alpha1",
            "kind": "KafkaCluster",
            "name": names::name(cluster),
            "uid": cluster.metadata.uid.as_deref().unwrap_or_default(),
            "controller": true,
            "blockOwnerDeletion": false,
        }],
    })
}

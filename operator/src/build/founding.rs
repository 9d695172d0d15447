//! By what the coordinators found their quorum, as long as there is none.

use serde_json::{Value, json};
use vltava_crd::{FIRST_COORDINATOR_ID, KafkaCluster};

use super::{Facts, metadata};
use crate::names;
use crate::plan::Component;

/// The key of the ConfigMap that coordinators read.
pub const KEY: &str = "initial-controllers";

/// The ConfigMap, while the quorum is to be founded.
pub(super) fn config_map(cluster: &KafkaCluster, facts: &Facts) -> Option<Value> {
    if facts.is_founded || facts.founders.is_empty() {
        return None;
    }
    let entries: Vec<String> = (1..)
        .zip(&facts.founders)
        .map(|(ordinal, directory)| {
            let host = names::host(cluster, Component::Coordinator, ordinal);
            let id = FIRST_COORDINATOR_ID - 1 + ordinal;
            format!("{id}@{host}:{}:{directory}", names::COORDINATOR_PORT)
        })
        .collect();
    Some(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(cluster, &names::founding(cluster), Some(Component::Coordinator)),
        "data": {KEY: entries.join(",")},
    }))
}

//! By what the coordinators found their quorum, as long as there is none.
//!
//! The ConfigMap is there as long as the cluster is, and empty once there is a quorum: pods need it
//! to start. If they could do without, one whose kubelet has not seen it yet would start without
//! the list, as somebody whom the founders do not know, and they would wait for it for ever.

use serde_json::{Value, json};
use vltava_crd::{FIRST_COORDINATOR_ID, KafkaCluster};

use super::{Facts, metadata};
use crate::names;
use crate::plan::Component;

/// The key of the ConfigMap that coordinators read.
pub const KEY: &str = "initial-controllers";

/// The ConfigMap: who founds the quorum, while it is to be founded.
pub(super) fn config_map(cluster: &KafkaCluster, facts: &Facts) -> Value {
    let founders: &[String] = if facts.is_founded { &[] } else { &facts.founders };
    let entries: Vec<String> = (1..)
        .zip(founders)
        .map(|(ordinal, directory)| {
            let host = names::host(cluster, Component::Coordinator, ordinal);
            let id = FIRST_COORDINATOR_ID - 1 + ordinal;
            format!("{id}@{host}:{}:{directory}", names::COORDINATOR_PORT)
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(cluster, &names::founding(cluster), Some(Component::Coordinator)),
        "data": {KEY: entries.join(",")},
    })
}

//! How many pods others may take away at once.

use serde_json::{Value, json};
use vltava_crd::KafkaCluster;

use super::{Facts, metadata};
use crate::names;

/// One budget for all pods of the cluster: 0 while nothing can bear a loss.
pub(super) fn budget(cluster: &KafkaCluster, facts: &Facts) -> Value {
    let instance = names::name(cluster);
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(cluster, instance, None),
        "spec": {
            "maxUnavailable": facts.max_unavailable,
            "selector": {"matchLabels": {
                "app.kubernetes.io/name": "vltava",
                "app.kubernetes.io/instance": instance,
            }},
            // A broken pod must not keep a machine from being drained.
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        },
    })
}

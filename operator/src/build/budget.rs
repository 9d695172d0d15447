//! How many pods others may take away at once.

use serde_json::{Value, json};
use vltava_crd::KafkaCluster;

use super::{Facts, metadata};
use crate::names;

/// One budget for all pods of the cluster: 0 while nothing can bear a loss.
pub fn budget(cluster: &KafkaCluster, facts: &Facts) -> Value {
    let instance = names::name(cluster);
    // A pod that is not ready and that nobody would miss must not keep its machine from being
    // drained, though the budget is 0 because of it. One that is not ready and still serves (a
    // probe that came too late) is held as those that are.
    let policy = match facts.budget.broken_may_go {
        true => "AlwaysAllow",
        false => "IfHealthyBudget",
    };
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(cluster, instance, None),
        "spec": {
            "maxUnavailable": facts.budget.max_unavailable,
            "selector": {"matchLabels": {
                "app.kubernetes.io/name": "vltava",
                "app.kubernetes.io/instance": instance,
            }},
            "unhealthyPodEvictionPolicy": policy,
        },
    })
}

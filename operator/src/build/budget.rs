//! How many pods others may take away at once.

use serde_json::{Value, json};
use vltava_crd::KafkaCluster;

use super::{Facts, metadata};
use crate::names;
use crate::plan::Component;

/// A budget for each component: 0 while it cannot bear a loss.
pub fn budgets(cluster: &KafkaCluster, facts: &Facts) -> [Value; 2] {
    [Component::Coordinator, Component::Broker].map(|component| budget(cluster, component, facts))
}

fn budget(cluster: &KafkaCluster, component: Component, facts: &Facts) -> Value {
    let budget = match component {
        Component::Broker => &facts.broker_budget,
        Component::Coordinator => &facts.coordinator_budget,
    };
    // A pod that is not ready and that nobody would miss must not keep its machine from being
    // drained, though the budget is 0 because of it. One that is not ready and still serves (a
    // probe that came too late) is held as those that are.
    let policy = match budget.broken_may_go {
        true => "AlwaysAllow",
        false => "IfHealthyBudget",
    };
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(cluster, &names::set(cluster, component), Some(component)),
        "spec": {
            "maxUnavailable": budget.max_unavailable,
            "selector": {"matchLabels": names::selector(cluster, component)},
            "unhealthyPodEvictionPolicy": policy,
        },
    })
}

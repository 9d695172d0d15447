//! The declared topics on the running cluster: what is created, grown and altered, and a row each.

use std::collections::BTreeMap;

use vltava_client::{AlterOp, Cluster, ConfigResource, NewTopic};
use vltava_crd::plan::{PresentTopic, TopicPlan, topics as plan_topics};
use vltava_crd::status::TopicStatus;
use vltava_crd::{KafkaCluster, KafkaClusterSpec};

use crate::plan::{ClusterView, PartitionView, TopicView};

/// What is to be done about the declared topics, after what was declared before.
pub fn plan(
    cluster: &KafkaCluster,
    previous: Option<&KafkaClusterSpec>,
    view: &ClusterView,
) -> TopicPlan {
    let present: BTreeMap<String, PresentTopic> =
        view.topics.iter().map(|(name, topic)| (name.clone(), present(topic))).collect();
    plan_topics(&cluster.spec, previous, &present)
}

/// Carries out what the plan says; returns a row a topic.
pub async fn follow(
    kafka: &Cluster,
    cluster: &KafkaCluster,
    plan: &TopicPlan,
    view: &ClusterView,
) -> Vec<TopicStatus> {
    let mut said: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    create(kafka, plan, &mut said).await;
    alter(kafka, plan, &mut said).await;
    for reassign in &plan.reassign {
        let what = format!("from {} to {} replicas", reassign.from, reassign.to);
        said.insert(reassign.name.clone(), ("Changing", what));
    }
    for refused in &plan.refused {
        said.insert(refused.name.clone(), ("Refused", refused.what.clone()));
    }
    rows(cluster, view, plan, &said)
}

fn present(topic: &TopicView) -> PresentTopic {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let replicas = topic.partitions.values().map(|it| it.target().len()).min().unwrap_or(0);
    PresentTopic {
        partitions: count(topic.partitions.len()),
        replication_factor: count(replicas),
        config: topic.config.clone(),
    }
}

/// How far the partitions of a topic are that get more or fewer replicas, while any does; one that
/// only goes elsewhere is as it was declared.
fn changing(topic: &TopicView) -> Option<String> {
    let changes = |it: &&PartitionView| it.adding.len() != it.removing.len();
    let moving = topic.partitions.values().filter(changes).count();
    let all = topic.partitions.len();
    (moving > 0).then(|| format!("{moving} of {all} partitions get their replicas"))
}

/// How many replicas of each partition are there; the fewest, where they differ.
fn has(topic: &TopicView) -> i32 {
    let there = topic.partitions.values().map(|it| it.replicas.len() - it.adding.len());
    i32::try_from(there.min().unwrap_or(0)).unwrap_or(i32::MAX)
}

type Said = BTreeMap<String, (&'static str, String)>;

async fn create(kafka: &Cluster, plan: &TopicPlan, said: &mut Said) {
    if plan.create.is_empty() {
        return;
    }
    let wanted: Vec<NewTopic> = plan
        .create
        .iter()
        .map(|create| NewTopic {
            configs: create.config.clone(),
            ..NewTopic::new(
                &create.name,
                create.partitions,
                i16::try_from(create.replication_factor).unwrap_or(i16::MAX),
            )
        })
        .collect();
    match kafka.create_topics(&wanted, false).await {
        Ok(outcomes) => {
            for (name, outcome) in outcomes {
                let what = match outcome {
                    Ok(_) => ("Pending", "it is being created".to_owned()),
                    Err(error) => ("Pending", error.to_string()),
                };
                said.insert(name, what);
            }
        }
        Err(error) => plan.create.iter().for_each(|create| {
            said.insert(create.name.clone(), ("Pending", error.to_string()));
        }),
    }
}

async fn alter(kafka: &Cluster, plan: &TopicPlan, said: &mut Said) {
    for grow in &plan.grow {
        let what = match kafka.create_partitions(&[(&grow.name, grow.to)], false).await {
            Ok(_) => ("Changing", format!("from {} to {} partitions", grow.from, grow.to)),
            Err(error) => ("Failed", error.to_string()),
        };
        said.insert(grow.name.clone(), what);
    }
    for alter in &plan.alter {
        let set = alter.set.iter().map(|(key, value)| (key.as_str(), AlterOp::Set(value.clone())));
        let reset = alter.reset.iter().map(|key| (key.as_str(), AlterOp::Delete));
        let changes: Vec<(&str, AlterOp)> = set.chain(reset).collect();
        let resource = ConfigResource::topic(&alter.name);
        let what = match kafka.alter_configs(&resource, &changes, false).await {
            Ok(()) => ("Changing", "its settings change".to_owned()),
            Err(error) => ("Failed", error.to_string()),
        };
        said.insert(alter.name.clone(), what);
    }
}

fn rows(
    cluster: &KafkaCluster,
    view: &ClusterView,
    plan: &TopicPlan,
    said: &Said,
) -> Vec<TopicStatus> {
    let before = cluster.status.as_ref().map(|status| status.topics.as_slice()).unwrap_or_default();
    let declared = cluster.spec.topics.iter().map(|topic| topic.name.as_str());
    let was = before.iter().filter(|row| {
        row.state == "Kept" && !cluster.spec.topics.iter().any(|topic| topic.name == row.name)
    });
    let kept = plan.kept.iter().map(String::as_str).chain(was.map(|row| row.name.as_str()));
    let mut names: Vec<&str> = declared.collect();
    for name in kept.filter(|name| view.topics.contains_key(*name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let row = |name: &str| {
        let found = view.topics.get(name);
        let changing = found.and_then(changing);
        let found = found.map(|it| PresentTopic { replication_factor: has(it), ..present(it) });
        let is_declared = cluster.spec.topics.iter().any(|topic| topic.name == name);
        let (state, message) = match (said.get(name), is_declared) {
            (Some((state, what)), _) => (*state, Some(what.clone())),
            (None, true) if changing.is_some() => ("Changing", changing),
            (None, true) => ("Ready", None),
            (None, false) => (
                "Kept",
                Some("it is no longer declared; delete it by hand, or declare it".to_owned()),
            ),
        };
        TopicStatus {
            name: name.to_owned(),
            state: state.to_owned(),
            partitions: found.as_ref().map(|found| found.partitions),
            replication_factor: found.as_ref().map(|found| found.replication_factor),
            message,
        }
    };
    names.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vltava_crd::KafkaCluster;

    use super::{Said, plan_topics, present, rows};
    use crate::plan::fixture::Prague;

    #[test]
    fn a_topic_is_as_declared_once_its_replicas_are_there() {
        let cluster: KafkaCluster = serde_json::from_value(json!({
            "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"topics": [{"name": "orders", "replicationFactor": 3}]},
        }))
        .expect("a manifest");
        // All replicas, what a move adds and removes of them, the row's state, and its factor.
        let table = [
            ([vec![1, 2, 3], vec![], vec![]], "Ready", 3),
            ([vec![1, 2, 3], vec![2, 3], vec![]], "Changing", 1),
            ([vec![1, 2, 4, 3], vec![4], vec![3]], "Ready", 3),
            ([vec![1, 2, 3, 4], vec![], vec![4]], "Changing", 3),
        ];
        for ([replicas, adding, removing], state, factor) in table {
            let mut prague = Prague::rolling();
            let first = prague.all_partitions().next().expect("there are three");
            (first.replicas, first.adding, first.removing) = (replicas, adding, removing);
            let view = &prague.cluster;
            let topics = view.topics.iter().map(|(name, it)| (name.clone(), present(it))).collect();
            let plan = plan_topics(&cluster.spec, None, &topics);
            let row = rows(&cluster, view, &plan, &Said::new()).remove(0);
            assert_eq!((row.state.as_str(), row.replication_factor), (state, Some(factor)));
        }
    }
}

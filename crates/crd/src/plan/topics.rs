//! Declared topics against those that exist: what to create, grow, alter, and what not to do.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::topic_defaults;
use crate::resource::{KafkaClusterSpec, Topic};

/// A topic as it is on the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PresentTopic {
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas its partitions have; the fewest, where they differ.
    pub replication_factor: i32,
    /// What it sets for itself.
    pub config: BTreeMap<String, String>,
}

/// A topic to create, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each.
    pub replication_factor: i32,
    /// What it sets for itself.
    pub config: BTreeMap<String, String>,
}

/// A topic that gets more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grow {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub from: i32,
    /// How many it gets.
    pub to: i32,
}

/// A topic whose own settings change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alter {
    /// Its name.
    pub name: String,
    /// What is set, or set to something else.
    pub set: BTreeMap<String, String>,
    /// What returns to the brokers' setting.
    pub reset: BTreeSet<String>,
}

/// A topic whose partitions get more or fewer replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassign {
    /// Its name.
    pub name: String,
    /// How many replicas its partitions have.
    pub from: i32,
    /// How many they get.
    pub to: i32,
}

/// A change that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The topic.
    pub name: String,
    /// Why, and what to do.
    pub what: String,
}

/// What makes the topics of a cluster those of its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicPlan {
    /// Topics to create.
    pub create: Vec<Create>,
    /// Topics that get more partitions.
    pub grow: Vec<Grow>,
    /// Topics whose settings change.
    pub alter: Vec<Alter>,
    /// Topics whose replication factor changes.
    pub reassign: Vec<Reassign>,
    /// Changes that cannot be made; the rest goes on.
    pub refused: Vec<Refused>,
    /// Topics that the manifest had and has no more. They are kept.
    pub kept: Vec<String>,
}

impl TopicPlan {
    /// Whether everything is as declared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares the manifest with what is there. `previous` is the manifest as it was last applied: a
/// setting that it had and the present one lacks is reset, while what others set stays.
pub fn topics(
    spec: &KafkaClusterSpec,
    previous: Option<&KafkaClusterSpec>,
    present: &BTreeMap<String, PresentTopic>,
) -> TopicPlan {
    let mut plan = TopicPlan::default();
    let (partitions, replicas) = topic_defaults(spec);
    for topic in &spec.topics {
        match present.get(&topic.name) {
            None => plan.create.push(Create {
                name: topic.name.clone(),
                partitions: topic.partitions.unwrap_or(partitions),
                replication_factor: topic.replication_factor.unwrap_or(replicas),
                config: topic.config.clone(),
            }),
            Some(found) => {
                let before = previous.and_then(|spec| find(spec, &topic.name));
                compare(&mut plan, topic, before, found);
            }
        }
    }
    let before = previous.map(|spec| spec.topics.as_slice()).unwrap_or_default();
    plan.kept = before
        .iter()
        .filter(|topic| find(spec, &topic.name).is_none() && present.contains_key(&topic.name))
        .map(|topic| topic.name.clone())
        .collect();
    plan
}

fn find<'a>(spec: &'a KafkaClusterSpec, name: &str) -> Option<&'a Topic> {
    spec.topics.iter().find(|topic| topic.name == name)
}

fn compare(plan: &mut TopicPlan, topic: &Topic, before: Option<&Topic>, found: &PresentTopic) {
    let name = topic.name.clone();
    match topic.partitions {
        Some(to) if to > found.partitions => {
            plan.grow.push(Grow { name: name.clone(), from: found.partitions, to });
        }
        Some(to) if to < found.partitions => plan.refused.push(Refused {
            name: name.clone(),
            what: format!(
                "has {} partitions and cannot go down to {to}, as their records would be lost; \
                 declare {} or make a new topic",
                found.partitions, found.partitions
            ),
        }),
        _ => {}
    }
    if let Some(to) = topic.replication_factor.filter(|to| *to != found.replication_factor) {
        plan.reassign.push(Reassign { name: name.clone(), from: found.replication_factor, to });
    }
    let set: BTreeMap<String, String> = topic
        .config
        .iter()
        .filter(|(key, value)| found.config.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let reset: BTreeSet<String> = before
        .into_iter()
        .flat_map(|before| before.config.keys())
        .filter(|key| !topic.config.contains_key(*key) && found.config.contains_key(*key))
        .cloned()
        .collect();
    if !set.is_empty() || !reset.is_empty() {
        plan.alter.push(Alter { name, set, reset });
    }
}

//! Which topics are created, grown, altered, and which changes are refused.

use std::collections::BTreeMap;

use vltava_crd::plan::{PresentTopic, TopicPlan, topics};
use vltava_crd::{KafkaClusterSpec, Topic, manifest};

fn topic(name: &str, partitions: i32, replicas: i32, config: &[(&str, &str)]) -> Topic {
    Topic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: Some(replicas),
        config: pairs(config),
    }
}

fn pairs(config: &[(&str, &str)]) -> BTreeMap<String, String> {
    config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn spec(topics: &[Topic]) -> KafkaClusterSpec {
    KafkaClusterSpec { topics: topics.to_vec(), ..manifest::prague().spec }
}

fn present(
    name: &str,
    partitions: i32,
    replicas: i32,
    config: &[(&str, &str)],
) -> BTreeMap<String, PresentTopic> {
    let found = PresentTopic { partitions, replication_factor: replicas, config: pairs(config) };
    [(name.to_owned(), found)].into()
}

#[test]
fn what_is_as_declared_needs_nothing() {
    let declared = spec(&[topic("a", 3, 3, &[("retention.ms", "5")])]);
    let plan = topics(&declared, None, &present("a", 3, 3, &[("retention.ms", "5")]));
    assert!(plan.is_empty());
}

#[test]
fn a_missing_topic_is_created_with_the_brokers_defaults() {
    let open = Topic { partitions: None, replication_factor: None, ..topic("a", 1, 1, &[]) };
    let plan = topics(&spec(&[open]), None, &BTreeMap::new());
    assert_eq!((plan.create[0].partitions, plan.create[0].replication_factor), (1, 3));
}

#[test]
fn partitions_are_raised_and_never_lowered() {
    let plan = topics(&spec(&[topic("a", 6, 3, &[])]), None, &present("a", 3, 3, &[]));
    assert_eq!((plan.grow[0].from, plan.grow[0].to), (3, 6));
    let declared = spec(&[topic("a", 2, 3, &[]), topic("b", 1, 1, &[])]);
    let plan = topics(&declared, None, &present("a", 3, 3, &[]));
    assert_eq!(plan.refused[0].name, "a");
    assert!(plan.refused[0].what.contains("has 3 partitions and cannot go down to 2"));
    assert_eq!(plan.create[0].name, "b", "the others go on");
}

#[test]
fn another_replication_factor_is_a_reassignment() {
    let plan = topics(&spec(&[topic("a", 1, 3, &[])]), None, &present("a", 1, 1, &[]));
    assert_eq!((plan.reassign[0].from, plan.reassign[0].to), (1, 3));
}

#[test]
fn settings_are_set_and_reset_but_those_of_others_stay() {
    let before = spec(&[topic("a", 1, 1, &[("flush.ms", "1"), ("retention.ms", "5")])]);
    let declared = spec(&[topic("a", 1, 1, &[("retention.ms", "6")])]);
    let found = [("flush.ms", "1"), ("retention.ms", "5"), ("segment.ms", "7")];
    let plan = topics(&declared, Some(&before), &present("a", 1, 1, &found));
    assert_eq!(plan.alter[0].set, pairs(&[("retention.ms", "6")]));
    assert_eq!(plan.alter[0].reset, ["flush.ms".to_owned()].into());
}

#[test]
fn a_topic_that_is_taken_out_is_kept_and_one_made_by_hand_left_alone() {
    let before = spec(&[topic("a", 1, 1, &[])]);
    let plan = topics(&spec(&[]), Some(&before), &present("a", 1, 1, &[]));
    assert_eq!(plan, TopicPlan { kept: vec!["a".to_owned()], ..TopicPlan::default() });
    let plan = topics(&spec(&[]), Some(&spec(&[])), &present("a", 1, 1, &[]));
    assert!(plan.is_empty());
}

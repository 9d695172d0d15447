//! The range assignor: each topic's partitions in contiguous ranges over its members in order.

use std::collections::BTreeMap;

use super::TopicPartition;

/// The name under which members agree on it.
pub(super) const NAME: &str = "range";

/// Assigns partitions to members.
///
/// `subscriptions` are the topics of each member, `counts` the partitions of each topic. A topic
/// that is not among the counts has no partitions. The first members get one more where the
/// numbers do not divide evenly.
pub(super) fn range(
    subscriptions: &BTreeMap<String, Vec<String>>,
    counts: &BTreeMap<String, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut assignment: BTreeMap<String, Vec<TopicPartition>> =
        subscriptions.keys().map(|member| (member.clone(), Vec::new())).collect();
    for (topic, count) in counts {
        let wants = |topics: &Vec<String>| topics.contains(topic);
        let members: Vec<&String> =
            subscriptions.iter().filter(|(_, topics)| wants(topics)).map(|(id, _)| id).collect();
        if members.is_empty() {
            continue;
        }
        let each = count / members.len() as i32;
        let larger = count % members.len() as i32;
        let mut next = 0;
        for (member, at) in members.into_iter().zip(0..) {
            let end = next + each + i32::from(at < larger);
            let range = (next..end).map(|partition| (topic.clone(), partition));
            assignment.entry(member.clone()).or_default().extend(range);
            next = end;
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(wants: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let topics = |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect();
        wants.iter().map(|(member, wanted)| ((*member).to_owned(), topics(wanted))).collect()
    }

    fn counts(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
        counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn of(assignment: &BTreeMap<String, Vec<TopicPartition>>, member: &str) -> String {
        let names = assignment[member].iter().map(|(topic, part)| format!("{topic}{part}"));
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn six_partitions_for_two_members_are_three_each() {
        let members = members(&[("m1", &["t"]), ("m2", &["t"])]);
        let assignment = range(&members, &counts(&[("t", 6)]));
        assert_eq!(of(&assignment, "m1"), "t0 t1 t2");
        assert_eq!(of(&assignment, "m2"), "t3 t4 t5");
    }

    #[test]
    fn the_first_members_get_what_does_not_divide() {
        let members = members(&[("m1", &["t"]), ("m2", &["t"]), ("m3", &["t"])]);
        let assignment = range(&members, &counts(&[("t", 5)]));
        assert_eq!(of(&assignment, "m1"), "t0 t1");
        assert_eq!(of(&assignment, "m2"), "t2 t3");
        assert_eq!(of(&assignment, "m3"), "t4");
    }

    #[test]
    fn members_get_only_what_they_subscribed_to() {
        let members = members(&[("m1", &["a"]), ("m2", &["a", "b"]), ("m3", &["missing"])]);
        let assignment = range(&members, &counts(&[("a", 1), ("b", 2)]));
        assert_eq!(of(&assignment, "m1"), "a0");
        assert_eq!(of(&assignment, "m2"), "b0 b1");
        assert_eq!(of(&assignment, "m3"), "");
    }
}

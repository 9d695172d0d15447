//! What a group subscribes to: names, regular expressions, and the topics behind them.

use std::collections::{BTreeMap, BTreeSet};

use ::regex::Regex;
use vltava_metadata::Image;
use vltava_wire::records::consumer_group::ConsumerGroupRegularExpressionValue;
use vltava_wire::{ErrorCode, PartitionId, Str, Uuid};

use super::assignor::{Subscriber, Task};
use super::{Change, ConsumerGroup, Edit, Refusal};
use crate::group::timer::Now;
use crate::metadata::regex;

/// Compiles a subscription; it has to match a topic's whole name, as with RE2's `FullMatch`.
///
/// # Errors
/// It is no regular expression of RE2's kind, or too large.
pub(super) fn compile(pattern: &str) -> Result<Regex, Refusal> {
    regex::whole(pattern).map_err(|why| {
        let message =
            format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}.");
        Refusal::new(ErrorCode::INVALID_REGULAR_EXPRESSION, message)
    })
}

/// The topics that a regular expression stands for, the cluster's own among them.
fn resolve(regex: &Regex, image: &Image, now: Now) -> ConsumerGroupRegularExpressionValue {
    let names = image.topic_names_from("").filter(|name| regex.is_match(name));
    ConsumerGroupRegularExpressionValue {
        topics: names.cloned().collect(),
        version: image.provenance().offset.get(),
        timestamp: now.wall,
    }
}

/// A hash that is the same on every broker and in every version (FNV-1a, 64 bits).
struct Fingerprint(u64);

impl Fingerprint {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The hash of topics, their ids and how many partitions they have; 0 where there are none.
pub(in crate::group) fn hash_of(topics: &BTreeMap<Str, (Uuid, i32)>) -> i64 {
    if topics.is_empty() {
        return 0;
    }
    let mut hash = Fingerprint(0xcbf2_9ce4_8422_2325);
    for (name, (id, partitions)) in topics {
        hash.add(name.as_bytes());
        hash.add(&[0]);
        hash.add(&id.to_bytes());
        hash.add(&partitions.to_be_bytes());
    }
    hash.0.cast_signed()
}

impl ConsumerGroup {
    /// Resolves the regular expressions that members use, forgets those that none uses any more,
    /// and says whether any of them stands for other topics than before.
    pub(super) fn update_regexes(&mut self, image: &Image, now: Now, edit: &mut Edit) -> bool {
        let used: BTreeSet<Str> = self
            .members
            .values()
            .filter_map(|member| member.about.subscribed_topic_regex.clone())
            .filter(|regex| !regex.is_empty())
            .collect();
        let unused: Vec<Str> =
            self.regexes.keys().filter(|regex| !used.contains(*regex)).cloned().collect();
        for regex in unused {
            edit.change(self, Change::Regex(regex, None));
        }
        let mut changed = false;
        for pattern in used {
            let known = self.regexes.get(&pattern);
            if known.is_some() && !self.metadata_stale {
                continue;
            }
            // It was compiled before it was stored; a later version may know more than this one.
            let Ok(regex) = compile(&pattern) else { continue };
            let resolved = resolve(&regex, image, now);
            if known.is_none_or(|known| known.topics != resolved.topics) {
                changed = true;
                edit.change(self, Change::Regex(pattern, Some(resolved)));
            }
        }
        changed
    }

    /// The topics that the group subscribes to, by name, of those that exist.
    fn subscribed_topics(&self, image: &Image) -> BTreeMap<Str, (Uuid, i32)> {
        let mut topics = BTreeMap::new();
        for member in self.members.values() {
            for name in self.topics_of(&member.about) {
                if topics.contains_key(name) {
                    continue;
                }
                if let Some(topic) = image.topic(name) {
                    let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                    topics.insert(name.clone(), (topic.id, partitions));
                }
            }
        }
        topics
    }

    /// The hash of the topics that the group subscribes to.
    pub(in crate::group) fn compute_hash(&self, image: &Image) -> i64 {
        hash_of(&self.subscribed_topics(image))
    }

    /// The assignor that most members ask for, or else the first one configured.
    pub(super) fn assignor(&self, configured: &[String]) -> Str {
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(name) = &member.about.server_assignor {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max();
        let chosen = votes.into_iter().find(|(_, count)| Some(*count) == most);
        let default = || configured.first().map_or("uniform", String::as_str).into();
        chosen.map_or_else(default, |(name, _)| name.clone())
    }

    /// Makes a new target assignment for the group's epoch.
    pub(super) fn update_targets(&mut self, image: &Image, assignors: &[String], edit: &mut Edit) {
        let mut task = Task::default();
        for (topic, partitions) in self.subscribed_topics(image).into_values() {
            task.topics.insert(topic, partitions);
        }
        for (id, member) in &self.members {
            let topics = self.topics_of(&member.about).filter_map(|name| image.topic_id(name));
            let subscriber = Subscriber {
                topics: topics.collect(),
                instance_id: member.about.instance_id.clone(),
                target: self.targets.get(id).cloned().unwrap_or_default(),
            };
            task.members.insert(id.clone(), subscriber);
        }
        for (id, target) in task.solve(&self.assignor(assignors)) {
            if self.targets.get(&id) != Some(&target) {
                edit.change(self, Change::Target(id, Some(target)));
            }
        }
        edit.change(self, Change::TargetEpoch(Some(self.epoch)));
    }

    /// Whether a partition still exists; those of deleted topics need not be given up by anybody.
    pub(super) fn exists(image: &Image, topic: Uuid, partition: i32) -> bool {
        image.partition(topic, PartitionId(partition)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_matches_whole_names() {
        let matches = |pattern: &str, name: &str| compile(pattern).expect(pattern).is_match(name);
        assert!(matches("orders", "orders"));
        assert!(!matches("orders", "orders-eu"));
        assert!(matches("orders|bills", "bills"));
        assert!(!matches("orders|bills", "orders-bills"));
        assert!(matches("a|ab", "ab"), "the longer way counts, too");
        assert!(matches("(?x) orders # those only", "orders"));
        assert!(matches("(?i)ORDERS", "orders"));
    }

    #[test]
    fn what_is_no_regular_expression_is_refused_with_its_reason() {
        for pattern in ["(", "a)(b", "[z-a]", r"(a)\1", "(?=a)", "a{2000}{2000}"] {
            let refusal = compile(pattern).expect_err(pattern);
            assert_eq!(refusal.code, ErrorCode::INVALID_REGULAR_EXPRESSION);
            assert!(refusal.message.contains(pattern), "{}", refusal.message);
        }
        assert!(compile(&"a".repeat(regex::BYTES_MAX + 1)).is_err());
    }
}

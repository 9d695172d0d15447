//! How fast partitions may move (KIP-73): which replicas are throttled while they do, and what is
//! taken back afterwards.
//!
//! Topics say which of their replicas are throttled, the brokers how fast those may be. What the
//! operator sets it notes first, and it takes back nothing else: a person who throttles by hand, or
//! by the manifest's own `config`, is left to it.

use std::collections::{BTreeMap, BTreeSet};

use vltava_client::AlterOp;

use super::moves::Move;
use super::{ClusterView, PartitionId};

/// The brokers' keys: how many bytes a second.
pub const RATES: [&str; 2] =
    ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
/// The topics' keys: which replicas.
const REPLICAS: [&str; 2] =
    ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
/// The name under which the rates are noted; no topic can be called so.
const BROKERS: &str = "*";

/// What the throttles are decided by.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// Moves that are about to begin.
    pub next: &'a [Move],
    /// Bytes a second for each broker, each way; `None` for as fast as it goes.
    pub rate: Option<i64>,
    /// What the manifest sets itself: of the brokers, and of topics by name.
    pub declared: &'a dyn Fn(Option<&str>, &str) -> bool,
    /// What the operator has set, as it noted it.
    pub ours: &'a BTreeSet<String>,
}

/// One resource's changes.
pub type Changes = Vec<(&'static str, AlterOp)>;

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Throttles {
    /// Of all brokers.
    pub brokers: Changes,
    /// Of topics, by name.
    pub topics: BTreeMap<String, Changes>,
    /// What to note before.
    pub before: BTreeSet<String>,
    /// What to note afterwards, if all of it could be done.
    pub after: BTreeSet<String>,
}

/// Decides.
pub fn throttles(input: &Input<'_>) -> Throttles {
    let mut lists: BTreeMap<&str, [Vec<String>; 2]> = BTreeMap::new();
    if input.rate.is_some() {
        for (id, leaders, followers) in copies(input) {
            let all = lists.entry(id.0).or_default();
            for (list, brokers) in all.iter_mut().zip([leaders, followers]) {
                list.extend(brokers.iter().map(|broker| format!("{}:{broker}", id.1)));
            }
        }
    }
    let mut plan = Throttles::default();
    let rate = input.rate.filter(|_| !lists.is_empty()).map(|rate| rate.to_string());
    let is_ours = input.ours.contains(BROKERS);
    for key in RATES.into_iter().filter(|key| !(input.declared)(None, key)) {
        let now = input.cluster.config.get(key).map(String::as_str);
        plan.brokers.extend(change(key, rate.as_deref(), now, is_ours));
    }
    if rate.is_some() {
        plan.after.insert(BROKERS.to_owned());
    }
    let known = input.ours.iter().map(String::as_str).filter(|name| *name != BROKERS);
    let names: BTreeSet<&str> = lists.keys().copied().chain(known).collect();
    for name in names {
        let Some(topic) = input.cluster.topics.get(name) else { continue };
        let wanted = lists.get(name);
        let mut changes = Changes::new();
        for (index, key) in REPLICAS.into_iter().enumerate() {
            if (input.declared)(Some(name), key) {
                continue;
            }
            let wanted = wanted.map(|lists| lists[index].join(","));
            let now = topic.config.get(key).map(String::as_str);
            changes.extend(change(key, wanted.as_deref(), now, input.ours.contains(name)));
        }
        if !changes.is_empty() {
            plan.topics.insert(name.to_owned(), changes);
        }
        if wanted.is_some() {
            plan.after.insert(name.to_owned());
        }
    }
    plan.before = plan.after.union(input.ours).cloned().collect();
    plan
}

/// The change of one key, if there is one. A value that somebody else set stays.
fn change(
    key: &'static str,
    wanted: Option<&str>,
    now: Option<&str>,
    is_ours: bool,
) -> Option<(&'static str, AlterOp)> {
    match (wanted, now) {
        (Some(wanted), Some(now)) if wanted == now || !is_ours => None,
        (Some(wanted), _) => Some((key, AlterOp::Set(wanted.to_owned()))),
        (None, Some(_)) if is_ours => Some((key, AlterOp::Delete)),
        (None, _) => None,
    }
}

/// Partitions that copy, or are about to: who has the data, and who gets it.
fn copies<'a>(
    input: &Input<'a>,
) -> impl Iterator<Item = ((&'a str, i32), Vec<i32>, Vec<i32>)> + use<'a> {
    let cluster = input.cluster;
    let next = input.next;
    let begun = cluster.topics.iter().flat_map(move |(name, topic)| {
        topic.partitions.iter().map(move |(index, it)| ((name.as_str(), *index), it))
    });
    let begun = begun.map(|(id, it)| (id, it.replicas.as_slice(), it.adding.clone()));
    let soon = next.iter().filter_map(move |it| {
        let PartitionId { topic, index } = &it.partition;
        let now = &cluster.topics.get(topic)?.partitions.get(index)?.replicas;
        let adding: Vec<i32> = it.replicas.iter().copied().filter(|id| !now.contains(id)).collect();
        Some(((topic.as_str(), *index), now.as_slice(), adding))
    });
    // One that is given another goal is told by that goal.
    let is_next = move |id: &(&str, i32)| {
        next.iter().any(|it| it.partition.topic == id.0 && it.partition.index == id.1)
    };
    let begun = begun.filter(move |(id, _, _)| !is_next(id));
    begun.chain(soon).filter(|(_, _, adding)| !adding.is_empty()).map(|(id, now, adding)| {
        let sources = now.iter().copied().filter(|id| !adding.contains(id)).collect();
        (id, sources, adding)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use vltava_client::AlterOp;

    use super::{Changes, Input, Throttles, throttles};
    use crate::plan::fixture::Prague;
    use crate::plan::moves::Move;
    use crate::plan::{ClusterView, PartitionId};

    fn orders(partition: i32, replicas: &[i32]) -> Move {
        Move { partition: PartitionId::new("orders", partition), replicas: replicas.to_vec() }
    }

    fn decide(view: &ClusterView, next: &[Move], rate: Option<i64>, ours: &[&str]) -> Throttles {
        let ours: BTreeSet<String> = ours.iter().map(|it| (*it).to_owned()).collect();
        throttles(&Input { cluster: view, next, rate, declared: &|_, _| false, ours: &ours })
    }

    fn noted(notes: &BTreeSet<String>) -> Vec<&str> {
        notes.iter().map(String::as_str).collect()
    }

    /// What was decided is in force.
    fn carry_out(view: &mut ClusterView, plan: &Throttles) {
        let apply = |config: &mut BTreeMap<String, String>, changes: &Changes| {
            for (key, op) in changes {
                match op {
                    AlterOp::Set(value) => config.insert((*key).to_owned(), value.clone()),
                    _ => config.remove(*key),
                };
            }
        };
        apply(&mut view.config, &plan.brokers);
        for (name, changes) in &plan.topics {
            let topic = view.topics.get_mut(name).expect("it is there");
            apply(&mut topic.config, changes);
        }
    }

    #[test]
    fn a_move_is_throttled_from_before_it_begins_until_it_is_done() {
        let mut view = Prague::rolling().cluster;
        let plan = decide(&view, &[orders(0, &[4, 2, 3])], Some(1000), &[]);
        assert_eq!(noted(&plan.before), ["*", "orders"]);
        carry_out(&mut view, &plan);
        assert_eq!(view.config["leader.replication.throttled.rate"], "1000");
        assert_eq!(view.config["follower.replication.throttled.rate"], "1000");
        let config = &view.topics["orders"].config;
        assert_eq!(config["leader.replication.throttled.replicas"], "0:1,0:2,0:3");
        assert_eq!(config["follower.replication.throttled.replicas"], "0:4");
        // It is under way: nothing is to be changed.
        let partition = view.topics.get_mut("orders").expect("it is there").partitions.get_mut(&0);
        let partition = partition.expect("it is there");
        partition.replicas = vec![4, 2, 3, 1];
        (partition.adding, partition.removing) = (vec![4], vec![1]);
        let plan = decide(&view, &[], Some(1000), &["*", "orders"]);
        assert_eq!(plan.topics["orders"].len(), 1, "only the order of the leaders");
        carry_out(&mut view, &plan);
        let plan = decide(&view, &[], Some(1000), &["*", "orders"]);
        assert!(plan.topics.is_empty() && plan.brokers.is_empty(), "{plan:?}");
        // It is done.
        let partition = view.topics.get_mut("orders").expect("it is there").partitions.get_mut(&0);
        let partition = partition.expect("it is there");
        partition.replicas = vec![4, 2, 3];
        (partition.adding, partition.removing) = (vec![], vec![]);
        let plan = decide(&view, &[], Some(1000), &["*", "orders"]);
        assert_eq!((noted(&plan.before), noted(&plan.after)), (vec!["*", "orders"], vec![]));
        carry_out(&mut view, &plan);
        assert!(view.config.is_empty() && view.topics["orders"].config.is_empty(), "{view:?}");
    }

    #[test]
    fn without_a_rate_nothing_is_throttled_and_what_was_is_taken_back() {
        let mut view = Prague::rolling().cluster;
        let next = [orders(0, &[4, 2, 3])];
        assert_eq!(decide(&view, &next, None, &[]), Throttles::default());
        let plan = decide(&view, &next, Some(1000), &[]);
        carry_out(&mut view, &plan);
        let plan = decide(&view, &next, None, &["*", "orders"]);
        carry_out(&mut view, &plan);
        assert!(view.config.is_empty() && view.topics["orders"].config.is_empty(), "{view:?}");
    }

    #[test]
    fn what_a_person_throttles_is_left_to_them() {
        let mut view = Prague::rolling().cluster;
        view.config.insert("leader.replication.throttled.rate".to_owned(), "5".to_owned());
        let topic = view.topics.get_mut("orders").expect("it is there");
        topic.config.insert("follower.replication.throttled.replicas".to_owned(), "*".to_owned());
        let plan = decide(&view, &[], Some(1000), &[]);
        assert!(plan.topics.is_empty() && plan.brokers.is_empty(), "{plan:?}");
        let plan = decide(&view, &[orders(0, &[4, 2, 3])], Some(1000), &[]);
        let keys: Vec<&str> = plan.brokers.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["follower.replication.throttled.rate"]);
        let keys: Vec<&str> = plan.topics["orders"].iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["leader.replication.throttled.replicas"]);
    }

    #[test]
    fn what_the_manifest_declares_is_not_touched_and_a_topic_that_is_gone_is_forgotten() {
        let view = Prague::rolling().cluster;
        let ours: BTreeSet<String> = ["gone".to_owned()].into();
        let next = [orders(0, &[4, 2, 3])];
        let declared = |topic: Option<&str>, _: &str| topic.is_none();
        let input =
            Input { cluster: &view, next: &next, rate: Some(1), declared: &declared, ours: &ours };
        let plan = throttles(&input);
        assert!(plan.brokers.is_empty(), "{plan:?}");
        assert!(!plan.after.contains("gone"));
    }
}

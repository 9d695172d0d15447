//! Who should have which partitions: the assignors of the new protocol.
//!
//! Both are functions of members, subscriptions and present targets alone, and both give every
//! partition that anybody subscribes to, to exactly one member.

use std::collections::{BTreeMap, BTreeSet};

use vltava_wire::{Str, Uuid};

use super::Partitions;

/// The names of the assignors, as members and the configuration call them.
pub(in crate::group) const UNIFORM: &str = "uniform";
/// See [`UNIFORM`].
pub(in crate::group) const RANGE: &str = "range";

/// A member as assignors see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriber {
    /// The topics that it subscribes to, of those that exist.
    pub(super) topics: BTreeSet<Uuid>,
    /// The static member's own name.
    pub(super) instance_id: Option<Str>,
    /// What it was to have before.
    pub(super) target: Partitions,
}

/// What is to be assigned to whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    pub(super) members: BTreeMap<Str, Subscriber>,
    /// How many partitions each topic has.
    pub(super) topics: BTreeMap<Uuid, i32>,
}

impl Task {
    /// What each member is to have.
    pub(super) fn solve(&self, assignor: &str) -> BTreeMap<Str, Partitions> {
        let mut targets = match assignor {
            RANGE => self.range(),
            _ => self.uniform(),
        };
        for member in self.members.keys() {
            targets.entry(member.clone()).or_default();
        }
        targets
    }

    /// Each topic's partitions in order, in contiguous ranges, over those who subscribe to it:
    /// topics with as many partitions, read by the same members, are split alike. Static members
    /// come first, by their own names, so that they keep their ranges when they restart.
    fn range(&self) -> BTreeMap<Str, Partitions> {
        let mut order: Vec<(&Str, &Subscriber)> = self.members.iter().collect();
        order.sort_by_key(|(id, member)| {
            (member.instance_id.is_none(), member.instance_id.clone(), (*id).clone())
        });
        let mut targets: BTreeMap<Str, Partitions> = BTreeMap::new();
        for (topic, partitions) in &self.topics {
            let readers: Vec<&Str> = order
                .iter()
                .filter(|(_, member)| member.topics.contains(topic))
                .map(|(id, _)| *id)
                .collect();
            let Ok(count) = i32::try_from(readers.len()) else { continue };
            if count == 0 {
                continue;
            }
            let (each, more) = (partitions / count, partitions % count);
            let mut next = 0;
            for (at, reader) in (0..).zip(readers) {
                let end = next + each + i32::from(at < more);
                if end > next {
                    let own = targets.entry(reader.clone()).or_default();
                    own.insert(*topic, (next..end).collect());
                }
                next = end;
            }
        }
        targets
    }

    /// As many partitions for everyone as subscriptions allow, and as few moves from the present
    /// targets as that takes.
    fn uniform(&self) -> BTreeMap<Str, Partitions> {
        let mut balance = Balance::of(self);
        balance.keep(self);
        balance.hand_out(self);
        balance.even_out(self);
        balance.targets
    }
}

/// An assignment in the making.
#[derive(Debug, Default)]
struct Balance {
    targets: BTreeMap<Str, Partitions>,
    /// How many partitions each member has, and which class it is of.
    counts: BTreeMap<Str, (usize, usize)>,
    /// The members that subscribe to the same, with their counts, least first: the next of them to
    /// be given one comes first.
    classes: Vec<BTreeSet<(usize, Str)>>,
    /// The classes that subscribe to each topic.
    readers: BTreeMap<Uuid, Vec<usize>>,
    owners: BTreeMap<(Uuid, i32), Str>,
}

impl Balance {
    fn of(task: &Task) -> Self {
        let mut balance = Self::default();
        let mut classes: BTreeMap<&BTreeSet<Uuid>, usize> = BTreeMap::new();
        for (id, member) in &task.members {
            let next = classes.len();
            let class = *classes.entry(&member.topics).or_insert(next);
            if class == next {
                balance.classes.push(BTreeSet::new());
                for topic in &member.topics {
                    balance.readers.entry(*topic).or_default().push(class);
                }
            }
            balance.classes[class].insert((0, id.clone()));
            balance.counts.insert(id.clone(), (0, class));
            balance.targets.insert(id.clone(), Partitions::new());
        }
        balance
    }

    /// Whether all subscribe to the same.
    fn is_homogeneous(&self) -> bool {
        self.classes.len() <= 1
    }

    fn count_of(&self, member: &Str) -> usize {
        self.counts[member].0
    }

    fn count(&mut self, member: &Str, more: bool) {
        let (count, class) = self.counts.get_mut(member).expect("every member has a count");
        let load = &mut self.classes[*class];
        load.remove(&(*count, member.clone()));
        *count = if more { *count + 1 } else { *count - 1 };
        load.insert((*count, member.clone()));
    }

    fn give(&mut self, member: &Str, topic: Uuid, partition: i32) {
        let own = self.targets.get_mut(member).expect("every member has a target");
        own.entry(topic).or_default().insert(partition);
        self.count(member, true);
        self.owners.insert((topic, partition), member.clone());
    }

    fn take(&mut self, member: &Str, topic: Uuid, partition: i32) {
        let own = self.targets.get_mut(member).expect("every member has a target");
        if let Some(partitions) = own.get_mut(&topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                own.remove(&topic);
            }
        }
        self.count(member, false);
        self.owners.remove(&(topic, partition));
    }

    /// Everybody keeps what it was to have before; where all subscribe to the same, up to its
    /// share only.
    fn keep(&mut self, task: &Task) {
        let readable = task.topics.iter().filter(|(topic, _)| self.readers.contains_key(topic));
        let total: usize =
            readable.map(|(_, partitions)| usize::try_from(*partitions).unwrap_or(0)).sum();
        let members = task.members.len().max(1);
        let share = total / members;
        let mut larger = total % members;
        for (id, member) in &task.members {
            let kept = member.target.iter().flat_map(|(topic, partitions)| {
                partitions.iter().map(move |partition| (*topic, *partition))
            });
            for (topic, partition) in kept {
                let exists = task.topics.get(&topic).is_some_and(|count| partition < *count);
                if !exists
                    || !member.topics.contains(&topic)
                    || self.owners.contains_key(&(topic, partition))
                {
                    continue;
                }
                if self.is_homogeneous() {
                    match self.count_of(id) {
                        count if count < share => {}
                        count if count == share && larger > 0 => larger -= 1,
                        _ => break,
                    }
                }
                self.give(id, topic, partition);
            }
        }
    }

    /// What nobody has goes to those who have least.
    fn hand_out(&mut self, task: &Task) {
        let mut topics: Vec<(Uuid, i32)> =
            task.topics.iter().map(|(topic, partitions)| (*topic, *partitions)).collect();
        // Topics that few may read first: who may read them may not be free later.
        let readers = |topic: &Uuid| -> usize {
            let classes = self.readers.get(topic).into_iter().flatten();
            classes.map(|class| self.classes[*class].len()).sum()
        };
        topics.sort_by_cached_key(|(topic, _)| (readers(topic), *topic));
        for (topic, partitions) in topics {
            for partition in 0..partitions {
                if self.owners.contains_key(&(topic, partition)) {
                    continue;
                }
                if let Some(member) = self.least_loaded(topic) {
                    self.give(&member, topic, partition);
                }
            }
        }
    }

    fn least_loaded(&self, topic: Uuid) -> Option<Str> {
        let classes = self.readers.get(&topic)?.iter();
        let least = classes.filter_map(|class| self.classes[*class].first()).min();
        least.map(|(_, member)| member.clone())
    }

    /// Where subscriptions differ: whoever has two more than one who may read the same gives one
    /// away, until nobody has. Each move makes the sum of squares of the counts smaller, so that
    /// this ends.
    fn even_out(&mut self, task: &Task) {
        if self.is_homogeneous() {
            return;
        }
        loop {
            let mut moved = false;
            for (topic, partitions) in &task.topics {
                for partition in 0..*partitions {
                    moved |= self.even_out_one(*topic, partition);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn even_out_one(&mut self, topic: Uuid, partition: i32) -> bool {
        let Some(least) = self.least_loaded(topic) else { return false };
        let Some(owner) = self.owners.get(&(topic, partition)).cloned() else { return false };
        if self.count_of(&owner) < self.count_of(&least) + 2 {
            return false;
        }
        self.take(&owner, topic, partition);
        self.give(&least, topic, partition);
        true
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn task(random: &mut StdRng, homogeneous: bool) -> Task {
        let topics = random.random_range(1..6);
        let members = random.random_range(1..8);
        let mut task = Task::default();
        for topic in 0..topics {
            task.topics.insert(Uuid(topic), random.random_range(0..12));
        }
        for member in 0..members {
            let reads = |topic: &Uuid| homogeneous || !(topic.0 * 7 + member).is_multiple_of(3);
            let subscriber = Subscriber {
                topics: task.topics.keys().copied().filter(reads).collect(),
                instance_id: (member % 2 == 0).then(|| format!("static-{member}").into()),
                target: Partitions::new(),
            };
            task.members.insert(format!("m{member}").into(), subscriber);
        }
        task
    }

    fn check(task: &Task, targets: &BTreeMap<Str, Partitions>, seed: u64) {
        let mut given = BTreeSet::new();
        for (member, partitions) in targets {
            for (topic, own) in partitions {
                assert!(task.members[member].topics.contains(topic), "seed {seed}");
                for partition in own {
                    assert!(given.insert((*topic, *partition)), "seed {seed}: given twice");
                }
            }
        }
        let read = |topic: &Uuid| task.members.values().any(|member| member.topics.contains(topic));
        let all = task.topics.iter().filter(|(topic, _)| read(topic));
        let count: i32 = all.map(|(_, partitions)| *partitions).sum();
        assert_eq!(given.len(), usize::try_from(count).expect("few"), "seed {seed}");
    }

    fn counts(targets: &BTreeMap<Str, Partitions>) -> Vec<usize> {
        targets.values().map(|own| own.values().map(BTreeSet::len).sum()).collect()
    }

    /// Whether nobody has two more than one who may read something of it.
    fn is_even(task: &Task, targets: &BTreeMap<Str, Partitions>) -> bool {
        let count = |member| -> usize { targets[member].values().map(BTreeSet::len).sum() };
        targets.iter().all(|(owner, own)| {
            own.keys().all(|topic| {
                let readers = task.members.iter().filter(|(_, it)| it.topics.contains(topic));
                readers.into_iter().all(|(reader, _)| count(owner) < count(reader) + 2)
            })
        })
    }

    #[test]
    fn every_partition_goes_to_exactly_one_subscriber() {
        for seed in 0..300 {
            let mut random = StdRng::seed_from_u64(seed);
            let homogeneous = random.random_bool(0.5);
            let mut task = task(&mut random, homogeneous);
            check(&task, &task.solve(RANGE), seed);
            let targets = task.solve(UNIFORM);
            check(&task, &targets, seed);
            if homogeneous {
                let counts = counts(&targets);
                let most = counts.iter().max().zip(counts.iter().min());
                assert!(most.is_some_and(|(most, least)| most - least <= 1), "seed {seed}");
            }
            assert!(is_even(&task, &targets), "seed {seed}: {targets:?}");
            for (member, target) in &targets {
                task.members.get_mut(member).expect("a member").target = target.clone();
            }
            assert_eq!(task.solve(UNIFORM), targets, "seed {seed}: nothing moves without need");
        }
    }

    #[test]
    fn one_who_leaves_moves_nothing_of_the_others_in_uniform() {
        let mut task = task(&mut StdRng::seed_from_u64(1), true);
        for (member, target) in task.solve(UNIFORM) {
            task.members.get_mut(&member).expect("a member").target = target;
        }
        let before = task.clone();
        task.members.pop_first();
        let after = task.solve(UNIFORM);
        check(&task, &after, 1);
        for (member, target) in after {
            for (topic, partitions) in &before.members[&member].target {
                assert!(target.get(topic).is_some_and(|own| own.is_superset(partitions)));
            }
        }
    }

    #[test]
    fn range_splits_topics_of_one_size_alike_and_static_members_come_first() {
        let topics = BTreeMap::from([(Uuid(1), 5), (Uuid(2), 5)]);
        let mut task = Task { topics, ..Task::default() };
        for (member, instance) in [("a", None), ("z", Some("i"))] {
            let topics = task.topics.keys().copied().collect();
            let instance_id = instance.map(Str::from);
            let subscriber = Subscriber { topics, instance_id, target: Partitions::new() };
            task.members.insert(member.into(), subscriber);
        }
        let targets = task.solve(RANGE);
        let first = BTreeSet::from([0, 1, 2]);
        let expected = BTreeMap::from([(Uuid(1), first.clone()), (Uuid(2), first)]);
        assert_eq!(targets[&Str::from("z")], expected);
    }
}

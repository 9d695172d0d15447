//! The assignor of share groups, `simple`: every partition is read by somebody, every member reads
//! something, and as evenly as that allows.

use std::collections::{BTreeMap, BTreeSet};

use vltava_wire::{Str, Uuid};

use crate::group::consumer::Partitions;

/// A partition, by its topic's id.
type At = (Uuid, i32);

/// Assigns partitions to members, each of the topics that it subscribes to. Who had a partition
/// keeps it as far as that stays even: its records are known there.
pub(in crate::group) fn assign(
    members: &BTreeMap<Str, BTreeSet<Uuid>>,
    topics: &BTreeMap<Uuid, BTreeSet<i32>>,
    before: &BTreeMap<Str, Partitions>,
) -> BTreeMap<Str, Partitions> {
    let mut readers: BTreeMap<At, BTreeSet<&Str>> = topics
        .iter()
        .flat_map(|(topic, partitions)| {
            partitions.iter().map(|at| ((*topic, *at), BTreeSet::new()))
        })
        .collect();
    let mut loads: BTreeMap<&Str, usize> = members.keys().map(|member| (member, 0)).collect();
    let subscribed: BTreeMap<&Str, usize> = members
        .iter()
        .map(|(member, own)| {
            let count = own.iter().filter_map(|topic| topics.get(topic)).map(BTreeSet::len).sum();
            (member, count)
        })
        .collect();
    let share = readers.len().div_ceil(members.len().max(1)).max(1);
    // Each partition with one reader, the one that it had if that has not too much already.
    let all: Vec<At> = readers.keys().copied().collect();
    for at in &all {
        let had = |member: &Str| {
            let partitions = before.get(member).and_then(|own| own.get(&at.0));
            partitions.is_some_and(|partitions| partitions.contains(&at.1))
        };
        let able = members.iter().filter(|(_, own)| own.contains(&at.0)).map(|(member, _)| member);
        let chosen = able.min_by_key(|member| {
            let load = loads[member];
            (load >= share, !had(member), load, *member)
        });
        if let Some(member) = chosen {
            readers.entry(*at).or_default().insert(member);
            *loads.entry(member).or_default() += 1;
        }
    }
    // Who has nothing reads along where fewest do.
    let idle: Vec<&Str> = loads.iter().filter(|(_, load)| **load == 0).map(|(it, _)| *it).collect();
    for member in idle.into_iter().filter(|member| subscribed[member] > 0) {
        let own = &members[member];
        let had = |at: &At| {
            let partitions = before.get(member).and_then(|own| own.get(&at.0));
            partitions.is_some_and(|partitions| partitions.contains(&at.1))
        };
        let able = readers.iter().filter(|(at, _)| own.contains(&at.0));
        let chosen = able.min_by_key(|(at, readers)| (readers.len(), !had(at), **at));
        if let Some(at) = chosen.map(|(at, _)| *at) {
            readers.entry(at).or_default().insert(member);
        }
    }
    let mut assigned: BTreeMap<Str, Partitions> =
        members.keys().map(|member| (member.clone(), Partitions::new())).collect();
    for ((topic, partition), members) in readers {
        for member in members {
            let own = assigned.entry(member.clone()).or_default();
            own.entry(topic).or_default().insert(partition);
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Uuid = Uuid(1);
    const U: Uuid = Uuid(2);

    fn members(subscriptions: &[(&'static str, &[Uuid])]) -> BTreeMap<Str, BTreeSet<Uuid>> {
        let member = |(name, topics): &(&'static str, &[Uuid])| {
            (Str::from_static(name), topics.iter().copied().collect())
        };
        subscriptions.iter().map(member).collect()
    }

    fn topics(topics: &[(Uuid, i32)]) -> BTreeMap<Uuid, BTreeSet<i32>> {
        topics.iter().map(|(topic, count)| (*topic, (0..*count).collect())).collect()
    }

    fn loads(assigned: &BTreeMap<Str, Partitions>) -> Vec<usize> {
        assigned.values().map(|own| own.values().map(BTreeSet::len).sum()).collect()
    }

    #[test]
    fn partitions_are_spread_over_members() {
        let all = members(&[("a", &[T]), ("b", &[T])]);
        let assigned = assign(&all, &topics(&[(T, 5)]), &BTreeMap::new());
        assert_eq!(loads(&assigned), [3, 2]);
    }

    #[test]
    fn members_share_partitions_where_there_are_few() {
        let all = members(&[("a", &[T]), ("b", &[T]), ("c", &[T]), ("d", &[T])]);
        let assigned = assign(&all, &topics(&[(T, 2)]), &BTreeMap::new());
        assert_eq!(loads(&assigned), [1, 1, 1, 1]);
        let readers = |at: i32| assigned.values().filter(|own| own[&T].contains(&at)).count();
        assert_eq!((readers(0), readers(1)), (2, 2));
        assert_eq!(assign(&all, &topics(&[(T, 2)]), &assigned), assigned, "it stays as it is");
    }

    #[test]
    fn members_read_only_what_they_subscribe_to() {
        let all = members(&[("a", &[T]), ("b", &[U]), ("c", &[])]);
        let assigned = assign(&all, &topics(&[(T, 1), (U, 2)]), &BTreeMap::new());
        assert_eq!(loads(&assigned), [1, 2, 0]);
        assert!(assigned["a"].contains_key(&T) && assigned["b"].contains_key(&U));
        assert!(assign(&BTreeMap::new(), &topics(&[(T, 1)]), &BTreeMap::new()).is_empty());
    }
}

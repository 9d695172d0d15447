//! Offsets that were committed in transactions of which it is not known yet how they end.
//!
//! An offset of a transaction counts when the transaction is committed, unless something was
//! stored after it meanwhile: the order is that of the log.

use std::collections::{BTreeMap, HashMap};

use vltava_wire::{ProducerId, Str};

use super::desk::OffsetChange;
use super::record::CommittedOffset;

/// A partition of a topic.
type Place = (Str, i32);

/// Who has offsets pending there.
type Producers = Vec<ProducerId>;

#[derive(Clone, Debug)]
struct Entry {
    /// Later entries were stored later.
    order: u64,
    /// `None`: something else was stored since.
    value: Option<CommittedOffset>,
}

/// The pending offsets of all groups of a shard.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_producer: HashMap<ProducerId, BTreeMap<(Str, Place), Entry>>,
    by_group: BTreeMap<Str, BTreeMap<Place, Producers>>,
    stored: u64,
}

impl Pending {
    /// Stores an offset of a producer's transaction.
    pub(super) fn put(&mut self, producer: ProducerId, change: OffsetChange) {
        let OffsetChange { group, topic, partition, value } = change;
        let (group, place) = (group.detach(), (topic.detach(), partition));
        self.stored += 1;
        let entry = Entry { order: self.stored, value };
        let offsets = self.by_producer.entry(producer).or_default();
        offsets.insert((group.clone(), place.clone()), entry);
        let places = self.by_group.entry(group).or_default();
        let producers = places.entry(place).or_default();
        if !producers.contains(&producer) {
            producers.push(producer);
        }
    }

    fn producers(&self, group: &str, topic: &str, partition: i32) -> Producers {
        let Some(places) = self.by_group.get(group) else { return Producers::new() };
        places.get(&(Str::from(topic), partition)).cloned().unwrap_or_default()
    }

    /// Whether it is open what the offset of that partition will be.
    pub(super) fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        let places = self.by_group.get(group);
        places.is_some_and(|places| places.contains_key(&(Str::from(topic), partition)))
    }

    /// The partitions of a group with offsets pending.
    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = (&Str, i32)> {
        let places = self.by_group.get(group).into_iter().flatten();
        places.map(|((topic, partition), _)| (topic, *partition))
    }

    /// The groups with offsets pending.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Str> {
        self.by_group.keys()
    }

    /// Another offset was stored there: those that are pending do not count any more.
    pub(super) fn supersede(&mut self, group: &str, topic: &str, partition: i32) {
        self.supersede_before(group, topic, partition, u64::MAX);
    }

    fn supersede_before(&mut self, group: &str, topic: &str, partition: i32, order: u64) {
        for producer in self.producers(group, topic, partition) {
            let offsets = self.by_producer.get_mut(&producer);
            let key = (Str::from(group), (Str::from(topic), partition));
            if let Some(entry) = offsets.and_then(|offsets| offsets.get_mut(&key))
                && entry.order < order
            {
                entry.value = None;
            }
        }
    }

    /// The offset there was taken back, and with it those that are pending.
    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        for producer in self.producers(group, topic, partition) {
            if let Some(offsets) = self.by_producer.get_mut(&producer) {
                offsets.remove(&(Str::from(group), (Str::from(topic), partition)));
                if offsets.is_empty() {
                    self.by_producer.remove(&producer);
                }
            }
        }
        self.forget_place(group, &(Str::from(topic), partition));
    }

    fn forget_place(&mut self, group: &str, place: &Place) {
        if let Some(places) = self.by_group.get_mut(group) {
            places.remove(place);
            if places.is_empty() {
                self.by_group.remove(group);
            }
        }
    }

    /// A producer's transaction has ended; returns the offsets that count now, if it was committed.
    pub(super) fn end(&mut self, producer: ProducerId, commits: bool) -> Vec<OffsetChange> {
        let offsets = self.by_producer.remove(&producer).unwrap_or_default();
        let mut changes = Vec::new();
        for ((group, place), Entry { order, value }) in offsets {
            let places = self.by_group.get_mut(&group);
            let producers = places.and_then(|places| places.get_mut(&place));
            if let Some(producers) = producers {
                producers.retain(|other| *other != producer);
                if producers.is_empty() {
                    self.forget_place(&group, &place);
                }
            }
            let (topic, partition) = place;
            if let Some(value) = value.filter(|_| commits) {
                self.supersede_before(&group, &topic, partition, order);
                changes.push(OffsetChange { group, topic, partition, value: Some(value) });
            }
        }
        changes
    }
}

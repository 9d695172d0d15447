//! What a batch of records, or a snapshot, changed: whoever acts on an image acts on this alone.

use std::collections::{BTreeMap, BTreeSet};

use imbl::ordmap::DiffItem;
use vltava_wire::{NodeId, PartitionId, Str, Uuid};

use crate::{ConfigResource, Image};

/// A partition by its topic's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionRef {
    /// The topic's id.
    pub topic: Uuid,
    /// The index within the topic.
    pub partition: PartitionId,
}

/// What differs between two images. What it names is looked up in the newer image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Brokers that were registered, changed (fenced, unfenced, moved) or removed.
    pub brokers: BTreeSet<NodeId>,
    /// Coordinators that were registered or changed.
    pub controllers: BTreeSet<NodeId>,
    /// Topics that are new.
    pub topics_created: BTreeSet<Uuid>,
    /// Topics that are gone, with the name that each had.
    pub topics_deleted: BTreeMap<Uuid, Str>,
    /// Partitions that are new or changed, of topics that exist.
    pub partitions: BTreeSet<PartitionRef>,
    /// Resources of which a configuration was set or removed.
    pub configs: BTreeSet<ConfigResource>,
    /// Whether the level of a feature changed.
    pub features: bool,
    /// Whether a block of producer ids was handed out.
    pub producer_ids: bool,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what changed after these changes.
    pub fn extend(&mut self, later: Self) {
        for (topic, name) in later.topics_deleted {
            self.topic_deleted(topic, name);
        }
        self.brokers.extend(later.brokers);
        self.controllers.extend(later.controllers);
        self.topics_created.extend(later.topics_created);
        self.partitions.extend(later.partitions);
        self.configs.extend(later.configs);
        self.features |= later.features;
        self.producer_ids |= later.producer_ids;
    }

    /// Notes that a topic is gone. One that came and went is gone all the same: who saw it by an
    /// earlier image must hear of it.
    pub(crate) fn topic_deleted(&mut self, topic: Uuid, name: Str) {
        self.topics_created.remove(&topic);
        self.partitions.retain(|partition| partition.topic != topic);
        self.topics_deleted.insert(topic, name);
    }

    /// What leads from one image to another, as after a snapshot was loaded. Costs about as much
    /// as what differs.
    pub fn between(old: &Image, new: &Image) -> Self {
        let mut changes = Self {
            features: old.features() != new.features(),
            producer_ids: old.next_producer_id() != new.next_producer_id(),
            ..Self::default()
        };
        changes.brokers.extend(old.broker_map().diff(new.broker_map()).map(|item| *key(&item)));
        changes
            .controllers
            .extend(old.controller_map().diff(new.controller_map()).map(|item| *key(&item)));
        changes
            .configs
            .extend(old.config_map().diff(new.config_map()).map(|item| key(&item).clone()));
        for item in old.topic_map().diff(new.topic_map()) {
            match item {
                DiffItem::Add(topic, image) => {
                    changes.topics_created.insert(*topic);
                    let partitions = image.partitions.keys().copied();
                    changes.note_partitions(*topic, partitions);
                }
                DiffItem::Update { old: (topic, before), new: (_, after) } => {
                    let partitions = before.partitions.diff(&after.partitions);
                    changes.note_partitions(*topic, partitions.map(|item| *key(&item)));
                }
                DiffItem::Remove(topic, image) => {
                    changes.topic_deleted(*topic, image.name.clone());
                }
            }
        }
        changes
    }

    fn note_partitions(&mut self, topic: Uuid, partitions: impl Iterator<Item = PartitionId>) {
        self.partitions.extend(partitions.map(|partition| PartitionRef { topic, partition }));
    }
}

fn key<'a, K, V>(item: &DiffItem<'a, 'a, K, V>) -> &'a K {
    match item {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key,
        DiffItem::Update { new: (key, _), .. } => key,
    }
}

//! What a share group has the share coordinator know: that there are share-partitions, and where
//! they begin.

use std::collections::{BTreeMap, BTreeSet};

use vltava_metadata::Image;
use vltava_wire::{ErrorCode, Str, Uuid};

use super::{Change, Edit, INITIALIZE_AGAIN_MS, ShareGroup, StatePartitions, TopicState};
use crate::group::consumer::Refusal;
use crate::group::desk::Desk;

/// What the share coordinator is to do for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareOrder {
    /// The group.
    pub group: Str,
    /// The epoch of the state that share-partitions begin with.
    pub state_epoch: i32,
    /// Which share-partitions it is to know of. Where their leaders begin is theirs to find out.
    pub initialize: BTreeMap<Uuid, BTreeSet<i32>>,
}

/// What the share coordinator has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareOutcome {
    /// The group.
    pub group: Str,
    /// It knows of these share-partitions by now.
    pub initialized: BTreeMap<Uuid, BTreeSet<i32>>,
    /// It has forgotten these topics.
    pub deleted: BTreeSet<Uuid>,
}

/// What a person asks for about the offsets of a group without members. It is written down before
/// the share coordinator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareTask {
    /// Share-partitions are to begin elsewhere: those of these topics.
    Alter(BTreeMap<Uuid, BTreeSet<i32>>),
    /// Topics are to be forgotten.
    Delete(BTreeSet<Uuid>),
}

impl StatePartitions {
    fn initialize(&mut self, topic: Uuid, name: &Str, partitions: &BTreeSet<i32>) {
        let state = self.initializing.entry(topic).or_default();
        state.name = name.clone();
        state.partitions.extend(partitions);
        if let Some(known) = self.initialized.get_mut(&topic) {
            known.partitions.retain(|at| !partitions.contains(at));
            if known.partitions.is_empty() {
                self.initialized.remove(&topic);
            }
        }
        self.deleting.remove(&topic);
    }

    fn initialized(&mut self, topic: Uuid, partitions: &BTreeSet<i32>) {
        let Some(state) = self.initializing.get_mut(&topic) else { return };
        let done: BTreeSet<i32> = state.partitions.intersection(partitions).copied().collect();
        state.partitions.retain(|at| !done.contains(at));
        let name = state.name.clone();
        if state.partitions.is_empty() {
            self.initializing.remove(&topic);
        }
        if !done.is_empty() {
            let known = self.initialized.entry(topic).or_default();
            known.name = name;
            known.partitions.extend(done);
        }
    }

    fn forget(&mut self, topic: Uuid) {
        self.initializing.remove(&topic);
        self.initialized.remove(&topic);
        self.deleting.remove(&topic);
    }
}

impl ShareGroup {
    /// Asks for subscribed partitions that the share coordinator does not know, and again for those
    /// that it has not answered about for long.
    pub(super) fn ask_for_states(&mut self, image: &Image, desk: &mut Desk, edit: &mut Edit) {
        let mut states = self.states.clone();
        let again = desk.now.mono >= self.ask_again_at;
        let mut initialize: BTreeMap<Uuid, BTreeSet<i32>> = BTreeMap::new();
        for (name, (topic, count)) in self.subscribed_topics(image) {
            let of = |states: &BTreeMap<Uuid, TopicState>| {
                states.get(&topic).map(|state| state.partitions.clone()).unwrap_or_default()
            };
            let (known, asked) = (of(&self.states.initialized), of(&self.states.initializing));
            let new: BTreeSet<i32> =
                (0..count).filter(|at| !known.contains(at) && !asked.contains(at)).collect();
            if !new.is_empty() {
                states.initialize(topic, &name, &new);
            }
            let mut wanted = new;
            if again {
                wanted.extend(asked);
            }
            if !wanted.is_empty() {
                initialize.insert(topic, wanted);
            }
        }
        if initialize.is_empty() {
            return;
        }
        if states != self.states {
            edit.change(self, Change::States(Some(Box::new(states))));
        }
        self.ask_again_at = desk.now.after(INITIALIZE_AGAIN_MS);
        let (group, state_epoch) = (self.id.clone(), self.epoch);
        desk.order(ShareOrder { group, state_epoch, initialize });
    }

    /// The share coordinator has done something: partitions that it knows by now may be assigned.
    pub(in crate::group) fn note_outcome(
        &mut self,
        outcome: &ShareOutcome,
        image: &Image,
        edit: &mut Edit,
    ) {
        let mut states = self.states.clone();
        for (topic, partitions) in &outcome.initialized {
            states.initialized(*topic, partitions);
        }
        outcome.deleted.iter().for_each(|topic| states.forget(*topic));
        if states == self.states {
            return;
        }
        edit.change(self, Change::States(Some(Box::new(states))));
        if !self.members.is_empty() {
            let (epoch, hash) = (self.epoch.wrapping_add(1), self.compute_hash(image));
            edit.change(self, Change::Group(Some((epoch, hash))));
        }
    }

    /// Topics do not exist any more; the share coordinator knows that by itself.
    pub(in crate::group) fn forget_topics(&mut self, topics: &[Str], edit: &mut Edit) {
        let mut states = self.states.clone();
        let named = |name: &Str| topics.contains(name);
        states.initializing.retain(|_, state| !named(&state.name));
        states.initialized.retain(|_, state| !named(&state.name));
        states.deleting.retain(|_, name| !named(name));
        if states != self.states {
            edit.change(self, Change::States(Some(Box::new(states))));
        }
    }

    /// Writes down what a person asks for; returns the epoch of the state that follows from it.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP.
    pub(in crate::group) fn begin_task(
        &mut self,
        task: &ShareTask,
        image: &Image,
        edit: &mut Edit,
    ) -> Result<i32, Refusal> {
        if !self.members.is_empty() {
            let message = format!("Group {} is not empty.", self.id);
            return Err(Refusal::new(ErrorCode::NON_EMPTY_GROUP, message));
        }
        let mut states = self.states.clone();
        match task {
            ShareTask::Alter(topics) => {
                for (topic, partitions) in topics {
                    let Some(known) = image.topic_by_id(*topic) else { continue };
                    states.initialize(*topic, &known.name, partitions);
                }
                let epoch = self.epoch.wrapping_add(1);
                edit.change(self, Change::Group(Some((epoch, self.metadata_hash))));
            }
            ShareTask::Delete(topics) => {
                for topic in topics {
                    let initialized = states.initialized.remove(topic);
                    let initializing = states.initializing.remove(topic);
                    if let Some(state) = initialized.or(initializing) {
                        states.deleting.insert(*topic, state.name);
                    }
                }
            }
        }
        if states != self.states {
            edit.change(self, Change::States(Some(Box::new(states))));
        }
        Ok(self.epoch)
    }

    /// The share-partitions that the share coordinator knows, or was asked to.
    pub(in crate::group) fn known_partitions(&self) -> BTreeMap<Uuid, BTreeSet<i32>> {
        let mut known: BTreeMap<Uuid, BTreeSet<i32>> = BTreeMap::new();
        for (topic, state) in self.states.initialized.iter().chain(&self.states.initializing) {
            known.entry(*topic).or_default().extend(&state.partitions);
        }
        known
    }
}

//! What can change in a share group, one record each: applied, written, taken back, and loaded.

use vltava_wire::Str;
use vltava_wire::records::share_group::ShareGroupMemberMetadataValue;

use super::{ShareGroup, StatePartitions};
use crate::group::consumer::Partitions;
use crate::group::record::Record;

/// What a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct Current {
    pub(in crate::group) epoch: i32,
    pub(in crate::group) previous_epoch: i32,
    pub(in crate::group) assigned: Partitions,
}

/// One change; without a value it takes back what was.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::group) enum Change {
    /// The group's epoch, and the hash of the topics that it subscribes to.
    Group(Option<(i32, i64)>),
    /// What a member said of itself.
    Member(Str, Option<Box<ShareGroupMemberMetadataValue>>),
    /// The epoch of the target assignment.
    TargetEpoch(Option<i32>),
    /// What a member is to have.
    Target(Str, Option<Partitions>),
    /// What a member has.
    Current(Str, Option<Current>),
    /// How far the group is with the share coordinator.
    States(Option<Box<StatePartitions>>),
}

impl ShareGroup {
    /// Applies a change, and returns the one that takes it back.
    pub(in crate::group) fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Group(value) => {
                let before = (self.epoch, self.metadata_hash);
                (self.epoch, self.metadata_hash) = value.unwrap_or_default();
                Change::Group(Some(before))
            }
            Change::TargetEpoch(epoch) => {
                let before = std::mem::replace(&mut self.assignment_epoch, epoch.unwrap_or(0));
                Change::TargetEpoch(Some(before))
            }
            Change::Member(id, about) => {
                let before = self.members.get(&id).map(|member| Box::new(member.about.clone()));
                match about {
                    Some(about) => self.members.entry(id.clone()).or_default().about = *about,
                    None => {
                        self.members.remove(&id);
                    }
                }
                Change::Member(id, before)
            }
            Change::Target(id, target) => {
                let before = match target {
                    Some(target) => self.targets.insert(id.clone(), target),
                    None => self.targets.remove(&id),
                };
                Change::Target(id, before)
            }
            Change::Current(id, current) => {
                let known = self.members.contains_key(&id);
                if !known && current.is_none() {
                    return Change::Current(id, None);
                }
                let member = self.members.entry(id.clone()).or_default();
                let before = Current {
                    epoch: member.epoch,
                    previous_epoch: member.previous_epoch,
                    assigned: std::mem::take(&mut member.assigned),
                };
                let Current { epoch, previous_epoch, assigned } = current.unwrap_or_default();
                (member.epoch, member.previous_epoch) = (epoch, previous_epoch);
                member.assigned = assigned;
                Change::Current(id, known.then_some(before))
            }
            Change::States(states) => {
                let states = states.map(|states| *states).unwrap_or_default();
                let before = std::mem::replace(&mut self.states, states);
                Change::States(Some(Box::new(before)))
            }
        }
    }
}

/// Changes under way: applied already, to be written as one batch.
#[derive(Debug, Default)]
pub(in crate::group) struct Edit {
    /// What to write.
    pub(in crate::group) records: Vec<Record>,
    /// What takes it back, in the order in which it was done.
    pub(in crate::group) undo: Vec<Change>,
}

impl Edit {
    /// Applies a change and notes its record.
    pub(in crate::group) fn change(&mut self, group: &mut ShareGroup, change: Change) {
        self.records.push(change.to_record(&group.id));
        self.undo.push(group.apply(change));
    }

    /// Takes everything back.
    pub(in crate::group) fn take_back(undo: Vec<Change>, group: &mut ShareGroup) {
        for change in undo.into_iter().rev() {
            group.apply(change);
        }
    }
}

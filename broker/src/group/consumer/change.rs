//! What can change in a group, one record each: applied, written, taken back, and loaded.

use vltava_wire::records::consumer_group::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    ConsumerGroupRegularExpressionValue, TopicPartitions,
};
use vltava_wire::{Str, Uuid};

use super::{ConsumerGroup, Current, MemberState, Partitions};
use crate::group::record::{self, Record};

/// One change; without a value it takes back what was.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::group) enum Change {
    /// The group's epoch, and the hash of the topics that it subscribes to.
    Group(Option<(i32, i64)>),
    /// What a member said of itself.
    Member(Str, Option<Box<ConsumerGroupMemberMetadataValue>>),
    /// The epoch of the target assignment.
    TargetEpoch(Option<i32>),
    /// What a member is to have.
    Target(Str, Option<Partitions>),
    /// What a member has.
    Current(Str, Option<Current>),
    /// What a regular expression stands for.
    Regex(Str, Option<ConsumerGroupRegularExpressionValue>),
}

/// Partitions as they are stored.
pub(in crate::group) fn to_stored(partitions: &Partitions) -> Vec<TopicPartitions> {
    let topic = |(topic_id, partitions): (&Uuid, &std::collections::BTreeSet<i32>)| {
        TopicPartitions { topic_id: *topic_id, partitions: partitions.iter().copied().collect() }
    };
    partitions.iter().map(topic).collect()
}

/// Partitions as they were stored.
pub(in crate::group) fn from_stored(stored: &[TopicPartitions]) -> Partitions {
    let topic =
        |topic: &TopicPartitions| (topic.topic_id, topic.partitions.iter().copied().collect());
    stored.iter().map(topic).collect()
}

impl Current {
    pub(in crate::group) fn from_stored(value: &ConsumerGroupCurrentMemberAssignmentValue) -> Self {
        Self {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            state: MemberState::from_code(value.state),
            assigned: from_stored(&value.assigned_partitions),
            revoking: from_stored(&value.partitions_pending_revocation),
        }
    }

    fn to_stored(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.code(),
            assigned_partitions: to_stored(&self.assigned),
            partitions_pending_revocation: to_stored(&self.revoking),
        }
    }
}

impl Change {
    /// The record that stores the change.
    pub(in crate::group) fn to_record(&self, group: &Str) -> Record {
        match self {
            Self::Group(value) => record::consumer_group(group, *value),
            Self::Member(member, value) => record::consumer_member(group, member, value.as_deref()),
            Self::TargetEpoch(epoch) => record::target_epoch(group, *epoch),
            Self::Target(member, target) => {
                record::target(group, member, target.as_ref().map(to_stored))
            }
            Self::Current(member, current) => {
                let value = current.as_ref().map(Current::to_stored);
                record::current_assignment(group, member, value.as_ref())
            }
            Self::Regex(regex, value) => record::regex(group, regex, value.as_ref()),
        }
    }
}

impl ConsumerGroup {
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
            Change::Member(id, about) => self.apply_member(id, about),
            Change::Target(id, target) => {
                let before = match target {
                    Some(target) => self.targets.insert(id.clone(), target),
                    None => self.targets.remove(&id),
                };
                Change::Target(id, before)
            }
            Change::Current(id, current) => self.apply_current(id, current),
            Change::Regex(regex, value) => {
                let before = match value {
                    Some(value) => self.regexes.insert(regex.clone(), value),
                    None => self.regexes.remove(&regex),
                };
                Change::Regex(regex, before)
            }
        }
    }

    fn apply_member(
        &mut self,
        id: Str,
        about: Option<Box<ConsumerGroupMemberMetadataValue>>,
    ) -> Change {
        let before = self.members.get(&id).map(|member| member.about.clone());
        if let Some(instance) = before.as_ref().and_then(|about| about.instance_id.as_ref()) {
            // The name may belong to the one who took this member's place by now.
            if self.static_members.get(instance) == Some(&id) {
                self.static_members.remove(instance);
            }
        }
        match about {
            Some(about) => {
                if let Some(instance) = &about.instance_id {
                    self.static_members.insert(instance.clone(), id.clone());
                }
                self.members.entry(id.clone()).or_default().about = *about;
            }
            None => {
                self.disown(&id);
                self.members.remove(&id);
            }
        }
        Change::Member(id, before.map(Box::new))
    }

    fn apply_current(&mut self, id: Str, current: Option<Current>) -> Change {
        self.disown(&id);
        let Some(current) = current else {
            let before =
                self.members.get_mut(&id).map(|member| std::mem::take(&mut member.current));
            return Change::Current(id, before);
        };
        for (topic, partitions) in current.assigned.iter().chain(&current.revoking) {
            for partition in partitions {
                self.owners.insert((*topic, *partition), id.clone());
            }
        }
        let known = self.members.contains_key(&id);
        let member = self.members.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut member.current, current);
        Change::Current(id, known.then_some(before))
    }

    /// Takes a member's name off what it holds.
    fn disown(&mut self, id: &Str) {
        let Some(member) = self.members.get(id) else { return };
        let held = member.current.assigned.iter().chain(&member.current.revoking);
        for (topic, partitions) in held {
            for partition in partitions {
                if self.owners.get(&(*topic, *partition)) == Some(id) {
                    self.owners.remove(&(*topic, *partition));
                }
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
    pub(in crate::group) fn change(&mut self, group: &mut ConsumerGroup, change: Change) {
        self.records.push(change.to_record(&group.id));
        self.undo.push(group.apply(change));
    }

    /// Takes everything back.
    pub(in crate::group) fn take_back(undo: Vec<Change>, group: &mut ConsumerGroup) {
        for change in undo.into_iter().rev() {
            group.apply(change);
        }
    }
}

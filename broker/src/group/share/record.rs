//! The records of share groups on `__consumer_offsets`.

use vltava_wire::records::share_group::{
    ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue,
    ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue, ShareGroupMetadataKey,
    ShareGroupMetadataValue, ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue, ShareGroupTargetAssignmentMemberKey,
    ShareGroupTargetAssignmentMemberValue, ShareGroupTargetAssignmentMetadataKey,
    ShareGroupTargetAssignmentMetadataValue, TopicInfo, TopicPartition, TopicPartitions,
    TopicPartitionsInfo,
};
use vltava_wire::{Str, Uuid};

use super::change::{Change, Current};
use super::{StatePartitions, TopicState};
use crate::group::consumer::Partitions;
use crate::group::record::{Record, RecordError, first, of};

pub(in crate::group) const MEMBER: i16 = 10;
pub(in crate::group) const GROUP: i16 = 11;
pub(in crate::group) const TARGET_EPOCH: i16 = 12;
pub(in crate::group) const TARGET: i16 = 13;
pub(in crate::group) const CURRENT: i16 = 14;
pub(in crate::group) const STATES: i16 = 15;

/// Members are always where they should be; the number that says so.
const STABLE: i8 = 0;

/// What a key says of a share group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareKind<'a> {
    /// Its epoch.
    Group,
    /// The epoch of its target assignment.
    TargetEpoch,
    /// How far it is with the share coordinator.
    States,
    /// What a member says of itself.
    Member(&'a str),
    /// What a member is to have.
    Target(&'a str),
    /// What a member has.
    Current(&'a str),
}

fn partitions(stored: &[(Uuid, &[i32])]) -> Partitions {
    stored.iter().map(|(id, partitions)| (*id, partitions.iter().copied().collect())).collect()
}

impl ShareKind<'_> {
    /// The change that a record of this key makes.
    ///
    /// # Errors
    /// [`RecordError::Version`] and [`RecordError::Malformed`].
    pub(in crate::group) fn change(self, value: Option<&[u8]>) -> Result<Change, RecordError> {
        Ok(match self {
            Self::Group => {
                let value = first::<ShareGroupMetadataValue>(value)?;
                Change::Group(value.map(|value| (value.epoch, value.metadata_hash)))
            }
            Self::TargetEpoch => {
                let value = first::<ShareGroupTargetAssignmentMetadataValue>(value)?;
                Change::TargetEpoch(value.map(|value| value.assignment_epoch))
            }
            Self::States => {
                let value = first::<ShareGroupStatePartitionMetadataValue>(value)?;
                Change::States(value.map(|value| Box::new(states_of(value))))
            }
            Self::Member(member) => Change::Member(member.into(), first(value)?.map(Box::new)),
            Self::Target(member) => {
                let value = first::<ShareGroupTargetAssignmentMemberValue>(value)?;
                let target = value.map(|value| {
                    let topics = value.topic_partitions.iter();
                    let topics = topics.map(|it| (it.topic_id, it.partitions.as_slice()));
                    partitions(&topics.collect::<Vec<_>>())
                });
                Change::Target(member.into(), target)
            }
            Self::Current(member) => {
                let value = first::<ShareGroupCurrentMemberAssignmentValue>(value)?;
                let current = value.map(|value| {
                    let topics = value.assigned_partitions.iter();
                    let topics = topics.map(|it| (it.topic_id, it.partitions.as_slice()));
                    Current {
                        epoch: value.member_epoch,
                        previous_epoch: value.previous_member_epoch,
                        assigned: partitions(&topics.collect::<Vec<_>>()),
                    }
                });
                Change::Current(member.into(), current)
            }
        })
    }
}

fn states_of(value: ShareGroupStatePartitionMetadataValue) -> StatePartitions {
    let topics = |stored: Vec<TopicPartitionsInfo>| {
        let topic = |it: TopicPartitionsInfo| {
            let state = TopicState {
                name: it.topic_name.detach(),
                partitions: it.partitions.into_iter().collect(),
            };
            (it.topic_id, state)
        };
        stored.into_iter().map(topic).collect()
    };
    let deleting = value.deleting_topics.into_iter();
    StatePartitions {
        initializing: topics(value.initializing_topics),
        initialized: topics(value.initialized_topics),
        deleting: deleting.map(|it| (it.topic_id, it.topic_name.detach())).collect(),
    }
}

fn states_to_stored(states: &StatePartitions) -> ShareGroupStatePartitionMetadataValue {
    let topics = |topics: &std::collections::BTreeMap<Uuid, TopicState>| {
        let topic = |(topic_id, state): (&Uuid, &TopicState)| TopicPartitionsInfo {
            topic_id: *topic_id,
            topic_name: state.name.clone(),
            partitions: state.partitions.iter().copied().collect(),
        };
        topics.iter().map(topic).collect()
    };
    let deleting = states.deleting.iter().map(|(topic_id, topic_name)| TopicInfo {
        topic_id: *topic_id,
        topic_name: topic_name.clone(),
    });
    ShareGroupStatePartitionMetadataValue {
        initializing_topics: topics(&states.initializing),
        initialized_topics: topics(&states.initialized),
        deleting_topics: deleting.collect(),
    }
}

impl Change {
    /// The record that stores the change.
    pub(in crate::group) fn to_record(&self, group: &Str) -> Record {
        let group_id = group.clone();
        match self {
            Self::Group(value) => {
                let value = value
                    .map(|(epoch, metadata_hash)| ShareGroupMetadataValue { epoch, metadata_hash });
                of(GROUP, &ShareGroupMetadataKey { group_id }, value.as_ref())
            }
            Self::Member(member, value) => {
                let key = ShareGroupMemberMetadataKey { group_id, member_id: member.clone() };
                of::<_, ShareGroupMemberMetadataValue>(MEMBER, &key, value.as_deref())
            }
            Self::TargetEpoch(epoch) => {
                let key = ShareGroupTargetAssignmentMetadataKey { group_id };
                let value = epoch.map(|assignment_epoch| ShareGroupTargetAssignmentMetadataValue {
                    assignment_epoch,
                });
                of(TARGET_EPOCH, &key, value.as_ref())
            }
            Self::Target(member, target) => {
                let member_id = member.clone();
                let key = ShareGroupTargetAssignmentMemberKey { group_id, member_id };
                let value = target.as_ref().map(|target| ShareGroupTargetAssignmentMemberValue {
                    topic_partitions: target
                        .iter()
                        .map(|(topic_id, partitions)| TopicPartition {
                            topic_id: *topic_id,
                            partitions: partitions.iter().copied().collect(),
                        })
                        .collect(),
                });
                of(TARGET, &key, value.as_ref())
            }
            Self::Current(member, current) => {
                let member_id = member.clone();
                let key = ShareGroupCurrentMemberAssignmentKey { group_id, member_id };
                let value = current.as_ref().map(|it| ShareGroupCurrentMemberAssignmentValue {
                    member_epoch: it.epoch,
                    previous_member_epoch: it.previous_epoch,
                    state: STABLE,
                    assigned_partitions: it
                        .assigned
                        .iter()
                        .map(|(topic_id, partitions)| TopicPartitions {
                            topic_id: *topic_id,
                            partitions: partitions.iter().copied().collect(),
                        })
                        .collect(),
                });
                of(CURRENT, &key, value.as_ref())
            }
            Self::States(states) => {
                let value = states.as_deref().map(states_to_stored);
                of(STATES, &ShareGroupStatePartitionMetadataKey { group_id }, value.as_ref())
            }
        }
    }
}

//! A member's next step towards its target: it gives up before it is given.

use std::collections::BTreeSet;

use vltava_metadata::Image;
use vltava_wire::messages::consumer_group_heartbeat::TopicPartitions;
use vltava_wire::{Str, Uuid};

use super::{Change, ConsumerGroup, Current, Edit, MemberState, Partitions};

/// Whether any of these partitions is in what a member says that it owns; one who does not say
/// may own them all.
fn owns_any(owned: Option<&[TopicPartitions]>, partitions: &Partitions) -> bool {
    let Some(owned) = owned else { return true };
    owned.iter().any(|topic| {
        let Some(asked) = partitions.get(&topic.topic_id) else { return false };
        topic.partitions.iter().any(|partition| asked.contains(partition))
    })
}

fn insert(partitions: &mut Partitions, topic: Uuid, partition: i32) {
    partitions.entry(topic).or_default().insert(partition);
}

impl ConsumerGroup {
    /// Takes a member a step further, if it can go one; what it says it owns tells whether it has
    /// given up what it had to.
    pub(super) fn reconcile(
        &mut self,
        member_id: &Str,
        owned: Option<&[TopicPartitions]>,
        image: &Image,
        edit: &mut Edit,
    ) {
        let Some(member) = self.members.get(member_id) else { return };
        let current = &member.current;
        let next = match current.state {
            MemberState::Stable if current.epoch == self.assignment_epoch => return,
            MemberState::Unrevoked if owns_any(owned, &current.revoking) => return,
            _ => self.next_step(member_id, current, owned, image),
        };
        if next != *current {
            edit.change(self, Change::Current(member_id.clone(), Some(next)));
        }
    }

    fn next_step(
        &self,
        member_id: &Str,
        current: &Current,
        owned: Option<&[TopicPartitions]>,
        image: &Image,
    ) -> Current {
        let none = Partitions::new();
        let target = self.targets.get(member_id).unwrap_or(&none);
        let (mut assigned, mut revoking) = (Partitions::new(), Partitions::new());
        for (topic, partition) in each(&current.assigned) {
            match has(target, topic, partition) {
                true => insert(&mut assigned, topic, partition),
                false if Self::exists(image, topic, partition) => {
                    insert(&mut revoking, topic, partition);
                }
                false => {}
            }
        }
        if !revoking.is_empty() && owns_any(owned, &revoking) {
            return Current {
                epoch: current.epoch,
                previous_epoch: current.previous_epoch,
                state: MemberState::Unrevoked,
                assigned,
                revoking,
            };
        }
        let mut state = MemberState::Stable;
        for (topic, partition) in each(target) {
            if has(&assigned, topic, partition) {
                continue;
            }
            match self.is_free_for(topic, partition, member_id) {
                true => insert(&mut assigned, topic, partition),
                false => state = MemberState::Unreleased,
            }
        }
        let epoch = self.assignment_epoch;
        let previous_epoch = match epoch == current.epoch {
            true => current.previous_epoch,
            false => current.epoch,
        };
        Current { epoch, previous_epoch, state, assigned, revoking: Partitions::new() }
    }
}

fn each(partitions: &Partitions) -> impl Iterator<Item = (Uuid, i32)> {
    let topic = |(topic, partitions): (&Uuid, &BTreeSet<i32>)| {
        let topic = *topic;
        partitions.clone().into_iter().map(move |partition| (topic, partition))
    };
    partitions.iter().flat_map(topic)
}

fn has(partitions: &Partitions, topic: Uuid, partition: i32) -> bool {
    partitions.get(&topic).is_some_and(|own| own.contains(&partition))
}

/// Whether all that a member says it owns is among these.
pub(super) fn is_subset(owned: Option<&[TopicPartitions]>, partitions: &Partitions) -> bool {
    owned.is_some_and(|owned| {
        owned.iter().all(|topic| {
            topic.partitions.iter().all(|partition| has(partitions, topic.topic_id, *partition))
        })
    })
}

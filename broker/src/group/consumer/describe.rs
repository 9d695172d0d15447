//! ConsumerGroupDescribe: what people see of a group of the new protocol.

use std::collections::BTreeSet;

use vltava_metadata::Image;
use vltava_wire::messages::consumer_group_describe::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use vltava_wire::messages::list_groups::ListedGroup;
use vltava_wire::{ErrorCode, Str, Uuid};

use super::{ConsumerGroup, Member, Partitions};
use crate::group::machine::Shard;
use crate::group::state::CONSUMER;

/// The numbers of Kafka for the protocol that a member speaks (KIP-1099).
const MEMBER_TYPE_CLASSIC: i8 = 0;
const MEMBER_TYPE_CONSUMER: i8 = 1;

/// Partitions with their topic's name; those of topics that are gone are left out.
fn assignment(partitions: &Partitions, image: &Image) -> Assignment {
    let topic = |(topic_id, partitions): (&Uuid, &BTreeSet<i32>)| {
        Some(TopicPartitions {
            topic_id: *topic_id,
            topic_name: image.topic_by_id(*topic_id)?.name.clone(),
            partitions: partitions.iter().copied().collect(),
        })
    };
    Assignment { topic_partitions: partitions.iter().filter_map(topic).collect() }
}

impl ConsumerGroup {
    fn describe(&self, image: &Image, assignors: &[String]) -> DescribedGroup {
        let members = self.members.iter();
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: Str::from_static(self.state().name()),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor_name: self.assignor(assignors),
            members: members.map(|(id, member)| self.describe_member(id, member, image)).collect(),
            ..Default::default()
        }
    }

    fn describe_member(&self, id: &Str, member: &Member, image: &Image) -> DescribedMember {
        let Member { about, current } = member;
        let none = Partitions::new();
        let member_type = match about.classic_member_metadata {
            Some(_) => MEMBER_TYPE_CLASSIC,
            None => MEMBER_TYPE_CONSUMER,
        };
        DescribedMember {
            member_id: id.clone(),
            instance_id: about.instance_id.clone(),
            rack_id: about.rack_id.clone(),
            member_epoch: current.epoch,
            client_id: about.client_id.clone(),
            client_host: about.client_host.clone(),
            subscribed_topic_names: about.subscribed_topic_names.clone(),
            subscribed_topic_regex: about
                .subscribed_topic_regex
                .clone()
                .filter(|regex| !regex.is_empty()),
            assignment: assignment(&current.assigned, image),
            target_assignment: assignment(self.targets.get(id).unwrap_or(&none), image),
            member_type,
        }
    }

    /// The group as it is listed.
    pub(in crate::group) fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: Str::from_static(CONSUMER),
            group_state: Str::from_static(self.state().name()),
            group_type: Str::from_static(CONSUMER),
        }
    }
}

impl Shard {
    /// Describes a group of the new protocol.
    pub fn describe_consumer_group(&self, id: &Str) -> DescribedGroup {
        if let Some(group) = self.consumers.get(id) {
            return group.describe(&self.image, &self.desk.config.consumer.assignors);
        }
        let message = match self.groups.contains_key(id) || self.shares.contains_key(id) {
            true => format!("Group {id} is not a consumer group."),
            false => format!("Group {id} not found."),
        };
        DescribedGroup {
            error_code: ErrorCode::GROUP_ID_NOT_FOUND,
            error_message: Some(Str::from(message)),
            group_id: id.clone(),
            ..Default::default()
        }
    }
}

//! ShareGroupDescribe: what people see of a share group.

use std::collections::{BTreeMap, BTreeSet};

use vltava_metadata::Image;
use vltava_wire::messages::list_groups::ListedGroup;
use vltava_wire::messages::share_group_describe::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::{Member, ShareGroup};
use crate::group::consumer::Partitions;
use crate::group::machine::Shard;

/// The type of share groups, as Kafka names it.
const SHARE: &str = "share";
/// The protocol type of share groups.
const PROTOCOL_TYPE: &str = "share";
/// The only assignor.
const ASSIGNOR: &str = "simple";

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

impl ShareGroup {
    fn describe(&self, image: &Image) -> DescribedGroup {
        let member = |(id, member): (&Str, &Member)| DescribedMember {
            member_id: id.clone(),
            rack_id: member.about.rack_id.clone(),
            member_epoch: member.epoch,
            client_id: member.about.client_id.clone(),
            client_host: member.about.client_host.clone(),
            subscribed_topic_names: member.about.subscribed_topic_names.clone(),
            assignment: assignment(&member.assigned, image),
        };
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: Str::from_static(self.state()),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor_name: Str::from_static(ASSIGNOR),
            members: self.members.iter().map(member).collect(),
            ..Default::default()
        }
    }

    /// The group as it is listed.
    pub(in crate::group) fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: Str::from_static(PROTOCOL_TYPE),
            group_state: Str::from_static(self.state()),
            group_type: Str::from_static(SHARE),
        }
    }
}

impl Shard {
    /// Describes a share group.
    pub fn describe_share_group(&self, id: &Str) -> DescribedGroup {
        if let Some(group) = self.shares.get(id) {
            return group.describe(&self.image);
        }
        DescribedGroup {
            error_code: ErrorCode::GROUP_ID_NOT_FOUND,
            error_message: Some(Str::from(self.no_share_group(id))),
            group_id: id.clone(),
            ..Default::default()
        }
    }

    /// Why there is no share group of that id, for a person.
    pub(in crate::group) fn no_share_group(&self, id: &Str) -> String {
        match self.groups.contains_key(id) || self.consumers.contains_key(id) {
            true => format!("Group {id} is not a share group."),
            false => format!("Group {id} not found."),
        }
    }

    /// The share-partitions of a share group that the share coordinator knows, or was asked to, and
    /// whether the group has members; `None` if it is no share group.
    pub fn share_partitions(&self, id: &Str) -> Option<(BTreeMap<Uuid, BTreeSet<i32>>, bool)> {
        let group = self.shares.get(id)?;
        Some((group.known_partitions(), !group.members.is_empty()))
    }
}

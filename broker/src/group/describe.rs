//! DescribeGroups and ListGroups: what people see of groups.

use vltava_wire::messages::describe_groups::DescribedGroup;
use vltava_wire::messages::list_groups::ListedGroup;
use vltava_wire::{ErrorCode, Str};

use super::calls::ListFilter;
use super::consumer::ConsumerGroup;
use super::machine::Shard;
use super::state::{Group, GroupState};

/// The type of groups of the classic protocol, as Kafka names it.
const CLASSIC: &str = "classic";

/// The first version that tells a group that does not exist from one that is dead (KIP-1043).
const NOT_FOUND_SINCE: i16 = 6;

impl Group {
    fn describe(&self) -> DescribedGroup {
        let stable = self.is(GroupState::Stable);
        let protocol = self.protocol.as_ref().filter(|_| stable);
        let members = self.members.values();
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: Str::from_static(self.state.name()),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.cloned().unwrap_or_default(),
            members: members.map(|member| member.describe(protocol.map(Str::as_str))).collect(),
            ..Default::default()
        }
    }

    fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            group_state: Str::from_static(self.state.name()),
            group_type: Str::from_static(CLASSIC),
        }
    }
}

/// Whether a group is among those asked for.
fn passes(listed: &ListedGroup, filter: &ListFilter) -> bool {
    let any = |filter: &[Str], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    any(&filter.states, &listed.group_state) && any(&filter.types, &listed.group_type)
}

impl Shard {
    /// Describes a group of the classic protocol, for a request of that version.
    pub fn describe(&self, group: &Str, version: i16) -> DescribedGroup {
        if let Some(group) = self.groups.get(group) {
            return group.describe();
        }
        let mut described = DescribedGroup {
            group_id: group.clone(),
            group_state: Str::from_static(GroupState::Dead.name()),
            ..Default::default()
        };
        if version >= NOT_FOUND_SINCE {
            described.error_code = ErrorCode::GROUP_ID_NOT_FOUND;
            let other = self.consumers.contains_key(group) || self.shares.contains_key(group);
            let message = match other {
                true => format!("Group {group} is not a classic group."),
                false => format!("Group {group} not found."),
            };
            described.error_message = Some(Str::from(message));
        }
        described
    }

    /// The groups that pass a filter.
    pub fn list(&self, filter: &ListFilter) -> Vec<ListedGroup> {
        let classic = self.groups.values().map(Group::list);
        let consumers = self.consumers.values().map(ConsumerGroup::list);
        let shares = self.shares.values().map(super::share::ShareGroup::list);
        classic.chain(consumers).chain(shares).filter(|listed| passes(listed, filter)).collect()
    }
}

//! Groups change their protocol while their members go on (KIP-848, "Migration"): a group of
//! classic consumers becomes one of the new protocol with the first member that speaks it, and
//! a classic one again when the last of those has gone.

use std::collections::HashSet;

use bytes::Bytes;
use vltava_metadata::Image;
use vltava_wire::messages::consumer_group_heartbeat::TopicPartitions;
use vltava_wire::records::consumer_group::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMemberMetadataValue,
};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::calls::Protocols;
use super::config::GroupConfig;
use super::consumer::{Change, ConsumerGroup, Current, Edit, MemberState, Partitions, Refusal};
use super::desk::Desk;
use super::member::Member;
use super::protocol;
use super::record;
use super::state::{CONSUMER, Group, GroupState, join_error, sync_error};
use super::timer::Deadline;

/// The assignors that clients have of their own. None needs what it adds to an assignment:
/// librdkafka's `cooperative-sticky` only repeats there what the member said when it joined.
const OWN_ASSIGNORS: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];

/// A classic member as a member of the new kind of group.
struct Converted {
    id: Str,
    about: ConsumerGroupMemberMetadataValue,
    /// What it was given.
    assigned: Partitions,
    /// What it said that it has, if nothing is given to it just now: in the midst of a rebalance
    /// cooperative consumers go on with what they had.
    claimed: Vec<TopicPartitions>,
}

/// Members keep what they said that they have, as long as it is nobody else's.
fn keep_claims(members: &mut [Converted]) {
    let each = |it: &Converted| {
        let topics = it.assigned.clone().into_iter();
        topics.flat_map(|(topic, own)| own.into_iter().map(move |it| (topic, it)))
    };
    let mut taken: HashSet<(Uuid, i32)> = members.iter().flat_map(each).collect();
    for member in members {
        for TopicPartitions { topic_id, partitions } in std::mem::take(&mut member.claimed) {
            for partition in partitions {
                if taken.insert((topic_id, partition)) {
                    member.assigned.entry(topic_id).or_default().insert(partition);
                }
            }
        }
    }
}

/// What a member of the classic protocol says of itself, in a group of the new protocol.
pub(super) fn classic_part(
    session_timeout_ms: i32,
    protocols: &Protocols,
) -> ClassicMemberMetadata {
    let protocol = |(name, metadata): &(Str, Bytes)| ClassicProtocol {
        name: name.detach(),
        metadata: Bytes::copy_from_slice(metadata),
    };
    ClassicMemberMetadata {
        session_timeout_ms,
        supported_protocols: protocols.iter().map(protocol).collect(),
    }
}

/// The topics of a subscription as they are stored.
pub(super) fn stored_topics(topics: &[Str]) -> Vec<Str> {
    let mut topics: Vec<Str> = topics.iter().map(Str::detach).collect();
    topics.sort();
    topics.dedup();
    topics
}

impl Group {
    /// Whether the group may become one of the new protocol.
    fn check_upgrade(&self, config: &GroupConfig) -> Result<(), Refusal> {
        let max = usize::try_from(config.consumer.max_size).unwrap_or(0);
        let because = if !config.consumer.migration.upgrades() {
            "online upgrade is disabled"
        } else if !self.is_consumer() {
            "the group does not use the consumer embedded protocol"
        } else if self.members.len() > max {
            "the group size exceeds the consumer group maximum size"
        } else {
            return Ok(());
        };
        Err(self.no_upgrade(because))
    }

    fn no_upgrade(&self, because: &str) -> Refusal {
        let id = &self.id;
        let message =
            format!("Cannot upgrade classic group {id} to consumer group because {because}.");
        tracing::info!("{message}");
        Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, message)
    }

    /// The group as one of the new protocol: its members have what they were given last, in an
    /// epoch that is the generation.
    pub(super) fn upgrade(
        &self,
        image: &Image,
        config: &GroupConfig,
        edit: &mut Edit,
    ) -> Result<ConsumerGroup, Refusal> {
        self.check_upgrade(config)?;
        let mut members: Vec<Converted> =
            self.members.values().map(|it| self.converted(it, image)).collect::<Result<_, _>>()?;
        keep_claims(&mut members);
        let (mut group, epoch) = (ConsumerGroup::new(self.id.clone()), self.generation);
        edit.records.push(record::group_metadata(&self.id, None));
        for Converted { id, about, .. } in &members {
            edit.change(&mut group, Change::Member(id.clone(), Some(Box::new(about.clone()))));
        }
        let hash = group.compute_hash(image);
        edit.change(&mut group, Change::Group(Some((epoch, hash))));
        for Converted { id, assigned, .. } in &members {
            edit.change(&mut group, Change::Target(id.clone(), Some(assigned.clone())));
        }
        edit.change(&mut group, Change::TargetEpoch(Some(epoch)));
        for Converted { id, assigned, .. } in members {
            let state = MemberState::Stable;
            let revoking = Partitions::new();
            let current = Current { epoch, previous_epoch: epoch, state, assigned, revoking };
            edit.change(&mut group, Change::Current(id, Some(current)));
        }
        tracing::info!(group = %self.id, epoch, "the classic group becomes a consumer group");
        Ok(group)
    }

    fn converted(&self, member: &Member, image: &Image) -> Result<Converted, Refusal> {
        let malformed = || self.no_upgrade("the embedded consumer protocol is malformed");
        let assignment = protocol::assignment(&member.assignment).ok_or_else(malformed)?;
        let has_data = assignment.user_data.as_ref().is_some_and(|data| !data.is_empty());
        if has_data && !self.protocol.as_ref().is_some_and(|name| OWN_ASSIGNORS.contains(&&**name))
        {
            let mut refusal = self.no_upgrade("an unsupported custom assignor is in use");
            refusal.message += " Please refer to the documentation or switch to a default \
                                assignor before re-attempting the upgrade.";
            return Err(refusal);
        }
        let of_group = |(name, _): &&(Str, Bytes)| Some(name) == self.protocol.as_ref();
        // Before the first generation there is no protocol, and any tells the subscription.
        let said = member.protocols.iter().find(of_group).or(member.protocols.first());
        let said = said.and_then(|(_, metadata)| protocol::subscription(metadata));
        let said = said.ok_or_else(malformed)?;
        let about = ConsumerGroupMemberMetadataValue {
            instance_id: member.instance_id.clone(),
            rack_id: said.rack_id.as_ref().map(Str::detach).filter(|rack| !rack.is_empty()),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: stored_topics(&said.topics),
            subscribed_topic_regex: Some(Str::default()),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            server_assignor: None,
            classic_member_metadata: Some(classic_part(
                member.session_timeout_ms,
                &member.protocols,
            )),
        };
        let assigned = protocol::partitions(&assignment, image);
        let claimed = match member.assignment.is_empty() {
            true => protocol::owned(&said, image),
            false => Vec::new(),
        };
        Ok(Converted { id: member.id.clone(), about, assigned, claimed })
    }

    /// Tells all who wait for the group to try again.
    pub(super) fn send_away(&mut self, code: ErrorCode, desk: &mut Desk) {
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            self.answer_join(&id, join_error(&id, code), desk);
            self.answer_sync(&id, sync_error(code), desk);
        }
    }
}

impl ConsumerGroup {
    fn speaks_classic(&self, id: &Str) -> bool {
        self.members.get(id).is_some_and(|it| it.about.classic_member_metadata.is_some())
    }

    /// Whether the group becomes a classic one if these are gone: there are others, and all of
    /// them speak the classic protocol.
    pub(super) fn downgrades_without(&self, leaving: &[Str], config: &GroupConfig) -> bool {
        let mut rest = self.members.keys().filter(|id| !leaving.contains(id)).peekable();
        let left = self.members.len() - leaving.len();
        rest.peek().is_some()
            && rest.all(|id| self.speaks_classic(id))
            && self.may_downgrade(left, config)
    }

    /// Whether the group becomes a classic one if that member is replaced by one that speaks the
    /// classic protocol, being the only one that does not.
    pub(super) fn downgrades_by_replacing(&self, member: &Str, config: &GroupConfig) -> bool {
        let mut others = self.members.keys().filter(|id| *id != member);
        !self.speaks_classic(member)
            && others.all(|id| self.speaks_classic(id))
            && self.may_downgrade(self.members.len(), config)
    }

    fn may_downgrade(&self, members: usize, config: &GroupConfig) -> bool {
        let because = if !config.consumer.migration.downgrades() {
            "the online downgrade is disabled"
        } else if members > usize::try_from(config.max_size).unwrap_or(0) {
            "its group size is greater than classic group max size"
        } else {
            return true;
        };
        tracing::info!(group = %self.id, because, "cannot downgrade to a classic group");
        false
    }

    /// The group as a classic one without those who leave: in the generation that its epoch was,
    /// with what members were to have.
    pub(super) fn downgrade(
        &self,
        leaving: &[Str],
        generation: i32,
        image: &Image,
        desk: &mut Desk,
    ) -> Group {
        let mut group = Group::new(self.id.clone(), desk.now.wall);
        group.state = GroupState::Stable;
        group.generation = generation;
        group.protocol_type = Some(Str::from_static(CONSUMER));
        for (id, member) in self.members.iter().filter(|(id, _)| !leaving.contains(id)) {
            if let Some(classic) = &member.about.classic_member_metadata {
                group.add(as_classic(id, &member.about, classic));
            }
        }
        group.protocol = group.select_protocol();
        group.subscribed = group.compute_subscribed();
        let name = group.protocol.clone().unwrap_or_default();
        let none = Partitions::new();
        for (id, member) in &mut group.members {
            let target = self.targets.get(id).unwrap_or(&none);
            member.assignment = protocol::write_assignment(target, image, &member.metadata(&name));
        }
        let ids: Vec<Str> = group.members.keys().cloned().collect();
        ids.iter().for_each(|id| group.renew_session(id, desk));
        tracing::info!(group = %self.id, generation, "the consumer group becomes a classic group");
        group
    }
}

fn as_classic(
    id: &Str,
    about: &ConsumerGroupMemberMetadataValue,
    classic: &ClassicMemberMetadata,
) -> Member {
    let protocols = classic.supported_protocols.iter();
    Member {
        id: id.clone(),
        instance_id: about.instance_id.clone(),
        client_id: about.client_id.clone(),
        client_host: about.client_host.clone(),
        session_timeout_ms: classic.session_timeout_ms,
        rebalance_timeout_ms: about.rebalance_timeout_ms,
        protocols: protocols.map(|it| (it.name.clone(), it.metadata.clone())).collect(),
        assignment: Bytes::new(),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
        session: Deadline::default(),
    }
}

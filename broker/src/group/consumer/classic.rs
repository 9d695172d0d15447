//! Members of the classic protocol in a group of the new one: they join, ask for what they have,
//! and learn by their heartbeats that they should join again; nobody leads.

use std::collections::HashMap;

use bytes::Bytes;
use vltava_metadata::Image;
use vltava_wire::messages::leave_group::LeaveGroupResponse;
use vltava_wire::messages::{JoinGroupResponse, SyncGroupResponse};
use vltava_wire::records::consumer_group::ClassicMemberMetadata;
use vltava_wire::{ErrorCode, Str, Uuid};

use super::{ConsumerGroup, ConsumerGroupState, Edit, Member, MemberState, Partitions, Refusal};
use crate::group::calls::{HeartbeatCall, JoinCall, LeaveCall, Leaver, Protocols, SyncCall};
use crate::group::desk::Desk;
use crate::group::join::MEMBER_ID_REQUIRED_SINCE;
use crate::group::leave::told;
use crate::group::migration::{classic_part, stored_topics};
use crate::group::protocol;
use crate::group::state::CONSUMER;
use crate::group::timer::Due;

/// What a JoinGroup led to.
pub(in crate::group) struct Joined {
    pub(in crate::group) response: JoinGroupResponse,
    /// Whether the group is to become a classic one, and then whether it rebalances.
    pub(in crate::group) downgrade: Option<bool>,
}

/// A classic member that asks, by its own id or, being static, by its name.
struct Asker<'a> {
    member_id: &'a Str,
    instance_id: Option<&'a Str>,
    generation: i32,
}

impl ConsumerGroup {
    /// Whether one who offers these may be in the group: all classic members offer one of them.
    fn supports(&self, protocol_type: &str, protocols: &Protocols) -> bool {
        let mut votes: HashMap<&Str, usize> = HashMap::new();
        let mut all = 0;
        let classic = self.members.values();
        for part in classic.filter_map(|it| it.about.classic_member_metadata.as_ref()) {
            all += 1;
            for protocol in &part.supported_protocols {
                *votes.entry(&protocol.name).or_default() += 1;
            }
        }
        let offered_by_all =
            |(name, _): &(Str, Bytes)| votes.get(name).copied().unwrap_or(0) == all;
        protocol_type == CONSUMER && protocols.iter().any(offered_by_all)
    }

    /// JoinGroup.
    pub(in crate::group) fn join_classic(
        &mut self,
        call: &JoinCall,
        image: &Image,
        desk: &mut Desk,
        edit: &mut Edit,
    ) -> Result<Joined, Refusal> {
        let is_new = call.member_id.is_empty();
        let id = match is_new {
            true => Str::from(Uuid(call.random).to_string()),
            false => call.member_id.detach(),
        };
        self.check_room(&id, desk)?;
        if !self.supports(&call.protocol_type, &call.protocols) {
            let message = format!("Member {id}'s protocols are not supported.");
            return Err(Refusal::new(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, message));
        }
        if is_new && call.instance_id.is_none() && call.version >= MEMBER_ID_REQUIRED_SINCE {
            let error_code = ErrorCode::MEMBER_ID_REQUIRED;
            let response =
                JoinGroupResponse { member_id: id, error_code, ..JoinGroupResponse::default() };
            return Ok(Joined { response, downgrade: None });
        }
        let said = call.protocols.first().and_then(|(_, it)| protocol::subscription(it));
        let said = said.ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, "The subscription cannot be read.")
        })?;
        let owner = call.instance_id.as_ref().and_then(|name| self.static_members.get(name));
        let downgrades = owner.is_some_and(|id| self.downgrades_by_replacing(id, &desk.config));
        match &call.instance_id {
            Some(instance) if is_new => self.seat_static(instance, &id, true, edit)?,
            Some(instance) => {
                self.static_member(instance, &id)?;
            }
            None => {}
        }
        let subscribed = self.note_classic(&id, call, &said, edit);
        let owned = protocol::owned(&said, image);
        if !downgrades {
            self.bring_up_to_date(subscribed, image, desk, edit);
        }
        if !downgrades || !subscribed {
            self.reconcile(&id, Some(&owned), image, edit);
        }
        self.start_classic_clocks(&id, call.rebalance_timeout_ms, desk);
        let response = self.joined(&id);
        // Members who are not where they are to be learn of it by a rebalance only.
        let rebalances = subscribed || self.state() != ConsumerGroupState::Stable;
        Ok(Joined { response, downgrade: downgrades.then_some(rebalances) })
    }

    /// Stores what a member says; says whether that changes its subscription.
    fn note_classic(
        &mut self,
        id: &Str,
        call: &JoinCall,
        said: &vltava_wire::records::group::ConsumerProtocolSubscription,
        edit: &mut Edit,
    ) -> bool {
        let old = self.members.get(id).map(|member| member.about.clone());
        let mut about = old.clone().unwrap_or_else(super::newcomer);
        if let Some(instance) = &call.instance_id {
            about.instance_id = Some(instance.detach());
        }
        if let Some(rack) = said.rack_id.as_ref().filter(|rack| !rack.is_empty()) {
            about.rack_id = Some(rack.detach());
        }
        if call.rebalance_timeout_ms != -1 {
            about.rebalance_timeout_ms = call.rebalance_timeout_ms;
        }
        about.subscribed_topic_names = stored_topics(&said.topics);
        about.subscribed_topic_regex = Some(Str::default());
        about.client_id = call.client_id.detach();
        about.client_host = call.client_host.detach();
        about.classic_member_metadata =
            Some(classic_part(call.session_timeout_ms, &call.protocols));
        self.note(id, old, about, edit)
    }

    fn joined(&self, id: &Str) -> JoinGroupResponse {
        let member = &self.members[id];
        let protocols = member.about.classic_member_metadata.as_ref();
        let first = protocols.and_then(|part| part.supported_protocols.first());
        JoinGroupResponse {
            generation_id: member.current.epoch,
            protocol_type: Some(Str::from_static(CONSUMER)),
            protocol_name: first.map(|protocol| protocol.name.clone()),
            member_id: id.clone(),
            ..Default::default()
        }
    }

    /// A classic member has joined: it is to ask for what it has.
    fn start_classic_clocks(&mut self, id: &Str, rebalance_timeout_ms: i32, desk: &mut Desk) {
        self.renew_session(id, desk);
        self.watch_revocation(id, desk);
        let due = || Due::Collection { group: self.id.clone(), member: id.clone() };
        let clocks = self.clocks.entry(id.clone()).or_default();
        clocks.rejoin.clear();
        clocks.collection.set(desk.now.after(rebalance_timeout_ms), &mut desk.timers, due);
    }

    /// A member speaks the new protocol.
    pub(super) fn stop_classic_clocks(&mut self, id: &Str) {
        if let Some(clocks) = self.clocks.get_mut(id) {
            clocks.rejoin.clear();
            clocks.collection.clear();
        }
    }

    /// A classic member should join again, and has its rebalance timeout for it.
    fn await_rejoin(&mut self, id: &Str, desk: &mut Desk) {
        let Some(member) = self.members.get(id) else { return };
        let timeout = member.about.rebalance_timeout_ms;
        let due = || Due::Rejoin { group: self.id.clone(), member: id.clone() };
        let clocks = self.clocks.entry(id.clone()).or_default();
        if !clocks.rejoin.is_set() {
            clocks.rejoin.set(desk.now.after(timeout), &mut desk.timers, due);
        }
    }

    /// The member that asks, if it speaks the classic protocol and is in its generation.
    fn classic_member(
        &self,
        asker: &Asker<'_>,
    ) -> Result<(Str, &Member, &ClassicMemberMetadata), Refusal> {
        let id = match asker.instance_id {
            Some(instance) => self.static_member(instance, asker.member_id)?,
            None => {
                self.known_member(asker.member_id)?;
                asker.member_id.clone()
            }
        };
        let member = &self.members[&id];
        let Some(classic) = &member.about.classic_member_metadata else {
            let message = format!("Member {id} does not use the classic protocol.");
            return Err(Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, message));
        };
        if member.current.epoch != asker.generation {
            let message = format!(
                "The request generation id {} is not equal to the member epoch {} of member {id}.",
                asker.generation, member.current.epoch
            );
            return Err(Refusal::new(ErrorCode::ILLEGAL_GENERATION, message));
        }
        Ok((id, member, classic))
    }

    /// SyncGroup.
    pub(in crate::group) fn sync_classic(
        &mut self,
        call: &SyncCall,
        image: &Image,
        desk: &mut Desk,
    ) -> Result<SyncGroupResponse, Refusal> {
        let asker = Asker {
            member_id: &call.member_id,
            instance_id: call.instance_id.as_ref(),
            generation: call.generation,
        };
        let (id, member, classic) = self.classic_member(&asker)?;
        let first = classic.supported_protocols.first();
        let other_type = call.protocol_type.as_ref().is_some_and(|kind| *kind != CONSUMER);
        let other_name =
            call.protocol.as_ref().is_some_and(|name| Some(name) != first.map(|it| &it.name));
        if other_type || other_name {
            let message = format!("The protocol of member {id} is another one.");
            return Err(Refusal::new(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, message));
        }
        // One that has to give partitions up first gets what it keeps.
        if self.epoch > member.current.epoch && member.current.state != MemberState::Unrevoked {
            self.await_rejoin(&id, desk);
            let message = format!("Member {id} should rejoin to catch up.");
            return Err(Refusal::new(ErrorCode::REBALANCE_IN_PROGRESS, message));
        }
        let metadata = first.map(|it| it.metadata.clone()).unwrap_or_default();
        let response = SyncGroupResponse {
            protocol_type: call.protocol_type.clone(),
            protocol_name: call.protocol.clone(),
            assignment: protocol::write_assignment(&member.current.assigned, image, &metadata),
            ..Default::default()
        };
        self.renew_session(&id, desk);
        if let Some(clocks) = self.clocks.get_mut(&id) {
            clocks.collection.clear();
        }
        Ok(response)
    }

    /// Heartbeat: a member that is to change what it has joins again.
    pub(in crate::group) fn heartbeat_classic(
        &mut self,
        call: &HeartbeatCall,
        desk: &mut Desk,
    ) -> Result<(), ErrorCode> {
        let asker = Asker {
            member_id: &call.member_id,
            instance_id: call.instance_id.as_ref(),
            generation: call.generation,
        };
        let (id, member, _) = self.classic_member(&asker).map_err(|refusal| refusal.code)?;
        let rejoins = member.current.epoch < self.epoch
            || match member.current.state {
                MemberState::Unrevoked => true,
                MemberState::Unreleased => !self.waits_for_others(&id, member),
                MemberState::Stable | MemberState::Unknown => false,
            };
        self.renew_session(&id, desk);
        if rejoins {
            self.await_rejoin(&id, desk);
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// Whether others hold any of what a member is to get.
    fn waits_for_others(&self, id: &Str, member: &Member) -> bool {
        let none = Partitions::new();
        self.targets.get(id).unwrap_or(&none).iter().any(|(topic, partitions)| {
            let has = member.current.assigned.get(topic);
            partitions.iter().any(|partition| {
                has.is_none_or(|has| !has.contains(partition))
                    && !self.is_free_for(*topic, *partition, id)
            })
        })
    }

    /// LeaveGroup: the answer, and who is to go.
    pub(in crate::group) fn leavers(&self, call: &LeaveCall) -> (LeaveGroupResponse, Vec<Str>) {
        let mut response = LeaveGroupResponse::default();
        let mut ids: Vec<Str> = Vec::new();
        for leaver in &call.members {
            let found = self.leaver(leaver);
            let error_code = match &found {
                Ok(_) => ErrorCode::NONE,
                Err(refusal) => refusal.code,
            };
            if let Ok(id) = found
                && !ids.contains(&id)
            {
                let reason = leaver.reason.as_deref().unwrap_or("not provided");
                tracing::info!(group = %self.id, member = %id, reason, "member left");
                ids.push(id);
            }
            response.members.push(told(leaver, error_code));
        }
        (response, ids)
    }

    /// The id of the member that is to leave; an operator names static members by their own name.
    fn leaver(&self, leaver: &Leaver) -> Result<Str, Refusal> {
        match &leaver.instance_id {
            None => self.known_member(&leaver.member_id).map(|()| leaver.member_id.detach()),
            Some(instance) if leaver.member_id.is_empty() => {
                let owner = self.static_members.get(instance).cloned().unwrap_or_default();
                self.static_member(instance, &owner)
            }
            Some(instance) => self.static_member(instance, &leaver.member_id),
        }
    }
}

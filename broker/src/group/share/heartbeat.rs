//! ShareGroupHeartbeat: a member joins, stays or leaves, and learns what it is to read.

use std::collections::{BTreeMap, BTreeSet};

use vltava_metadata::Image;
use vltava_wire::messages::share_group_heartbeat::{Assignment, TopicPartitions};
use vltava_wire::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use vltava_wire::records::share_group::ShareGroupMemberMetadataValue;
use vltava_wire::{ErrorCode, Str, Uuid};

use super::assignor::assign;
use super::change::Current;
use super::{Change, Edit, JOIN_EPOCH, LEAVE_EPOCH, ShareGroup};
use crate::group::calls::ShareHeartbeatCall;
use crate::group::config::ShareTerms;
use crate::group::consumer::{Partitions, Refusal};
use crate::group::desk::Desk;

/// How many topics a member may name: far more than a record of it can hold.
const TOPICS_MAX: usize = 100_000;

/// Checks what does not depend on the group.
pub(in crate::group) fn validate(request: &ShareGroupHeartbeatRequest) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    if request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if request.rack_id.as_ref().is_some_and(|rack| rack.trim().is_empty()) {
        return invalid("RackId can't be empty.");
    }
    let names = request.subscribed_topic_names.as_ref();
    match request.member_epoch {
        JOIN_EPOCH if names.is_none_or(Vec::is_empty) => {
            invalid("SubscribedTopicNames must be set in first request.")
        }
        epoch if epoch < LEAVE_EPOCH => invalid("MemberEpoch is invalid."),
        _ if names.is_some_and(|names| names.len() > TOPICS_MAX) => {
            invalid("SubscribedTopicNames are more than a group can keep.")
        }
        _ => Ok(()),
    }
}

fn answered(partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().map(|(topic_id, partitions)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.iter().copied().collect(),
    });
    Assignment { topic_partitions: topics.collect() }
}

impl ShareGroup {
    /// Answers a heartbeat, whatever it is about.
    pub(in crate::group) fn answer(
        &mut self,
        call: &ShareHeartbeatCall,
        terms: ShareTerms,
        image: &Image,
        desk: &mut Desk,
        edit: &mut Edit,
    ) -> Result<ShareGroupHeartbeatResponse, Refusal> {
        let request = &call.request;
        if request.member_epoch == LEAVE_EPOCH {
            self.known_member(&request.member_id)?;
            let id = request.member_id.detach();
            self.remove_member(&id, image, edit);
            tracing::info!(group = %self.id, member = %id, "member left the share group");
            return Ok(ShareGroupHeartbeatResponse {
                member_id: Some(id),
                member_epoch: LEAVE_EPOCH,
                ..Default::default()
            });
        }
        let joins = request.member_epoch == JOIN_EPOCH;
        let id = request.member_id.detach();
        self.check_room(&id, desk)?;
        if !joins {
            self.check_epoch(request)?;
        }
        let before = self.members.get(&id).map(|member| member.assigned.clone());
        let subscribed = self.admit(&id, call, edit);
        self.bring_up_to_date(subscribed, image, desk, edit);
        self.settle(&id, edit);
        self.renew_session(&id, terms.session_timeout_ms, desk);
        let member = &self.members[&id];
        let tells = joins
            || request.subscribed_topic_names.is_some()
            || before.as_ref() != Some(&member.assigned);
        Ok(ShareGroupHeartbeatResponse {
            member_id: Some(id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: terms.heartbeat_interval_ms,
            assignment: tells.then(|| answered(&member.assigned)),
            ..Default::default()
        })
    }

    fn check_room(&self, id: &str, desk: &Desk) -> Result<(), Refusal> {
        let max = desk.config.share_max_size;
        let full = self.members.len() >= usize::try_from(max).unwrap_or(0);
        if full && !self.members.contains_key(id) {
            let message =
                format!("The share group has reached its maximum capacity of {max} members.");
            return Err(Refusal::new(ErrorCode::GROUP_MAX_SIZE_REACHED, message));
        }
        Ok(())
    }

    fn check_epoch(&self, request: &ShareGroupHeartbeatRequest) -> Result<(), Refusal> {
        let member = self.known_member(&request.member_id)?;
        let (told, own) = (request.member_epoch, member.epoch);
        let fenced = |message: String| Err(Refusal::new(ErrorCode::FENCED_MEMBER_EPOCH, message));
        if told > own {
            return fenced(format!(
                "The share group member has a greater member epoch ({told}) than the one known by \
                 the group coordinator ({own}). The member must abandon all its partitions and \
                 rejoin."
            ));
        }
        if told < own && told != member.previous_epoch {
            return fenced(format!(
                "The share group member has a smaller member epoch ({told}) than the one known by \
                 the group coordinator ({own}). The member must abandon all its partitions and \
                 rejoin."
            ));
        }
        Ok(())
    }

    /// Finds or adds the member and notes what it says; says whether its subscription changed.
    fn admit(&mut self, id: &Str, call: &ShareHeartbeatCall, edit: &mut Edit) -> bool {
        let request = &call.request;
        let old = self.members.get(id).map(|member| member.about.clone());
        let newcomer = || ShareGroupMemberMetadataValue { rack_id: None, ..Default::default() };
        let mut about = old.clone().unwrap_or_else(newcomer);
        about.client_id = call.client_id.detach();
        about.client_host = call.client_host.detach();
        if let Some(rack) = &request.rack_id {
            about.rack_id = Some(rack.detach());
        }
        if let Some(names) = &request.subscribed_topic_names {
            let names: BTreeSet<Str> = names.iter().map(Str::detach).collect();
            about.subscribed_topic_names = names.into_iter().collect();
        }
        if old.as_ref() == Some(&about) {
            return false;
        }
        let subscribed = old
            .as_ref()
            .is_none_or(|old| old.subscribed_topic_names != about.subscribed_topic_names);
        if old.is_none() {
            tracing::info!(group = %self.id, member = %id, "member joins the share group");
        }
        edit.change(self, Change::Member(id.clone(), Some(Box::new(about))));
        if old.is_none() {
            edit.change(self, Change::Current(id.clone(), Some(Current::default())));
        }
        subscribed
    }

    /// Looks at the topics anew if need be, asks for what the share coordinator does not know yet,
    /// and assigns partitions if anything has changed.
    pub(in crate::group) fn bring_up_to_date(
        &mut self,
        subscribed: bool,
        image: &Image,
        desk: &mut Desk,
        edit: &mut Edit,
    ) {
        let mut epoch = self.epoch;
        if subscribed || self.metadata_stale {
            let hash = self.compute_hash(image);
            if subscribed || hash != self.metadata_hash {
                epoch = epoch.wrapping_add(1);
                edit.change(self, Change::Group(Some((epoch, hash))));
            }
            self.metadata_stale = false;
        }
        self.ask_for_states(image, desk, edit);
        if self.epoch > self.assignment_epoch {
            self.update_targets(image, edit);
        }
    }

    /// Makes a new target assignment for the group's epoch, of what the share coordinator knows.
    fn update_targets(&mut self, image: &Image, edit: &mut Edit) {
        let mut topics: BTreeMap<Uuid, BTreeSet<i32>> = BTreeMap::new();
        for (id, count) in self.subscribed_topics(image).into_values() {
            if let Some(state) = self.states.initialized.get(&id) {
                let known = state.partitions.iter().filter(|at| **at < count);
                topics.insert(id, known.copied().collect());
            }
        }
        let members: BTreeMap<Str, BTreeSet<Uuid>> = self
            .members
            .iter()
            .map(|(id, member)| {
                let names = member.about.subscribed_topic_names.iter();
                (id.clone(), names.filter_map(|name| image.topic_id(name)).collect())
            })
            .collect();
        for (id, target) in assign(&members, &topics, &self.targets) {
            if self.targets.get(&id) != Some(&target) {
                edit.change(self, Change::Target(id, Some(target)));
            }
        }
        edit.change(self, Change::TargetEpoch(Some(self.epoch)));
    }

    /// Takes a member to its target.
    fn settle(&mut self, id: &Str, edit: &mut Edit) {
        let Some(member) = self.members.get(id) else { return };
        if member.epoch == self.assignment_epoch {
            return;
        }
        let current = Current {
            epoch: self.assignment_epoch,
            previous_epoch: member.epoch,
            assigned: self.targets.get(id).cloned().unwrap_or_default(),
        };
        edit.change(self, Change::Current(id.clone(), Some(current)));
    }

    /// The hash of the topics that the group subscribes to; 0 where there are none.
    pub(in crate::group) fn compute_hash(&self, image: &Image) -> i64 {
        crate::group::consumer::hash_of(&self.subscribed_topics(image))
    }
}

//! ConsumerGroupHeartbeat: a member joins, says what it has, and learns what it is to have.

use vltava_metadata::Image;
use vltava_wire::messages::consumer_group_heartbeat::{Assignment, TopicPartitions};
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use vltava_wire::records::consumer_group::ConsumerGroupMemberMetadataValue;
use vltava_wire::{ErrorCode, Str, Uuid};

use super::reconcile::is_subset;
use super::subscription::compile;
use super::{
    Change, ConsumerGroup, Current, Edit, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Partitions,
    Refusal,
};
use crate::group::calls::ConsumerHeartbeatCall;
use crate::group::config::ConsumerConfig;
use crate::group::desk::Desk;

/// The first version whose members bring their own ids (KIP-1082).
const OWN_MEMBER_ID_SINCE: i16 = 1;

/// How many topics a member may name: far more than a record of it can hold.
const TOPICS_MAX: usize = 100_000;

/// Checks what does not depend on the group, but for regular expressions that it knows already.
pub(in crate::group) fn validate(
    call: &ConsumerHeartbeatCall,
    group: Option<&ConsumerGroup>,
    config: &ConsumerConfig,
) -> Result<(), Refusal> {
    let request = &call.request;
    let epoch = request.member_epoch;
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    let is_empty = |text: &Option<Str>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let brings_id = call.version >= OWN_MEMBER_ID_SINCE || epoch > 0 || epoch == LEAVE_EPOCH;
    if brings_id && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    match epoch {
        JOIN_EPOCH => {
            if request.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            let (names, regex) = (&request.subscribed_topic_names, &request.subscribed_topic_regex);
            if names.is_none() && regex.is_none() {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
                     (re-)joining.",
                );
            }
        }
        LEAVE_STATIC_EPOCH if request.instance_id.is_none() => {
            return invalid("InstanceId can't be null.");
        }
        ..LEAVE_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    if request.subscribed_topic_names.as_ref().is_some_and(|names| names.len() > TOPICS_MAX) {
        return invalid("SubscribedTopicNames are more than a group can keep.");
    }
    if let Some(assignor) = &request.server_assignor
        && !config.assignors.iter().any(|known| **known == **assignor)
    {
        let message = format!(
            "ServerAssignor {assignor} is not supported. Supported assignors: {}.",
            config.assignors.join(", ")
        );
        return Err(Refusal::new(ErrorCode::UNSUPPORTED_ASSIGNOR, message));
    }
    match &request.subscribed_topic_regex {
        Some(regex) if regex.is_empty() => Ok(()),
        Some(regex) if group.is_some_and(|group| group.regexes.contains_key(regex)) => Ok(()),
        Some(regex) => compile(regex).map(|_| ()),
        None => Ok(()),
    }
}

/// A member as it joins, before it has said anything.
pub(super) fn newcomer() -> ConsumerGroupMemberMetadataValue {
    ConsumerGroupMemberMetadataValue {
        instance_id: None,
        rack_id: None,
        server_assignor: None,
        ..Default::default()
    }
}

fn answered(partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().map(|(topic_id, partitions)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.iter().copied().collect(),
    });
    Assignment { topic_partitions: topics.collect() }
}

impl ConsumerGroup {
    /// A member joins or stays.
    pub(in crate::group) fn heartbeat(
        &mut self,
        call: &ConsumerHeartbeatCall,
        image: &Image,
        desk: &mut Desk,
        edit: &mut Edit,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let request = &call.request;
        let joins = request.member_epoch == JOIN_EPOCH;
        let id = match request.member_id.is_empty() {
            // As Kafka's members call themselves.
            true => Str::from(Uuid(call.random).to_string()),
            false => request.member_id.detach(),
        };
        self.check_room(&id, desk)?;
        let before = self.members.get(&id).map(|member| member.current.assigned.clone());
        let subscribed = self.admit(&id, call, joins, edit)?;
        self.bring_up_to_date(subscribed, image, desk, edit);
        self.reconcile(&id, request.topic_partitions.as_deref(), image, edit);
        self.renew_session(&id, desk);
        self.watch_revocation(&id, desk);
        self.stop_classic_clocks(&id);
        let current = &self.members[&id].current;
        // One who says everything has lost what it knew, and is told everything, too.
        let full = joins
            || request.rebalance_timeout_ms != -1
                && (request.subscribed_topic_names.is_some()
                    || request.subscribed_topic_regex.is_some())
                && request.topic_partitions.is_some();
        let tells = full || before.as_ref() != Some(&current.assigned);
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(id.clone()),
            member_epoch: current.epoch,
            heartbeat_interval_ms: desk.heartbeat_interval_ms(&self.id),
            assignment: tells.then(|| answered(&current.assigned)),
            ..Default::default()
        })
    }

    pub(super) fn check_room(&self, id: &str, desk: &Desk) -> Result<(), Refusal> {
        let max = desk.config.consumer.max_size;
        let full = self.members.len() >= usize::try_from(max).unwrap_or(0);
        if full && !self.members.contains_key(id) {
            let message =
                format!("The consumer group has reached its maximum capacity of {max} members.");
            return Err(Refusal::new(ErrorCode::GROUP_MAX_SIZE_REACHED, message));
        }
        Ok(())
    }

    /// Finds or adds the member and notes what it says; says whether its subscription changed.
    fn admit(
        &mut self,
        id: &Str,
        call: &ConsumerHeartbeatCall,
        joins: bool,
        edit: &mut Edit,
    ) -> Result<bool, Refusal> {
        let request = &call.request;
        match &request.instance_id {
            Some(instance) if joins => self.seat_static(instance, id, false, edit)?,
            Some(instance) => {
                self.static_member(instance, id)?;
                self.check_epoch(id, request)?;
            }
            None if joins => {}
            None => {
                self.known_member(id)?;
                self.check_epoch(id, request)?;
            }
        }
        let old = self.members.get(id).map(|member| member.about.clone());
        let mut about = old.clone().unwrap_or_else(newcomer);
        update(&mut about, call);
        Ok(self.note(id, old, about, edit))
    }

    /// Stores what a member says, if it is new; says whether that changes its subscription.
    pub(super) fn note(
        &mut self,
        id: &Str,
        old: Option<ConsumerGroupMemberMetadataValue>,
        about: ConsumerGroupMemberMetadataValue,
        edit: &mut Edit,
    ) -> bool {
        if old.as_ref() == Some(&about) {
            return false;
        }
        // None and an empty one are the same.
        let regex = |about: &ConsumerGroupMemberMetadataValue| {
            about.subscribed_topic_regex.clone().filter(|regex| !regex.is_empty())
        };
        let subscribed = old.as_ref().is_none_or(|old| {
            old.subscribed_topic_names != about.subscribed_topic_names
                || regex(old) != regex(&about)
        });
        if old.is_none() {
            tracing::info!(group = %self.id, member = %id, "member joins the consumer group");
        }
        edit.change(self, Change::Member(id.clone(), Some(Box::new(about))));
        if old.is_none() {
            edit.change(self, Change::Current(id.clone(), Some(Current::default())));
        }
        subscribed
    }

    /// Gives a static member that comes back its old place, under the id that it has now.
    pub(super) fn seat_static(
        &mut self,
        instance: &Str,
        id: &Str,
        classic: bool,
        edit: &mut Edit,
    ) -> Result<(), Refusal> {
        let Some(old_id) = self.static_members.get(instance).cloned() else { return Ok(()) };
        let old = self.members[&old_id].clone();
        let held = old.current.epoch != LEAVE_STATIC_EPOCH;
        if held && !classic && old.about.classic_member_metadata.is_none() {
            let message = format!(
                "Static member {id} with instance id {instance} cannot join the group because \
                 the instance id is owned by {old_id} member."
            );
            return Err(Refusal::new(ErrorCode::UNRELEASED_INSTANCE_ID, message));
        }
        let target = self.targets.get(&old_id).cloned();
        self.erase_member(&old_id, edit);
        edit.change(self, Change::Member(id.clone(), Some(Box::new(old.about))));
        edit.change(self, Change::Target(id.clone(), Some(target.unwrap_or_default())));
        let current = Current { epoch: 0, previous_epoch: 0, ..old.current };
        edit.change(self, Change::Current(id.clone(), Some(current)));
        Ok(())
    }

    /// Fences who is in another epoch than the coordinator believes, unless it lacks no more than
    /// the last answer.
    fn check_epoch(
        &self,
        id: &Str,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(), Refusal> {
        let (current, said) = (&self.members[id].current, request.member_epoch);
        let owned = request.topic_partitions.as_deref();
        let missed_one = said == current.previous_epoch && is_subset(owned, &current.assigned);
        if said == current.epoch || said < current.epoch && missed_one {
            return Ok(());
        }
        let word = if said > current.epoch { "greater" } else { "smaller" };
        let message = format!(
            "The consumer group member has a {word} member epoch ({said}) than the one known by \
             the group coordinator ({}). The member must abandon all its partitions and rejoin.",
            current.epoch
        );
        Err(Refusal::new(ErrorCode::FENCED_MEMBER_EPOCH, message))
    }

    /// Brings epoch and targets up to what members subscribe to and topics are.
    pub(super) fn bring_up_to_date(
        &mut self,
        subscribed: bool,
        image: &Image,
        desk: &mut Desk,
        edit: &mut Edit,
    ) {
        let resolved =
            (subscribed || self.metadata_stale) && self.update_regexes(image, desk.now, edit);
        if subscribed || resolved || self.metadata_stale {
            self.metadata_stale = false;
            let hash = self.compute_hash(image);
            if subscribed || resolved || hash != self.metadata_hash {
                let epoch = self.epoch.wrapping_add(1);
                tracing::info!(group = %self.id, epoch, members = self.members.len(), "new epoch");
                edit.change(self, Change::Group(Some((epoch, hash))));
            }
        }
        if self.assignment_epoch < self.epoch {
            let assignors = desk.config.consumer.assignors.clone();
            self.update_targets(image, &assignors, edit);
        }
    }
}

/// Takes over what a heartbeat says; what it leaves out stays.
fn update(about: &mut ConsumerGroupMemberMetadataValue, call: &ConsumerHeartbeatCall) {
    let request = &call.request;
    let keep = |ours: &mut Option<Str>, theirs: &Option<Str>| {
        if let Some(theirs) = theirs {
            *ours = Some(theirs.detach());
        }
    };
    keep(&mut about.instance_id, &request.instance_id);
    keep(&mut about.rack_id, &request.rack_id);
    keep(&mut about.server_assignor, &request.server_assignor);
    keep(&mut about.subscribed_topic_regex, &request.subscribed_topic_regex);
    if request.rebalance_timeout_ms != -1 {
        about.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.subscribed_topic_names {
        about.subscribed_topic_names = names.iter().map(Str::detach).collect();
        about.subscribed_topic_names.sort();
        about.subscribed_topic_names.dedup();
    }
    about.client_id = call.client_id.detach();
    about.client_host = call.client_host.detach();
    about.classic_member_metadata = None;
}

//! A group: its members, its state, its generation.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use vltava_wire::messages::join_group::JoinGroupResponseMember;
use vltava_wire::messages::{JoinGroupResponse, SyncGroupResponse};
use vltava_wire::records::group::GroupMetadataValue;
use vltava_wire::{ErrorCode, Str};

use super::calls::Protocols;
use super::desk::{Desk, Reply, Token};
use super::member::Member;
use super::protocol;
use super::record::{self, Record};
use super::timer::{Deadline, Due};

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// No members; it may have committed offsets.
    Empty,
    /// Members are asked to join again.
    PreparingRebalance,
    /// All have joined; the leader makes the assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// There is no such group.
    Dead,
}

impl GroupState {
    /// The name in Kafka's answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }

    const fn may_become(self, next: Self) -> bool {
        match next {
            Self::Empty | Self::CompletingRebalance => matches!(self, Self::PreparingRebalance),
            Self::PreparingRebalance => {
                matches!(self, Self::Stable | Self::CompletingRebalance | Self::Empty)
            }
            Self::Stable => matches!(self, Self::CompletingRebalance),
            Self::Dead => true,
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The first join phase of a group, which is prolonged while new members come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// How long the part that runs now is, in ms.
    pub(super) delay_ms: i32,
    /// How much longer it may become, in ms.
    pub(super) remaining_ms: i32,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: Str,
    pub(super) state: GroupState,
    pub(super) previous: GroupState,
    /// Since when, in ms since 1970.
    pub(super) state_since: Option<i64>,
    pub(super) protocol_type: Option<Str>,
    /// The protocol of the present generation.
    pub(super) protocol: Option<Str>,
    pub(super) generation: i32,
    pub(super) leader: Option<Str>,
    pub(super) members: BTreeMap<Str, Member>,
    /// Instance id to member id.
    pub(super) static_members: HashMap<Str, Str>,
    /// Ids that were given out, to members who are to come back with them (KIP-394).
    pub(super) pending_join: HashMap<Str, Deadline>,
    /// How many members wait for the join phase to end.
    pub(super) awaiting_join: usize,
    /// How many members offer each protocol.
    votes: HashMap<Str, usize>,
    /// Members of this generation who have not asked for their assignment.
    pub(super) pending_sync: BTreeSet<Str>,
    /// What the members of a consumer group subscribe to, if that can be told.
    pub(super) subscribed: Option<HashSet<Str>>,
    /// Whether somebody new came in the present part of the initial delay.
    pub(super) new_member_added: bool,
    pub(super) join_deadline: Deadline,
    pub(super) initial_delay: Option<InitialDelay>,
    pub(super) sync_deadline: Deadline,
}

impl Group {
    /// A group that nobody has entered.
    pub(super) fn new(id: Str, wall: i64) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous: GroupState::Dead,
            state_since: Some(wall),
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_join: HashMap::new(),
            awaiting_join: 0,
            votes: HashMap::new(),
            pending_sync: BTreeSet::new(),
            subscribed: None,
            new_member_added: false,
            join_deadline: Deadline::default(),
            initial_delay: None,
            sync_deadline: Deadline::default(),
        }
    }

    /// A group as it was stored.
    pub(super) fn stored(id: Str, value: &GroupMetadataValue) -> Self {
        let mut group = Self::new(id, 0);
        let some = |text: &Option<Str>| text.as_ref().map(Str::detach);
        group.state_since = Some(value.current_state_timestamp).filter(|since| *since != -1);
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type.detach()).filter(|kind| !kind.is_empty());
        group.protocol = some(&value.protocol);
        group.leader = some(&value.leader);
        let protocol = group.protocol.clone().unwrap_or_default();
        for stored in &value.members {
            group.add(Member::stored(stored, &protocol));
        }
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
        }
        group.subscribed = group.compute_subscribed();
        group
    }

    pub(super) fn is(&self, state: GroupState) -> bool {
        self.state == state
    }

    /// Moves to a state.
    ///
    /// # Panics
    /// If that state cannot follow: a mistake in the machine.
    pub(super) fn transition(&mut self, next: GroupState, desk: &Desk) {
        assert!(self.state.may_become(next), "group {}: {} to {next}", self.id, self.state);
        self.previous = self.state;
        self.state = next;
        self.state_since = Some(desk.now.wall);
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_ref().is_some_and(|leader| *leader == *member_id)
    }

    pub(super) fn leader_or_empty(&self) -> Str {
        self.leader.clone().unwrap_or_default()
    }

    pub(super) fn is_consumer(&self) -> bool {
        self.protocol_type.as_ref().is_some_and(|kind| *kind == CONSUMER)
    }

    /// The longest time that a member wants to be waited for, in ms.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0).max(0)
    }

    /// Whether one who offers these may be in the group.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &Protocols) -> bool {
        if self.is(GroupState::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let all = self.members.len();
        self.protocol_type.as_ref().is_some_and(|kind| *kind == *protocol_type)
            && protocols.iter().any(|(name, _)| self.votes.get(name).copied() == Some(all))
    }

    /// Adds a member, who leads if nobody does.
    pub(super) fn add(&mut self, member: Member) {
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        self.pending_join.remove(&member.id);
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.count_votes(&member.protocols, true);
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member or the promise of one; who waits for an answer is told that it is not
    /// known any more.
    pub(super) fn remove(&mut self, member_id: &str, desk: &mut Desk) {
        self.answer_join(member_id, join_error("", ErrorCode::UNKNOWN_MEMBER_ID), desk);
        self.answer_sync(member_id, sync_error(ErrorCode::UNKNOWN_MEMBER_ID), desk);
        if let Some(member) = self.members.remove(member_id) {
            self.count_votes(&member.protocols, false);
            if let Some(instance) = &member.instance_id {
                self.static_members.remove(instance);
            }
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_join.remove(member_id);
        self.pending_sync.remove(member_id);
    }

    /// Gives a static member a new id; who still uses the old one is fenced.
    pub(super) fn replace_static(&mut self, instance: &Str, old: &Str, new: &Str, desk: &mut Desk) {
        let fenced = ErrorCode::FENCED_INSTANCE_ID;
        let mut response = join_error(old, fenced);
        response.protocol_name = None;
        self.answer_join(old, response, desk);
        self.answer_sync(old, sync_error(fenced), desk);
        let mut member = self.members.remove(old).expect("the id of a static member is a member's");
        member.id = new.clone();
        member.session = Deadline::default();
        member.is_new = false;
        self.members.insert(new.clone(), member);
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(new.clone());
        }
        self.static_members.insert(instance.clone(), new.clone());
    }

    /// Replaces what a member offers, and which JoinGroup it waits with.
    pub(super) fn update(
        &mut self,
        member_id: &Str,
        protocols: Protocols,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
        token: Option<Token>,
        desk: &mut Desk,
    ) {
        // A second JoinGroup takes the place of the first, whose client has given it up.
        let again = join_error(member_id, ErrorCode::REBALANCE_IN_PROGRESS);
        self.answer_join(member_id, again, desk);
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        member.awaiting_join = token;
        self.awaiting_join += usize::from(token.is_some());
        let old = std::mem::replace(&mut member.protocols, protocols.clone());
        self.count_votes(&old, false);
        self.count_votes(&protocols, true);
    }

    fn count_votes(&mut self, protocols: &Protocols, add: bool) {
        for (name, _) in protocols {
            let votes = self.votes.entry(name.clone()).or_default();
            *votes = if add { *votes + 1 } else { votes.saturating_sub(1) };
            if *votes == 0 {
                self.votes.remove(name);
            }
        }
    }

    /// The protocol that most members like best among those that all of them offer. (Of several
    /// with as many votes Kafka takes any; here it is the first by name.)
    ///
    /// There is one, as nobody is let in without a protocol that all others offer.
    pub(super) fn select_protocol(&self) -> Option<Str> {
        let all = self.members.len();
        let offered_by_all = |name: &Str| self.votes.get(name).is_some_and(|votes| *votes == all);
        let mut ballot: BTreeMap<&Str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|(name, _)| name);
            if let Some(choice) = names.find(|name| offered_by_all(name)) {
                *ballot.entry(choice).or_default() += 1;
            }
        }
        let most = ballot.values().copied().max()?;
        ballot.into_iter().find(|(_, votes)| *votes == most).map(|(name, _)| name.clone())
    }

    /// Whether all who are or were promised to be members wait for the join phase to end.
    pub(super) fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// Checks that a request comes from a member, and a static one is not impersonated.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&Str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(owner) if *owner != *member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        }
    }

    /// Gives a member its session timeout from now on.
    pub(super) fn renew_session(&mut self, member_id: &str, desk: &mut Desk) {
        let Some(member) = self.members.get(member_id) else { return };
        let timeout = member.session_timeout_ms;
        self.watch(member_id, timeout, desk);
    }

    /// Gives a member up unless it is heard of within that many ms.
    pub(super) fn watch(&mut self, member_id: &str, timeout_ms: i32, desk: &mut Desk) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let due = || Due::Member { group: self.id.clone(), member: member.id.clone() };
        member.session.set(desk.now.after(timeout_ms), &mut desk.timers, due);
    }

    /// Answers the JoinGroup that a member waits with, if it does.
    pub(super) fn answer_join(
        &mut self,
        member_id: &str,
        response: JoinGroupResponse,
        desk: &mut Desk,
    ) {
        let member = self.members.get_mut(member_id);
        if let Some(token) = member.and_then(|member| member.awaiting_join.take()) {
            self.awaiting_join -= 1;
            desk.reply(token, Reply::Join(response));
        }
    }

    /// Answers the SyncGroup that a member waits with, and says whether it did wait.
    pub(super) fn answer_sync(
        &mut self,
        member_id: &str,
        response: SyncGroupResponse,
        desk: &mut Desk,
    ) -> bool {
        let member = self.members.get_mut(member_id);
        let token = member.and_then(|member| member.awaiting_sync.take());
        if let Some(token) = token {
            desk.reply(token, Reply::Sync(response));
        }
        token.is_some()
    }

    /// The answer to a JoinGroup that succeeded.
    pub(super) fn joined(&self, member_id: &Str, with_members: bool) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader_or_empty(),
            member_id: member_id.clone(),
            members: if with_members { self.members_for_leader() } else { Vec::new() },
            ..Default::default()
        }
    }

    fn members_for_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = self.members.values().map(|member| JoinGroupResponseMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            metadata: member.metadata(&protocol),
        });
        members.collect()
    }

    /// The record that stores the group as it is, but with these assignments.
    pub(super) fn to_record(&self, assignment: impl Fn(&Member) -> Bytes) -> Record {
        let protocol = self.protocol.clone().unwrap_or_default();
        let stored = |member: &Member| member.to_stored(&protocol, assignment(member));
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since.unwrap_or(-1),
            members: self.members.values().map(stored).collect(),
        };
        record::group_metadata(&self.id, Some(&value))
    }

    /// What the members of a consumer group subscribe to; none if the group is of another kind,
    /// or its members say it in a way that cannot be read.
    pub(super) fn compute_subscribed(&self) -> Option<HashSet<Str>> {
        if !self.is_consumer() {
            return None;
        }
        if self.members.is_empty() {
            return Some(HashSet::new());
        }
        let name = self.protocol.as_ref()?;
        let mut topics = HashSet::new();
        for member in self.members.values() {
            for topic in protocol::topics(&member.metadata(name))? {
                if !topics.contains(&topic) {
                    topics.insert(topic.detach());
                }
            }
        }
        Some(topics)
    }

    /// Whether offsets of a topic are in use. Where that cannot be told, those of a consumer
    /// group are.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer(),
        }
    }
}

/// The answer to a JoinGroup that failed.
pub(super) fn join_error(member_id: &str, code: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { member_id: Str::from(member_id), error_code: code, ..Default::default() }
}

/// The answer to a SyncGroup that failed.
pub(super) fn sync_error(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: code, ..Default::default() }
}

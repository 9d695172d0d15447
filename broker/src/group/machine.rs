//! The groups of one partition as a pure machine: requests, outcomes and time in, answers and
//! records out.
//!
//! Membership lives here and nowhere else until the leader's assignment is stored; offsets take
//! effect when their record is committed, in the order of the log. An append has three moments:
//! it is *written* (into the leader's log, from where nothing but the loss of leadership takes it
//! away) or *refused*, and later *committed*. A commit that takes too long is answered with an
//! error and takes effect all the same, as its record stays in the log.

use std::collections::HashMap;
use std::sync::Arc;

use vltava_metadata::Image;
use vltava_wire::{ErrorCode, Str};

pub use super::desk::{Append, Effects, Reply, Ticket, Token};
pub use super::state::GroupState;
pub use super::timer::Now;

use super::calls::{
    CommitCall, ConsumerHeartbeatCall, FetchCall, HeartbeatCall, JoinCall, LeaveCall,
    OffsetDeleteCall, ShareHeartbeatCall, SyncCall,
};
use super::config::{GROUPS_MAX, GroupConfig, PENDING_APPENDS_MAX};
use super::consumer::ConsumerGroup;
use super::desk::{Desk, Pending, Then};
use super::join;
use super::leave;
use super::load::GroupReplay;
use super::offsets::Offsets;
use super::service::GroupSetup;
use super::share::{ShareGroup, ShareOrder, ShareOutcome, ShareTask};
use super::state::{Group, join_error, sync_error};
use super::timer::{Deadline, Due};
use crate::partition::transactions::TransactionEnd;
use crate::shard::{Machine, Outcome};

/// What happens to a shard.
#[derive(Clone, Debug)]
pub enum Event {
    /// JoinGroup.
    Join(Token, JoinCall),
    /// SyncGroup.
    Sync(Token, SyncCall),
    /// Heartbeat.
    Heartbeat(Token, HeartbeatCall),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Token, ConsumerHeartbeatCall),
    /// ShareGroupHeartbeat.
    ShareHeartbeat(Token, ShareHeartbeatCall),
    /// A person wants something of a share group's share-partitions.
    ShareTask(Token, Str, ShareTask),
    /// The share coordinator has done something.
    ShareOutcome(ShareOutcome),
    /// LeaveGroup.
    Leave(Token, LeaveCall),
    /// OffsetCommit.
    Commit(Token, CommitCall),
    /// OffsetFetch.
    Fetch(Token, FetchCall),
    /// OffsetDelete.
    DeleteOffsets(Token, OffsetDeleteCall),
    /// DeleteGroups.
    DeleteGroups(Token, Vec<Str>),
    /// WriteTxnMarkers: a transaction that may have committed offsets has ended.
    EndTransaction(Token, TransactionEnd),
    /// The cluster is another one; whether its topics are, too.
    Image(Arc<Image>, bool),
    /// Topics do not exist any more.
    TopicsDeleted(Vec<Str>),
    /// An append lies in the log.
    Written(Ticket),
    /// An append was refused, and nothing was written; the code is the coordinator's to tell.
    Refused(Ticket, ErrorCode),
    /// The high watermark has passed an append and all before it.
    Committed(Ticket),
    /// Time has passed; at the latest at [`Shard::next_deadline`].
    Tick,
}

impl From<Outcome> for Event {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Written(ticket) => Self::Written(ticket),
            Outcome::Refused(ticket, code) => Self::Refused(ticket, code),
            Outcome::Committed(ticket) => Self::Committed(ticket),
            Outcome::Tick => Self::Tick,
        }
    }
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Shard {
    /// Groups of the classic protocol. An id is in one of the two only.
    pub(super) groups: HashMap<Str, Group>,
    /// Groups of the new protocol (KIP-848).
    pub(super) consumers: HashMap<Str, ConsumerGroup>,
    /// Share groups (KIP-932).
    pub(super) shares: HashMap<Str, ShareGroup>,
    /// The cluster, as far as is known.
    pub(super) image: Arc<Image>,
    pub(super) offsets: Offsets,
    pub(super) desk: Desk,
    cleanup: Deadline,
}

impl Shard {
    /// A shard without groups; [`load`](super::load) fills it.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            groups: HashMap::new(),
            consumers: HashMap::new(),
            shares: HashMap::new(),
            image: Arc::new(Image::new(Str::default())),
            offsets: Offsets::default(),
            desk: Desk::new(config),
            cleanup: Deadline::default(),
        }
    }

    /// Takes an event in, and says what is to be done.
    pub fn on(&mut self, event: Event, now: Now) -> Effects {
        self.desk.now = now;
        match event {
            Event::Join(token, call) => self.join(token, &call),
            Event::Sync(token, call) => match self.group_with_members(&call.group_id) {
                Some((group, desk)) => group.sync(token, &call, desk),
                None => self.sync_consumers(token, &call),
            },
            Event::Heartbeat(token, call) => match self.groups.get_mut(&call.group_id) {
                Some(group) => {
                    let outcome = group.heartbeat(&call, &mut self.desk);
                    let code = outcome.err().unwrap_or(ErrorCode::NONE);
                    self.desk.reply(token, Reply::Heartbeat(code));
                }
                None => self.heartbeat_consumers(token, &call),
            },
            Event::ConsumerHeartbeat(token, call) => self.consumer_heartbeat(token, &call),
            Event::ShareHeartbeat(token, call) => self.share_heartbeat(token, &call),
            Event::ShareTask(token, group, task) => self.begin_share_task(token, &group, &task),
            Event::ShareOutcome(outcome) => self.note_share_outcome(&outcome),
            Event::Leave(token, call) => match self.groups.get_mut(&call.group_id) {
                Some(group) => group.leave(token, &call, &mut self.desk),
                None if self.consumers.contains_key(&call.group_id) => {
                    self.leave_consumers(token, &call);
                }
                None => self.desk.reply(token, Reply::Leave(leave::unknown(&call))),
            },
            Event::Commit(token, call) => self.commit(token, &call),
            Event::Fetch(token, call) => self.fetch_when_stable(token, call),
            Event::DeleteOffsets(token, call) => self.delete_offsets(token, &call),
            Event::DeleteGroups(token, groups) => self.delete_groups(token, &groups),
            Event::EndTransaction(token, end) => self.end_transaction(token, end),
            Event::Image(image, topics) => self.note_image(image, topics),
            Event::TopicsDeleted(topics) => {
                self.delete_topics(&topics);
                self.forget_share_topics(&topics);
            }
            Event::Written(ticket) => self.written(ticket),
            Event::Refused(ticket, code) => self.refused(ticket, code),
            Event::Committed(ticket) => self.committed(ticket),
            Event::Tick => self.tick(),
        }
        std::mem::take(&mut self.desk.out)
    }

    /// When [`Event::Tick`] is due at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        let timers = self.desk.timers.next();
        timers.into_iter().chain(self.desk.next_timeout()).min()
    }

    /// Whether so many appends wait that no more should come.
    pub fn is_overloaded(&self) -> bool {
        self.desk.pending.len() >= PENDING_APPENDS_MAX
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len() + self.consumers.len() + self.shares.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.group_count() < GROUPS_MAX
    }

    fn group_with_members(&mut self, id: &str) -> Option<(&mut Group, &mut Desk)> {
        let group = self.groups.get_mut(id).filter(|group| !group.is(GroupState::Empty))?;
        Some((group, &mut self.desk))
    }

    fn join(&mut self, token: Token, call: &JoinCall) {
        if let Err(code) = join::validate(call, &self.desk) {
            let response = join_error(&call.member_id, code);
            return self.desk.reply(token, Reply::Join(response));
        }
        if let Some(group) = self.groups.get_mut(&call.group_id) {
            return group.join(token, call, &mut self.desk);
        }
        if self.has_consumers(&call.group_id) {
            return self.join_consumers(token, call);
        }
        let refusal = match call.member_id.is_empty() {
            _ if self.shares.contains_key(&call.group_id) => {
                Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
            }
            false => Some(ErrorCode::UNKNOWN_MEMBER_ID),
            true if !self.has_room() => Some(ErrorCode::COORDINATOR_NOT_AVAILABLE),
            true => None,
        };
        if let Some(code) = refusal {
            let response = join_error(&call.member_id, code);
            return self.desk.reply(token, Reply::Join(response));
        }
        self.found_classic(token, call);
    }

    fn fetch_when_stable(&mut self, token: Token, call: FetchCall) {
        let waits = call.require_stable && !self.desk.pending.is_empty();
        if waits || self.desk.inherits() {
            let group_id = call.group_id.clone();
            let told = vltava_wire::messages::offset_fetch::OffsetFetchResponseGroup {
                group_id,
                ..Default::default()
            };
            self.desk.wait(Then::Read(call), Some((token, Reply::Fetch(told))));
            return;
        }
        let response = self.fetch(&call);
        self.desk.reply(token, Reply::Fetch(response));
    }

    fn written(&mut self, ticket: Ticket) {
        let found = self.desk.pending.iter().rev().find(|pending| pending.ticket == ticket);
        match found.map(|pending| &pending.then) {
            Some(Then::Offsets(changes) | Then::Pending(_, changes)) => {
                // One who manages partitions alone makes a group by committing to it.
                for change in changes {
                    if change.value.is_some()
                        && !self.groups.contains_key(&change.group)
                        && !self.consumers.contains_key(&change.group)
                        && !self.shares.contains_key(&change.group)
                    {
                        let id = change.group.detach();
                        let group = Group::new(id.clone(), self.desk.now.wall);
                        self.groups.insert(id, group);
                    }
                }
            }
            Some(Then::Deletion { groups, .. }) => {
                groups.iter().for_each(|group| {
                    self.groups.remove(group);
                    self.consumers.remove(group);
                    self.shares.remove(group);
                });
            }
            _ => {}
        }
    }

    fn refused(&mut self, ticket: Ticket, code: ErrorCode) {
        let Some(Pending { reply, then, .. }) = self.desk.take(ticket) else { return };
        if let Some((token, reply)) = reply {
            self.desk.reply(token, reply.failed(code));
        }
        self.lost(then, code);
    }

    /// What was to follow an append does not.
    fn lost(&mut self, then: Then, code: ErrorCode) {
        match then {
            Then::Assignment { group, generation, .. } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.assignment_lost(generation, code, &mut self.desk);
                }
            }
            Then::StaticRejoin(rejoin) => {
                if let Some(group) = self.groups.get_mut(&rejoin.group) {
                    group.undo_static_rejoin(*rejoin, code, &mut self.desk);
                }
            }
            Then::Members(undo) => self.take_back(*undo, code),
            Then::Shares(undo) => self.take_back_share(*undo),
            Then::Nothing
            | Then::Offsets(_)
            | Then::Pending(..)
            | Then::Ended(..)
            | Then::Deletion { .. }
            | Then::Barrier
            | Then::Read(_) => {}
        }
    }

    fn committed(&mut self, ticket: Ticket) {
        while let Some(Pending { reply, then, .. }) = self.desk.take_committed(ticket) {
            match then {
                Then::Read(call) => {
                    if let Some((token, _)) = reply {
                        let response = self.fetch(&call);
                        self.desk.reply(token, Reply::Fetch(response));
                    }
                    continue;
                }
                then => self.effective(then),
            }
            if let Some((token, reply)) = reply {
                self.desk.reply(token, reply);
            }
        }
    }

    /// What follows a committed append.
    fn effective(&mut self, then: Then) {
        match then {
            Then::Offsets(changes) | Then::Deletion { changes, .. } => {
                changes.into_iter().for_each(|change| self.offsets.apply(change));
            }
            Then::Pending(producer, changes) => {
                let pending = &mut self.offsets.pending;
                changes.into_iter().for_each(|change| pending.put(producer, change));
            }
            Then::Ended(producer, commits) => self.offsets.end_transaction(producer, commits),
            Then::Assignment { group, generation, assignments } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.assignment_stored(generation, assignments, &mut self.desk);
                }
            }
            Then::StaticRejoin(rejoin) => {
                if let Some(group) = self.groups.get_mut(&rejoin.group) {
                    group.static_rejoin_stored(&rejoin, &mut self.desk);
                }
            }
            Then::Nothing | Then::Members(_) | Then::Shares(_) | Then::Barrier | Then::Read(_) => {}
        }
    }

    fn tick(&mut self) {
        while let Some((entry, due)) = self.desk.timers.pop(self.desk.now.mono) {
            if self.fall_due(entry, due) {
                // Each change to members is written, or refused, before the next is made.
                break;
            }
        }
        while let Some(pending) = self.desk.next_timed_out() {
            let code = match &pending.then {
                // As Kafka does: older consumers come again upon no other code.
                Then::Read(_) => ErrorCode::NOT_COORDINATOR,
                _ => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            };
            let reply = pending.reply.take();
            // Membership is put back; offsets stay, as their records do.
            let then = match &pending.then {
                Then::Assignment { .. } | Then::StaticRejoin(_) => {
                    std::mem::replace(&mut pending.then, Then::Nothing)
                }
                _ => Then::Nothing,
            };
            if let Some((token, reply)) = reply {
                self.desk.reply(token, reply.failed(code));
            }
            self.lost(then, code);
        }
    }

    /// Lets happen what fell due; says whether members of the new protocol are others by it.
    fn fall_due(&mut self, entry: u64, due: Due) -> bool {
        if let Some((group, _)) = due.of_member()
            && self.consumers.contains_key(group)
        {
            return self.consumer_member_due(&group.clone(), entry, &due);
        }
        if let Due::Member { group, .. } = &due
            && self.shares.contains_key(group)
        {
            return self.share_member_due(&group.clone(), entry, &due);
        }
        let desk = &mut self.desk;
        match due {
            Due::Member { group, member } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.on_member_due(&member, entry, desk);
                }
            }
            Due::Join(group) => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.on_join_due(entry, desk);
                }
            }
            Due::Sync(group) => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.on_sync_due(entry, desk);
                }
            }
            Due::Cleanup => {
                if self.cleanup.reached(entry, desk.now.mono, &mut desk.timers, || Due::Cleanup) {
                    self.clean_up();
                    self.schedule_cleanup();
                }
            }
            Due::Revocation { .. } | Due::Rejoin { .. } | Due::Collection { .. } => {}
        }
        false
    }

    fn schedule_cleanup(&mut self) {
        let at = self.desk.now.after(self.desk.config.retention_check_interval_ms.max(1));
        self.cleanup.set(at, &mut self.desk.timers, || Due::Cleanup);
    }

    /// The shard is loaded: its members get their full session timeout, and groups that are
    /// larger than the configuration allows by now have to choose.
    pub fn start(&mut self, now: Now) -> Effects {
        self.desk.now = now;
        let orphans: Vec<Str> = self.offsets.groups().cloned().collect();
        for id in orphans {
            // Offsets without a group are those of one who manages partitions alone.
            if !self.consumers.contains_key(&id) && !self.shares.contains_key(&id) {
                self.groups.entry(id.clone()).or_insert_with(|| Group::new(id, now.wall));
            }
        }
        let max = usize::try_from(self.desk.config.max_size).unwrap_or(0);
        for group in self.groups.values_mut() {
            let members: Vec<Str> = group.members.keys().cloned().collect();
            members.iter().for_each(|member| group.renew_session(member, &mut self.desk));
            if members.len() > max {
                group.prepare_rebalance("the group is larger than allowed", &mut self.desk);
            } else if group.is(GroupState::Stable) && group.state_since.is_none() {
                // It came of a group of the new protocol, and a member that left is not replaced.
                group.prepare_rebalance("the group has not rebalanced yet", &mut self.desk);
            }
        }
        self.consumers.values_mut().for_each(|group| group.start_clocks(&mut self.desk));
        self.start_share_clocks();
        self.schedule_cleanup();
        std::mem::take(&mut self.desk.out)
    }

    /// This broker does not coordinate these groups any more: all who wait are told so.
    pub fn stop(mut self) -> Vec<(Token, Reply)> {
        let code = ErrorCode::NOT_COORDINATOR;
        for group in self.groups.values_mut() {
            let ids: Vec<Str> = group.members.keys().cloned().collect();
            for id in ids {
                group.answer_join(&id, join_error(&id, code), &mut self.desk);
                group.answer_sync(&id, sync_error(code), &mut self.desk);
            }
        }
        let waiting = std::mem::take(&mut self.desk.pending).into_iter();
        let waiting = waiting.filter_map(|pending| pending.reply);
        let told = waiting.map(|(token, reply)| (token, reply.failed(code)));
        let mut replies = std::mem::take(&mut self.desk.out.replies);
        replies.extend(told);
        replies
    }
}

impl Machine for Shard {
    type Event = Event;
    type Reply = Reply;
    type Order = ShareOrder;
    type Replay = GroupReplay;
    type Setup = GroupSetup;

    const KEEPS: &'static str = "groups";

    fn on(&mut self, event: Event, now: Now) -> Effects {
        Self::on(self, event, now)
    }

    fn inherit(&mut self, now: Now) -> Option<Ticket> {
        self.desk.now = now;
        Some(self.desk.inherit())
    }

    fn start(&mut self, now: Now) -> Effects {
        Self::start(self, now)
    }

    fn stop(self) -> Vec<(Token, Reply)> {
        Self::stop(self)
    }

    fn next_deadline(&self) -> Option<u64> {
        Self::next_deadline(self)
    }

    fn is_overloaded(&self) -> bool {
        Self::is_overloaded(self)
    }

    fn count(&self) -> usize {
        self.group_count()
    }
}

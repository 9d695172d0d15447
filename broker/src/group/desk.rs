//! What all groups of a shard share: the time, the configuration, what goes out, what waits.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use vltava_wire::messages::leave_group::LeaveGroupResponse;
use vltava_wire::messages::offset_commit::OffsetCommitResponse;
use vltava_wire::messages::offset_delete::OffsetDeleteResponse;
use vltava_wire::messages::offset_fetch::OffsetFetchResponseGroup;
use vltava_wire::messages::{
    ConsumerGroupHeartbeatResponse, JoinGroupResponse, ShareGroupHeartbeatResponse,
    SyncGroupResponse,
};
use vltava_wire::{ErrorCode, ProducerId, Str};

use super::calls::{Deletions, FetchCall, Protocols};
use super::config::{GroupConfig, OwnConfig};
use super::membership::Undo;
use super::record::{CommittedOffset, Record};
use super::share::ShareOrder;
use super::sharing::{ShareUndo, TaskReply};
use super::timer::{Now, Timers};
pub use crate::shard::{Append, InTransaction, Ticket, Token};

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To JoinGroup.
    Join(JoinGroupResponse),
    /// To SyncGroup.
    Sync(SyncGroupResponse),
    /// To Heartbeat.
    Heartbeat(ErrorCode),
    /// To ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To ShareGroupHeartbeat.
    ShareHeartbeat(ShareGroupHeartbeatResponse),
    /// To a task about the share-partitions of a group.
    ShareTask(TaskReply),
    /// To LeaveGroup.
    Leave(LeaveGroupResponse),
    /// To OffsetCommit.
    Commit(OffsetCommitResponse),
    /// To OffsetFetch, for one group.
    Fetch(OffsetFetchResponseGroup),
    /// To OffsetDelete.
    OffsetDelete(OffsetDeleteResponse),
    /// To DeleteGroups, for the groups of this shard.
    Deletions(Deletions),
    /// To WriteTxnMarkers, for this shard.
    TransactionEnded(ErrorCode),
}

impl Reply {
    /// The same answer, had its records not been stored.
    #[must_use]
    pub(super) fn failed(self, code: ErrorCode) -> Self {
        match self {
            Self::Join(mut response) => {
                response.error_code = code;
                Self::Join(response)
            }
            Self::Sync(_) => {
                Self::Sync(SyncGroupResponse { error_code: code, ..Default::default() })
            }
            Self::Heartbeat(_) => Self::Heartbeat(code),
            Self::ConsumerHeartbeat(_) => Self::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code: code,
                ..Default::default()
            }),
            Self::ShareHeartbeat(_) => Self::ShareHeartbeat(ShareGroupHeartbeatResponse {
                error_code: code,
                ..Default::default()
            }),
            Self::ShareTask(_) => Self::ShareTask(Err((code, None))),
            Self::Leave(_) => {
                Self::Leave(LeaveGroupResponse { error_code: code, ..Default::default() })
            }
            Self::Commit(mut response) => {
                let topics = response.topics.iter_mut();
                topics
                    .flat_map(|topic| &mut topic.partitions)
                    .for_each(|partition| partition.error_code = code);
                Self::Commit(response)
            }
            Self::Fetch(response) => Self::Fetch(OffsetFetchResponseGroup {
                group_id: response.group_id,
                error_code: code,
                ..Default::default()
            }),
            Self::OffsetDelete(_) => {
                Self::OffsetDelete(OffsetDeleteResponse { error_code: code, ..Default::default() })
            }
            Self::TransactionEnded(_) => Self::TransactionEnded(code),
            Self::Deletions(groups) => {
                Self::Deletions(groups.into_iter().map(|(group, _)| (group, code)).collect())
            }
        }
    }
}

/// What a shard wants done.
pub type Effects = crate::shard::Effects<Reply, ShareOrder>;

/// An offset that is stored or taken back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OffsetChange {
    pub(super) group: Str,
    pub(super) topic: Str,
    pub(super) partition: i32,
    pub(super) value: Option<CommittedOffset>,
}

/// What to undo if a static member's new id cannot be stored.
#[derive(Clone, Debug)]
pub(super) struct StaticRejoin {
    pub(super) group: Str,
    pub(super) instance_id: Str,
    pub(super) token: Token,
    pub(super) version: i16,
    pub(super) old_id: Str,
    pub(super) new_id: Str,
    pub(super) old_leader: Str,
    pub(super) old_protocols: Protocols,
    pub(super) old_rebalance_timeout_ms: i32,
    pub(super) old_session_timeout_ms: i32,
}

/// What follows once an append is committed.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing but the answer.
    Nothing,
    /// Offsets take effect.
    Offsets(Vec<OffsetChange>),
    /// Offsets wait for the end of a producer's transaction.
    Pending(ProducerId, Vec<OffsetChange>),
    /// A producer's transaction has ended; whether it was committed.
    Ended(ProducerId, bool),
    /// Offsets are gone, and so are groups.
    Deletion { groups: Vec<Str>, changes: Vec<OffsetChange> },
    /// Members get their assignments.
    Assignment { group: Str, generation: i32, assignments: Vec<(Str, Bytes)> },
    /// A static member is back under a new id.
    StaticRejoin(Box<StaticRejoin>),
    /// The members of a group of the new protocol are others. That holds already, unless it was
    /// not even written.
    Members(Box<Undo>),
    /// As [`Members`](Self::Members), of a share group.
    Shares(Box<ShareUndo>),
    /// No append at all: an answer that waits for those before it.
    Barrier,
    /// No append at all: a read that waits for those before it.
    Read(FetchCall),
}

/// An append under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    deadline: u64,
    pub(super) reply: Option<(Token, Reply)>,
    pub(super) then: Then,
}

/// What a shard's groups work with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) config: GroupConfig,
    /// What single groups set above that, by group.
    pub(super) own: BTreeMap<Str, OwnConfig>,
    pub(super) now: Now,
    pub(super) timers: Timers,
    pub(super) out: Effects,
    pub(super) pending: VecDeque<Pending>,
    /// How many at the front of `pending` have been answered because they took too long.
    timed_out: usize,
    tickets: u64,
    /// What the leader before has left, as an append.
    inherited: Option<Ticket>,
}

impl Desk {
    pub(super) fn new(config: GroupConfig) -> Self {
        Self {
            config,
            own: BTreeMap::new(),
            now: Now::default(),
            timers: Timers::default(),
            out: Effects::default(),
            pending: VecDeque::new(),
            timed_out: 0,
            tickets: 0,
            inherited: None,
        }
    }

    /// How long members of a group of the new protocol may be silent, in milliseconds.
    pub(super) fn session_timeout_ms(&self, group: &str) -> i32 {
        let own = self.own.get(group).and_then(|own| own.session_timeout_ms);
        own.unwrap_or(self.config.consumer.session_timeout_ms)
    }

    /// How often they send heartbeats, in milliseconds.
    pub(super) fn heartbeat_interval_ms(&self, group: &str) -> i32 {
        let own = self.own.get(group).and_then(|own| own.heartbeat_interval_ms);
        own.unwrap_or(self.config.consumer.heartbeat_interval_ms)
    }

    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        self.out.replies.push((token, reply));
    }

    /// Has the share coordinator do something.
    pub(super) fn order(&mut self, order: ShareOrder) {
        self.out.orders.push(order);
    }

    /// Appends records; `reply` leaves when they are committed, and `then` happens.
    pub(super) fn append(
        &mut self,
        records: Vec<Record>,
        then: Then,
        reply: Option<(Token, Reply)>,
    ) -> Ticket {
        self.append_in(None, records, then, reply)
    }

    /// As [`append`](Self::append), within a transaction or as its end.
    pub(super) fn append_in(
        &mut self,
        transaction: Option<InTransaction>,
        records: Vec<Record>,
        then: Then,
        reply: Option<(Token, Reply)>,
    ) -> Ticket {
        let ticket = self.wait(then, reply);
        self.out.appends.push(Append { ticket, records, transaction });
        ticket
    }

    /// Waits for all appends that are under way.
    pub(super) fn wait(&mut self, then: Then, reply: Option<(Token, Reply)>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let deadline = self.now.after(self.config.commit_timeout_ms);
        self.pending.push_back(Pending { ticket, deadline, reply, then });
        ticket
    }

    /// Counts as an append what was loaded and may not be committed.
    pub(super) fn inherit(&mut self) -> Ticket {
        let ticket = self.wait(Then::Nothing, None);
        self.inherited = Some(ticket);
        ticket
    }

    /// Whether some of what was loaded may not be committed yet.
    pub(super) fn inherits(&self) -> bool {
        let first = self.pending.front().map(|pending| pending.ticket);
        self.inherited.is_some() && self.inherited == first
    }

    /// The append that was last asked for.
    pub(super) fn last_ticket(&self) -> Ticket {
        Ticket(self.tickets)
    }

    /// Has an append answer a request when it is committed.
    pub(super) fn reply_after(&mut self, ticket: Ticket, token: Token, reply: Reply) {
        let found = self.pending.iter_mut().rev().find(|pending| pending.ticket == ticket);
        match found {
            Some(pending) => pending.reply = Some((token, reply)),
            None => self.reply(token, reply),
        }
    }

    /// Takes an append that was refused out of the queue.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Pending> {
        let at = self.pending.iter().rposition(|pending| pending.ticket == ticket)?;
        if at < self.timed_out {
            self.timed_out -= 1;
        }
        self.pending.remove(at)
    }

    /// Takes what is done once `ticket` is: that append, those before it, and the reads that
    /// waited for no other.
    pub(super) fn take_committed(&mut self, ticket: Ticket) -> Option<Pending> {
        let front = self.pending.front()?;
        if front.ticket > ticket && !matches!(front.then, Then::Read(_) | Then::Barrier) {
            return None;
        }
        self.timed_out = self.timed_out.saturating_sub(1);
        self.pending.pop_front()
    }

    /// When the next append has taken too long.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        self.pending.get(self.timed_out).map(|pending| pending.deadline)
    }

    /// The next append that has taken too long: it stays in the queue, as it may yet be
    /// committed.
    pub(super) fn next_timed_out(&mut self) -> Option<&mut Pending> {
        if self.next_timeout()? > self.now.mono {
            return None;
        }
        self.timed_out += 1;
        self.pending.get_mut(self.timed_out - 1)
    }
}

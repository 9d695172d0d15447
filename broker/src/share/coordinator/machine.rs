//! The share-partitions of one partition of `__share_group_state` as a pure machine: what their
//! leaders and the group coordinator say goes in, answers and records come out.
//!
//! What is decided holds at once, so that the next decision builds on it, and is answered when its
//! record is committed; a record that is refused takes back what it was for. Two epochs fence: that
//! of the leader, so that one who leads no more changes nothing, and that of the state, so that
//! what was meant for a share-partition before its group was reset changes nothing after.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vltava_wire::records::share_state::{ShareSnapshotValue, ShareUpdateValue, StateBatch};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::batches::combine;
use super::record::{self, Said, ShareKey};
use crate::shard::{
    Append, Effects as ShardEffects, LoadError, Machine, Now, Outcome, RecordError, Replay, Ticket,
    Token,
};

/// How many appends of one partition may wait to be committed.
const PENDING_APPENDS_MAX: usize = 100_000;

/// How many tombstones go into one append when topics are deleted.
const TOMBSTONES_MAX: usize = 1000;

/// How many snapshots go into one append when all are written, and about how many bytes: each may
/// have thousands of batches, and a batch that is too large is refused.
const SNAPSHOTS_MAX: usize = 10;
const SNAPSHOT_BYTES_MAX: usize = 256 * 1024;

const READ_UNINITIALIZED: &str = "Read operation on uninitialized share partition not allowed.";
const WRITE_UNINITIALIZED: &str = "Write operation on uninitialized share partition not allowed.";

/// The values in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// `share.coordinator.snapshot.update.records.per.snapshot`.
    pub updates_per_snapshot: i32,
    /// `share.coordinator.write.timeout.ms`.
    pub write_timeout_ms: i32,
}

/// What a leader has stored, or the group coordinator sets.
#[derive(Clone, Debug, PartialEq)]
pub struct NewState {
    /// The epoch of the state; −1 if it does not matter.
    pub state_epoch: i32,
    /// The epoch of the leader; −1 if it does not matter.
    pub leader_epoch: i32,
    /// The first offset that is not done with; −1 for the one that is known.
    pub start_offset: i64,
    /// How many records are done with beyond that; −1 if it is not said.
    pub delivery_complete_count: i32,
    /// What has changed.
    pub batches: Vec<StateBatch>,
}

/// What is known of a share-partition.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownState {
    snapshot_epoch: i32,
    /// The epoch of the state.
    pub state_epoch: i32,
    /// The epoch of the leader that it comes from.
    pub leader_epoch: i32,
    /// The first offset that is not done with; −1 as long as nobody knows.
    pub start_offset: i64,
    /// How many records are done with beyond that; −1 if that is not known.
    pub delivery_complete_count: i32,
    created: i64,
    /// What is known of records.
    pub batches: Vec<StateBatch>,
    /// Updates since the last snapshot.
    updates: i32,
}

impl KnownState {
    /// What a share coordinator elsewhere has told.
    pub fn told(
        state_epoch: i32,
        leader_epoch: i32,
        start_offset: i64,
        delivery_complete_count: i32,
        batches: Vec<StateBatch>,
    ) -> Self {
        let value = ShareSnapshotValue {
            state_epoch,
            leader_epoch,
            start_offset,
            delivery_complete_count,
            state_batches: batches,
            ..Default::default()
        };
        Self::of_snapshot(value)
    }

    fn of_snapshot(value: ShareSnapshotValue) -> Self {
        Self {
            snapshot_epoch: value.snapshot_epoch,
            state_epoch: value.state_epoch,
            leader_epoch: value.leader_epoch,
            start_offset: value.start_offset,
            delivery_complete_count: value.delivery_complete_count,
            created: value.create_timestamp,
            batches: value.state_batches,
            updates: 0,
        }
    }

    fn to_snapshot(&self, wall: i64) -> ShareSnapshotValue {
        ShareSnapshotValue {
            snapshot_epoch: self.snapshot_epoch,
            state_epoch: self.state_epoch,
            leader_epoch: self.leader_epoch,
            start_offset: self.start_offset,
            delivery_complete_count: self.delivery_complete_count,
            create_timestamp: self.created,
            write_timestamp: wall,
            state_batches: self.batches.clone(),
        }
    }

    fn update(&mut self, value: &ShareUpdateValue) {
        if value.leader_epoch != -1 {
            self.leader_epoch = value.leader_epoch;
        }
        if value.start_offset != -1 {
            self.start_offset = value.start_offset;
        }
        self.delivery_complete_count = value.delivery_complete_count;
        self.batches = combine(&self.batches, &value.state_batches, self.start_offset);
        self.updates += 1;
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// What is told of it, if it is more than the code.
    pub message: Option<&'static str>,
}

impl Refusal {
    /// What a person is told beyond the code; clients have their own words for codes.
    pub fn text(&self) -> Option<Str> {
        self.message.map(Str::from_static)
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

/// The answer to a request: what is known by then, or nothing if there is nothing to know.
pub type StateReply = Result<Option<KnownState>, Refusal>;

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// InitializeShareGroupState.
    Initialize(Token, ShareKey, NewState),
    /// ReadShareGroupState, by the leader of that epoch.
    Read(Token, ShareKey, i32),
    /// ReadShareGroupStateSummary.
    Summary(Token, ShareKey),
    /// WriteShareGroupState.
    Write(Token, ShareKey, NewState),
    /// DeleteShareGroupState.
    Delete(Token, ShareKey),
    /// All of every share-partition is to be written, so that what was written before is not
    /// needed any more.
    SnapshotAll(Token),
    /// Topics do not exist any more.
    TopicsDeleted(BTreeSet<Uuid>),
    /// What the driver has to tell.
    Outcome(Outcome),
    /// Nothing: it is there.
    Greeting,
}

impl From<Outcome> for Event {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

/// What a decision is to be taken back to, if its record is refused.
type Before = Vec<(ShareKey, Option<KnownState>)>;

/// An append under way, or an answer that waits for one and those before it.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    /// The first append that must not be refused, up to `ticket`.
    since: Ticket,
    deadline: u64,
    reply: Option<(Token, StateReply)>,
    before: Before,
}

type Effects = ShardEffects<StateReply, std::convert::Infallible>;

/// The share-partitions of one partition of `__share_group_state`.
#[derive(Debug)]
pub struct ShareStates {
    config: StateConfig,
    states: BTreeMap<ShareKey, KnownState>,
    pending: VecDeque<Pending>,
    tickets: u64,
    now: Now,
    out: Effects,
}

impl ShareStates {
    /// Knows nothing yet.
    pub fn new(config: StateConfig) -> Self {
        Self {
            config,
            states: BTreeMap::new(),
            pending: VecDeque::new(),
            tickets: 0,
            now: Now::default(),
            out: Effects::default(),
        }
    }

    /// What is known of a share-partition, committed or not.
    pub fn state(&self, key: &ShareKey) -> Option<&KnownState> {
        self.states.get(key)
    }

    /// Appends records; the answer leaves when they are committed.
    fn append(
        &mut self,
        records: Vec<crate::shard::Record>,
        before: Before,
        reply: Option<(Token, StateReply)>,
    ) {
        let ticket = self.wait(before, reply);
        self.out.appends.push(Append { ticket, records, transaction: None });
    }

    /// Waits for an append.
    fn wait(&mut self, before: Before, reply: Option<(Token, StateReply)>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let deadline = self.now.after(self.config.write_timeout_ms);
        self.pending.push_back(Pending { ticket, since: ticket, deadline, reply, before });
        ticket
    }

    /// Answers once all that is under way is committed: what is told may rest on it.
    fn reply(&mut self, token: Token, reply: StateReply) {
        self.reply_since(Ticket(self.tickets), token, reply);
    }

    /// As [`reply`](Self::reply), if none of the appends from that one on is refused.
    fn reply_since(&mut self, since: Ticket, token: Token, reply: StateReply) {
        match self.pending.back() {
            Some(last) if reply.is_ok() => {
                let (ticket, before) = (last.ticket, Before::new());
                let deadline = self.now.after(self.config.write_timeout_ms);
                let reply = Some((token, reply));
                self.pending.push_back(Pending { ticket, since, deadline, reply, before });
            }
            _ => self.out.replies.push((token, reply)),
        }
    }

    /// Sets a share-partition to what it is to begin with, whatever was known. Who does not know
    /// where it begins asks that it be known at all, maybe once more: what is known stays then.
    fn initialize(&mut self, token: Token, key: ShareKey, new: NewState) {
        let known = self.states.get(&key);
        if known.is_some_and(|known| new.state_epoch != -1 && known.state_epoch > new.state_epoch) {
            return self.reply(token, Err(ErrorCode::FENCED_STATE_EPOCH.into()));
        }
        if new.start_offset == -1 && known.is_some_and(|known| known.start_offset != -1) {
            return self.reply(token, Ok(None));
        }
        // Of what begins at a known place nothing is done with yet.
        let complete = if new.start_offset == -1 { new.delivery_complete_count } else { 0 };
        let state = KnownState {
            snapshot_epoch: known.map_or(0, |known| known.snapshot_epoch + 1),
            state_epoch: new.state_epoch,
            leader_epoch: known.map_or(0, |known| known.leader_epoch),
            start_offset: new.start_offset,
            delivery_complete_count: complete,
            created: self.now.wall,
            batches: Vec::new(),
            updates: 0,
        };
        self.snapshot(key, state, Some((token, Ok(None))));
    }

    fn snapshot(&mut self, key: ShareKey, state: KnownState, reply: Option<(Token, StateReply)>) {
        let record = record::snapshot(&key, Some(&state.to_snapshot(self.now.wall)));
        let before = self.states.insert(key.clone(), state);
        self.append(vec![record], vec![(key, before)], reply);
    }

    /// Stores what is new, as an update or, once in a while, all of it.
    fn store(&mut self, key: ShareKey, new: NewState, token: Token, tells: bool) {
        let Some(known) = self.states.get(&key) else { return };
        let before = known.clone();
        let mut state = known.clone();
        if new.state_epoch != -1 {
            state.state_epoch = new.state_epoch;
        }
        let mut value = ShareUpdateValue {
            snapshot_epoch: known.snapshot_epoch,
            leader_epoch: new.leader_epoch,
            start_offset: new.start_offset,
            delivery_complete_count: new.delivery_complete_count,
            state_batches: combine(&[], &new.batches, new.start_offset),
        };
        // An update has no epoch of the state.
        let whole = known.updates >= self.config.updates_per_snapshot
            || state.state_epoch != known.state_epoch;
        state.update(&value);
        let reply = (token, Ok(tells.then(|| before.clone())));
        if whole {
            state.snapshot_epoch += 1;
            state.updates = 0;
            return self.snapshot(key, state, Some(reply));
        }
        value.leader_epoch = state.leader_epoch;
        let record = record::update(&key, &value);
        self.states.insert(key.clone(), state);
        self.append(vec![record], vec![(key, Some(before))], Some(reply));
    }

    fn read(&mut self, token: Token, key: ShareKey, leader_epoch: i32) {
        let Some(known) = self.states.get(&key) else {
            let message = Some(READ_UNINITIALIZED);
            return self.reply(token, Err(Refusal { code: ErrorCode::INVALID_REQUEST, message }));
        };
        if known.leader_epoch > leader_epoch {
            return self.reply(token, Err(ErrorCode::FENCED_LEADER_EPOCH.into()));
        }
        if leader_epoch == -1 || known.leader_epoch == leader_epoch {
            let known = known.clone();
            return self.reply(token, Ok(Some(known)));
        }
        // From now on the leader before it stores nothing any more.
        let new = NewState {
            state_epoch: -1,
            leader_epoch,
            start_offset: known.start_offset,
            delivery_complete_count: known.delivery_complete_count,
            batches: Vec::new(),
        };
        self.store(key, new, token, true);
    }

    fn write(&mut self, token: Token, key: ShareKey, new: NewState) {
        let Some(known) = self.states.get(&key) else {
            let message = Some(WRITE_UNINITIALIZED);
            return self.reply(token, Err(Refusal { code: ErrorCode::INVALID_REQUEST, message }));
        };
        if new.leader_epoch != -1 && known.leader_epoch > new.leader_epoch {
            return self.reply(token, Err(ErrorCode::FENCED_LEADER_EPOCH.into()));
        }
        if new.state_epoch != -1 && known.state_epoch > new.state_epoch {
            return self.reply(token, Err(ErrorCode::FENCED_STATE_EPOCH.into()));
        }
        self.store(key, new, token, false);
    }

    fn delete(&mut self, token: Token, key: ShareKey) {
        let Some(before) = self.states.remove(&key) else {
            return self.reply(token, Ok(None));
        };
        let record = record::snapshot(&key, None);
        self.append(vec![record], vec![(key, Some(before))], Some((token, Ok(None))));
    }

    /// Writes all anew. It is done once every append is committed: of what one of them lacks,
    /// there is no other copy than what lies before them.
    fn snapshot_all(&mut self, token: Token) {
        let first = Ticket(self.tickets + 1);
        let (mut records, mut before, mut bytes) = (Vec::new(), Before::new(), 0);
        let keys: Vec<ShareKey> = self.states.keys().cloned().collect();
        for key in keys {
            let Some(state) = self.states.get_mut(&key) else { continue };
            let known = state.clone();
            state.snapshot_epoch += 1;
            state.updates = 0;
            let record = record::snapshot(&key, Some(&state.to_snapshot(self.now.wall)));
            bytes += record.size_in_bytes();
            records.push(record);
            before.push((key, Some(known)));
            if records.len() >= SNAPSHOTS_MAX || bytes >= SNAPSHOT_BYTES_MAX {
                bytes = 0;
                self.append(std::mem::take(&mut records), std::mem::take(&mut before), None);
            }
        }
        if !records.is_empty() {
            self.append(records, before, None);
        }
        self.reply_since(first, token, Ok(None));
    }

    fn forget_topics(&mut self, topics: &BTreeSet<Uuid>) {
        let gone = self.states.keys().filter(|key| topics.contains(&key.topic));
        let gone: Vec<ShareKey> = gone.cloned().collect();
        for keys in gone.chunks(TOMBSTONES_MAX) {
            let records = keys.iter().map(|key| record::snapshot(key, None)).collect();
            let before = keys.iter().map(|key| (key.clone(), self.states.remove(key))).collect();
            self.append(records, before, None);
        }
    }

    /// Takes an append back, and refuses those who wait for it among others.
    fn refused(&mut self, ticket: Ticket, code: ErrorCode) {
        let mut at = self.pending.len();
        while at > 0 && self.pending[at - 1].ticket >= ticket {
            at -= 1;
            if self.pending[at].since > ticket {
                continue;
            }
            let Some(Pending { reply, before, .. }) = self.pending.remove(at) else { continue };
            for (key, state) in before {
                match state {
                    Some(state) => self.states.insert(key, state),
                    None => self.states.remove(&key),
                };
            }
            if let Some((token, _)) = reply {
                self.out.replies.push((token, Err(code.into())));
            }
        }
    }

    fn committed(&mut self, ticket: Ticket) {
        while self.pending.front().is_some_and(|pending| pending.ticket <= ticket) {
            let Some(Pending { reply, .. }) = self.pending.pop_front() else { break };
            self.out.replies.extend(reply);
        }
    }

    /// Who has waited too long is told so; what was decided stays, as its record does.
    fn tick(&mut self) {
        let late = self.pending.iter_mut().take_while(|pending| pending.deadline <= self.now.mono);
        for pending in late {
            if let Some((token, _)) = pending.reply.take() {
                let reply = Err(ErrorCode::COORDINATOR_NOT_AVAILABLE.into());
                self.out.replies.push((token, reply));
            }
        }
    }
}

impl Machine for ShareStates {
    type Event = Event;
    type Reply = StateReply;
    type Order = std::convert::Infallible;
    type Replay = StatesReplay;
    type Setup = super::StateSetup;

    const KEEPS: &'static str = "share-partitions";

    fn on(&mut self, event: Event, now: Now) -> Effects {
        self.now = now;
        match event {
            Event::Initialize(token, key, new) => self.initialize(token, key, new),
            Event::Read(token, key, leader_epoch) => self.read(token, key, leader_epoch),
            Event::Summary(token, key) => {
                let known = self.states.get(&key).cloned();
                self.reply(token, Ok(known));
            }
            Event::Write(token, key, new) => self.write(token, key, new),
            Event::Delete(token, key) => self.delete(token, key),
            Event::SnapshotAll(token) => self.snapshot_all(token),
            Event::TopicsDeleted(topics) => self.forget_topics(&topics),
            Event::Outcome(Outcome::Refused(ticket, code)) => self.refused(ticket, code),
            Event::Outcome(Outcome::Committed(ticket)) => self.committed(ticket),
            Event::Outcome(Outcome::Tick) => self.tick(),
            Event::Outcome(Outcome::Written(_)) | Event::Greeting => {}
        }
        std::mem::take(&mut self.out)
    }

    fn inherit(&mut self, now: Now) -> Option<Ticket> {
        self.now = now;
        Some(self.wait(Before::new(), None))
    }

    fn start(&mut self, now: Now) -> Effects {
        self.now = now;
        Effects::default()
    }

    fn stop(self) -> Vec<(Token, StateReply)> {
        let waiting = self.pending.into_iter().filter_map(|pending| pending.reply);
        waiting.map(|(token, _)| (token, Err(ErrorCode::NOT_COORDINATOR.into()))).collect()
    }

    fn next_deadline(&self) -> Option<u64> {
        let waiting = self.pending.iter().find(|pending| pending.reply.is_some());
        waiting.map(|pending| pending.deadline)
    }

    fn is_overloaded(&self) -> bool {
        self.pending.len() >= PENDING_APPENDS_MAX
    }

    fn count(&self) -> usize {
        self.states.len()
    }
}

/// Reads share-partitions out of a log.
#[derive(Debug)]
pub struct StatesReplay(pub(super) ShareStates);

impl Replay for StatesReplay {
    type Machine = ShareStates;

    fn record(
        &mut self,
        _: Option<vltava_wire::ProducerId>,
        record: &vltava_wire::batch::Record<'_>,
    ) -> Result<(), RecordError> {
        let states = &mut self.0.states;
        match record::parse(record.key, record.value)? {
            Said::Snapshot(key, Some(value)) => {
                states.insert(key, KnownState::of_snapshot(value));
            }
            Said::Snapshot(key, None) => {
                states.remove(&key);
            }
            Said::Update(key, Some(value)) => {
                if let Some(state) = states.get_mut(&key) {
                    state.update(&value);
                }
            }
            Said::Update(_, None) | Said::Other => {}
        }
        Ok(())
    }

    fn end_transaction(&mut self, _: vltava_wire::ProducerId, _: bool) {}

    fn finish(self) -> Result<ShareStates, LoadError> {
        Ok(self.0)
    }
}

#[cfg(test)]
#[path = "tests/machine.rs"]
mod tests;

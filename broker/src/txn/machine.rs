//! The transactions of one partition as a pure machine: requests, outcomes and time in, answers,
//! records and markers to send out.
//!
//! A transition has two moments: its record is appended, and then it is committed, and only then
//! it holds and is answered. In between nothing else may change the id: who tries is told
//! `CONCURRENT_TRANSACTIONS` and comes back. An append that takes too long is answered with an
//! error and holds all the same once it is committed, as its record stays in the log.
//!
//! *Invariants:* a marker is ordered only for an outcome whose record is committed; a completion
//! is appended only when every partition has its marker; an epoch never goes back.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use vltava_wire::{ErrorCode, Str};

use super::calls::{EndCall, InitCall, PartitionsCall, TopicPartition};
use super::config::{
    COMMIT_TIMEOUT_MS, COMPLETION_RETRY_MS, FORGOTTEN_AT_ONCE_MAX, PENDING_APPENDS_MAX, TxnConfig,
};
use super::record::{self, TxnReplay};
use super::service::TxnSetup;
use super::state::{State, Stored, Transaction, is_exhausted};
use crate::shard::{self, Append, Machine, Now, Outcome, Record, Ticket, Token};

/// What happens to a shard.
#[derive(Clone, Debug)]
pub enum Event {
    /// InitProducerId.
    Init(Token, InitCall),
    /// AddPartitionsToTxn, AddOffsetsToTxn.
    Add(Token, PartitionsCall),
    /// EndTxn.
    End(Token, EndCall),
    /// The cluster has `transaction.version` at that level.
    Level(i16),
    /// A producer id that was ordered, or why there is none.
    ProducerId(Result<i64, ErrorCode>),
    /// These partitions have the marker of that transaction, or do not exist any more.
    Marked(Marked),
    /// What drivers tell.
    Outcome(Outcome),
}

impl From<Outcome> for Event {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

/// What was asked for by [`Order::Mark`], as far as it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The transactional id.
    pub id: Str,
    /// The producer id of the markers.
    pub producer_id: i64,
    /// The epoch of the markers.
    pub producer_epoch: i16,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To InitProducerId: the producer's id and epoch.
    Init(Result<(i64, i16), ErrorCode>),
    /// To AddPartitionsToTxn and AddOffsetsToTxn.
    Add(ErrorCode),
    /// To EndTxn: the id and epoch to go on with.
    End(Result<(i64, i16), ErrorCode>),
}

impl Reply {
    fn failed(&self, code: ErrorCode) -> Self {
        match self {
            Self::Init(_) => Self::Init(Err(code)),
            Self::Add(_) => Self::Add(code),
            Self::End(_) => Self::End(Err(code)),
        }
    }
}

/// Markers that partitions are to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// The transactional id.
    pub id: Str,
    /// The producer whose transaction ends.
    pub producer_id: i64,
    /// The epoch that the markers carry.
    pub producer_epoch: i16,
    /// Whether it commits.
    pub commits: bool,
    /// The level of `transaction.version` that its client speaks.
    pub client_version: i16,
    /// Who is to get one.
    pub partitions: BTreeSet<TopicPartition>,
}

/// What a machine wants of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A new producer id.
    DrawProducerId,
    /// Markers, until every partition has its own.
    Mark(Markers),
}

/// What a shard wants done.
pub type Effects = shard::Effects<Reply, Order>;

/// An append under way.
#[derive(Debug)]
struct Pending {
    ids: Vec<Str>,
    reply: Option<(Token, Reply)>,
}

/// The transactions of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct Shard {
    pub(super) config: TxnConfig,
    pub(super) transactions: HashMap<Str, Transaction>,
    pub(super) now: Now,
    /// The level of `transaction.version`.
    pub(super) level: i16,
    out: Effects,
    pending: BTreeMap<Ticket, Pending>,
    tickets: u64,
    /// When appends have taken too long, in their order.
    timeouts: VecDeque<(u64, Ticket)>,
    /// A producer id to give out.
    spare: Option<i64>,
    is_drawing: bool,
    /// What waits for a producer id.
    thirsty: VecDeque<Event>,
    /// Transactions whose completion was refused.
    unfinished: BTreeSet<Str>,
    retry_at: Option<u64>,
    abort_scan_at: u64,
    expiration_scan_at: u64,
}

impl Shard {
    /// A shard without transactions; [`TxnReplay`] fills it.
    pub fn new(config: TxnConfig) -> Self {
        Self {
            config,
            transactions: HashMap::new(),
            now: Now::default(),
            level: 0,
            out: Effects::default(),
            pending: BTreeMap::new(),
            tickets: 0,
            timeouts: VecDeque::new(),
            spare: None,
            is_drawing: false,
            thirsty: VecDeque::new(),
            unfinished: BTreeSet::new(),
            retry_at: None,
            abort_scan_at: u64::MAX,
            expiration_scan_at: u64::MAX,
        }
    }

    pub(super) fn put(&mut self, id: Str, stored: Stored) {
        self.transactions.insert(id, Transaction::new(stored));
    }

    /// What is stored of an id, for those who look.
    pub fn stored(&self, id: &str) -> Option<&Stored> {
        self.transactions.get(id).map(|transaction| &transaction.stored)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Init(token, call) => self.init(token, call),
            Event::Add(token, call) => self.add(token, &call),
            Event::End(token, call) => self.end(token, call),
            Event::Level(level) => self.level = level,
            Event::ProducerId(drawn) => self.drawn(drawn),
            Event::Marked(marked) => self.marked(&marked),
            Event::Outcome(Outcome::Written(_)) => {}
            Event::Outcome(Outcome::Refused(ticket, code)) => self.refused(ticket, code),
            Event::Outcome(Outcome::Committed(ticket)) => self.committed(ticket),
            Event::Outcome(Outcome::Tick) => self.tick(),
        }
    }

    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        self.out.replies.push((token, reply));
    }

    /// Has an id stored as it is to become; `reply` leaves when that is committed.
    pub(super) fn store(&mut self, id: &Str, next: Stored, reply: Option<(Token, Reply)>) {
        let records = vec![record::transaction(id, Some(&next), self.level)];
        let ticket = self.append(vec![id.clone()], records, reply);
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.pending = Some((ticket, Some(next)));
        }
    }

    fn append(
        &mut self,
        ids: Vec<Str>,
        records: Vec<Record>,
        reply: Option<(Token, Reply)>,
    ) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if reply.is_some() {
            self.timeouts.push_back((self.now.after(COMMIT_TIMEOUT_MS), ticket));
        }
        self.pending.insert(ticket, Pending { ids, reply });
        self.out.appends.push(Append { ticket, records, transaction: None });
        ticket
    }

    /// The producer id to go on with after `epoch`: −1 for the same one. `None` if there is none
    /// at hand: `event` comes back once there is.
    pub(super) fn id_after(&mut self, epoch: i16, event: impl FnOnce() -> Event) -> Option<i64> {
        if !is_exhausted(epoch) {
            return Some(super::state::NONE);
        }
        self.new_id(event)
    }

    /// A producer id that nobody had; `None` as for [`id_after`](Self::id_after).
    pub(super) fn new_id(&mut self, event: impl FnOnce() -> Event) -> Option<i64> {
        let id = self.spare.take();
        if id.is_none() {
            self.thirsty.push_back(event());
            self.draw();
        }
        id
    }

    fn draw(&mut self) {
        if !std::mem::replace(&mut self.is_drawing, true) {
            self.out.orders.push(Order::DrawProducerId);
        }
    }

    fn drawn(&mut self, drawn: Result<i64, ErrorCode>) {
        self.is_drawing = false;
        let waiting = std::mem::take(&mut self.thirsty);
        match drawn {
            // Who still finds none asks for the next one.
            Ok(id) => {
                self.spare = Some(id);
                waiting.into_iter().for_each(|event| self.handle(event));
            }
            Err(code) => {
                for event in waiting {
                    if let Some((token, reply)) = unanswered(event) {
                        self.reply(token, reply.failed(code));
                    }
                }
            }
        }
    }

    fn refused(&mut self, ticket: Ticket, code: ErrorCode) {
        let Some(Pending { ids, reply }) = self.pending.remove(&ticket) else { return };
        for id in ids {
            let Some(transaction) = self.transactions.get_mut(&id) else { continue };
            transaction.pending = None;
            if transaction.stored.producer_epoch < 0 {
                // Nobody ever had it.
                self.transactions.remove(&id);
            } else if transaction.stored.state.is_prepared() {
                self.unfinished.insert(id);
                self.retry_at = Some(self.now.after(COMPLETION_RETRY_MS));
            }
        }
        if let Some((token, reply)) = reply {
            self.reply(token, reply.failed(code));
        }
    }

    /// An append and all before it are committed: they hold.
    fn committed(&mut self, ticket: Ticket) {
        while let Some(first) = self.pending.first_entry().filter(|first| *first.key() <= ticket) {
            let Pending { ids, reply } = first.remove();
            ids.iter().for_each(|id| self.take_effect(id));
            if let Some((token, reply)) = reply {
                self.reply(token, reply);
            }
        }
    }

    fn take_effect(&mut self, id: &Str) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Some((_, next)) = transaction.pending.take() else { return };
        let Some(next) = next else {
            self.transactions.remove(id);
            return;
        };
        let was = std::mem::replace(&mut transaction.stored, next).state;
        match transaction.stored.state {
            State::Ongoing if was != State::Ongoing => {
                transaction.expires = self.now.after(transaction.stored.timeout_ms);
            }
            State::PrepareCommit | State::PrepareAbort => self.mark(id),
            _ => {}
        }
    }

    /// Orders the markers of a transaction whose outcome is committed.
    fn mark(&mut self, id: &Str) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let stored = &transaction.stored;
        transaction.unmarked = stored.partitions.clone();
        if stored.partitions.is_empty() {
            return self.complete(id);
        }
        self.out.orders.push(Order::Mark(Markers {
            id: id.clone(),
            producer_id: stored.producer_id,
            producer_epoch: stored.producer_epoch,
            commits: stored.state == State::PrepareCommit,
            client_version: stored.client_version,
            partitions: stored.partitions.clone(),
        }));
    }

    fn marked(&mut self, marked: &Marked) {
        let Some(transaction) = self.transactions.get_mut(&marked.id) else { return };
        let stored = &transaction.stored;
        let is_this = stored.state.is_prepared()
            && (stored.producer_id, stored.producer_epoch)
                == (marked.producer_id, marked.producer_epoch);
        if !is_this || transaction.unmarked.is_empty() {
            return;
        }
        marked.partitions.iter().for_each(|partition| {
            transaction.unmarked.remove(partition);
        });
        if transaction.unmarked.is_empty() {
            self.complete(&marked.id);
        }
    }

    fn complete(&mut self, id: &Str) {
        let Some(transaction) = self.transactions.get(id) else { return };
        if transaction.pending.is_some() || !transaction.stored.state.is_prepared() {
            return;
        }
        let next = transaction.stored.completed(self.now);
        self.store(id, next, None);
    }

    /// A transaction that has taken too long is aborted, and its producer fenced.
    fn expired(&mut self, id: &Str) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let is_due = transaction.stored.state == State::Ongoing
            && transaction.pending.is_none()
            && transaction.expires <= self.now.mono;
        if is_due {
            tracing::info!(%id, "a transaction has taken too long and is aborted");
            self.fence(id, None);
        }
    }

    /// Aborts the transaction of an id that has one, and fences its producer.
    pub(super) fn fence(&mut self, id: &Str, reply: Option<(Token, Reply)>) {
        let Some(stored) = self.stored(id) else { return };
        let next = stored.fenced(self.level, self.now);
        self.store(id, next, reply);
    }

    fn tick(&mut self) {
        let mono = self.now.mono;
        while let Some((_, ticket)) = self.timeouts.pop_front_if(|(at, _)| *at <= mono) {
            let reply = self.pending.get_mut(&ticket).and_then(|pending| pending.reply.take());
            if let Some((token, reply)) = reply {
                self.reply(token, reply.failed(ErrorCode::COORDINATOR_NOT_AVAILABLE));
            }
        }
        if self.retry_at.is_some_and(|at| at <= mono) {
            self.retry_at = None;
            std::mem::take(&mut self.unfinished).iter().for_each(|id| self.complete(id));
        }
        if self.abort_scan_at <= mono {
            self.abort_scan_at = self.now.after(self.config.abort_interval_ms);
            let is_late = |transaction: &Transaction| transaction.expires <= mono;
            let late = self.transactions.iter().filter(|(_, transaction)| is_late(transaction));
            let late: Vec<Str> = late.map(|(id, _)| id.clone()).collect();
            late.iter().for_each(|id| self.expired(id));
        }
        if self.expiration_scan_at <= mono {
            self.expiration_scan_at = self.now.after(self.config.expiration_interval_ms);
            self.forget_unused();
        }
    }

    /// Forgets ids that nobody has used for long enough.
    fn forget_unused(&mut self) {
        let oldest = self.now.wall.saturating_sub(i64::from(self.config.id_expiration_ms));
        let is_unused = |transaction: &Transaction| {
            let stored = &transaction.stored;
            let is_at_rest = !stored.state.is_prepared() && stored.state != State::Ongoing;
            is_at_rest && transaction.pending.is_none() && stored.last_update_ms <= oldest
        };
        let unused = self.transactions.iter().filter(|(_, transaction)| is_unused(transaction));
        let unused: Vec<Str> = unused.map(|(id, _)| id.clone()).collect();
        for ids in unused.chunks(FORGOTTEN_AT_ONCE_MAX) {
            let records = ids.iter().map(|id| record::transaction(id, None, self.level)).collect();
            let ticket = self.append(ids.to_vec(), records, None);
            for id in ids {
                if let Some(transaction) = self.transactions.get_mut(id) {
                    transaction.pending = Some((ticket, None));
                }
            }
        }
    }
}

/// The token of a request that was not answered, with an answer of its kind.
fn unanswered(event: Event) -> Option<(Token, Reply)> {
    let code = ErrorCode::UNKNOWN_SERVER_ERROR;
    match event {
        Event::Init(token, _) => Some((token, Reply::Init(Err(code)))),
        Event::Add(token, _) => Some((token, Reply::Add(code))),
        Event::End(token, _) => Some((token, Reply::End(Err(code)))),
        Event::Level(_) | Event::ProducerId(_) | Event::Marked(_) | Event::Outcome(_) => None,
    }
}

impl Machine for Shard {
    type Event = Event;
    type Reply = Reply;
    type Order = Order;
    type Replay = TxnReplay;
    type Setup = TxnSetup;

    const KEEPS: &'static str = "transactions";

    fn on(&mut self, event: Event, now: Now) -> Effects {
        self.now = now;
        self.handle(event);
        std::mem::take(&mut self.out)
    }

    /// A decision that a new leader could lack must not be told to anybody, nor carried out.
    fn inherit(&mut self, _: Now) -> Option<Ticket> {
        None
    }

    fn start(&mut self, now: Now) -> Effects {
        self.now = now;
        self.abort_scan_at = now.after(self.config.abort_interval_ms);
        self.expiration_scan_at = now.after(self.config.expiration_interval_ms);
        let mut decided = Vec::new();
        for (id, transaction) in &mut self.transactions {
            match transaction.stored.state {
                State::Ongoing => transaction.start_clock(now),
                State::PrepareCommit | State::PrepareAbort => decided.push(id.clone()),
                _ => {}
            }
        }
        decided.iter().for_each(|id| self.mark(id));
        std::mem::take(&mut self.out)
    }

    fn stop(mut self) -> Vec<(Token, Reply)> {
        let code = ErrorCode::NOT_COORDINATOR;
        let pending = std::mem::take(&mut self.pending).into_values();
        let pending = pending.filter_map(|pending| pending.reply);
        let thirsty = std::mem::take(&mut self.thirsty).into_iter().filter_map(unanswered);
        let told = pending.chain(thirsty).map(|(token, reply)| (token, reply.failed(code)));
        std::mem::take(&mut self.out.replies).into_iter().chain(told).collect()
    }

    fn next_deadline(&self) -> Option<u64> {
        let timeout = self.timeouts.front().map(|(at, _)| *at);
        let scans = [self.abort_scan_at, self.expiration_scan_at];
        scans.into_iter().chain(timeout).chain(self.retry_at).min()
    }

    fn is_overloaded(&self) -> bool {
        self.pending.len() + self.thirsty.len() >= PENDING_APPENDS_MAX
    }

    fn count(&self) -> usize {
        self.transactions.len()
    }
}

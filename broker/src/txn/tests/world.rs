//! A shard with a clock, a log and partitions that the test holds in its hands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vltava_wire::batch::{BatchBuilder, Batches};
use vltava_wire::{ErrorCode, Offset, Str};

use crate::shard::{Loader, Machine, Now, Outcome, Record, Ticket, Token};
use crate::txn::calls::{EndCall, InitCall, PartitionsCall, TopicPartition};
use crate::txn::config::TxnConfig;
use crate::txn::machine::{Effects, Event, Marked, Markers, Order, Reply, Shard};
use crate::txn::record::TxnReplay;
use crate::txn::state::{State, Stored};

/// The transactional id that most scenarios are about.
pub(super) const ID: &str = "t";

/// A timeout that no scenario reaches by chance, in ms.
pub(super) const TIMEOUT_MS: i32 = 60_000;

pub(super) fn at(topic: &str, index: i32) -> TopicPartition {
    (Str::from(topic), index)
}

pub(super) struct World {
    pub(super) shard: Shard,
    pub(super) now: Now,
    pub(super) config: TxnConfig,
    pub(super) level: i16,
    tokens: u64,
    replies: BTreeMap<Token, Reply>,
    /// What lies in the log.
    pub(super) log: Vec<Record>,
    /// What lies in the log and is not committed, with the length of the log behind it.
    pub(super) uncommitted: VecDeque<(Ticket, usize)>,
    pub(super) committed: usize,
    /// Whether appends are committed at once.
    pub(super) commits: bool,
    /// What appends are refused with, if they are.
    pub(super) refuses: Option<ErrorCode>,
    /// Markers that were ordered.
    pub(super) markers: Vec<Markers>,
    /// Whether partitions take their markers at once.
    pub(super) marks: bool,
    /// Producer ids that were drawn, and what draws are refused with, if they are.
    pub(super) drawn: i64,
    pub(super) no_ids: Option<ErrorCode>,
}

impl World {
    /// With `transaction.version` at that level.
    pub(super) fn at_level(level: i16) -> Self {
        Self::with(TxnConfig::default(), level)
    }

    pub(super) fn with(config: TxnConfig, level: i16) -> Self {
        let mut world = Self {
            shard: Shard::new(config.clone()),
            now: Now { mono: 1_000_000, wall: 1_700_000_000_000 },
            config,
            level,
            tokens: 0,
            replies: BTreeMap::new(),
            log: Vec::new(),
            uncommitted: VecDeque::new(),
            committed: 0,
            commits: true,
            refuses: None,
            markers: Vec::new(),
            marks: true,
            drawn: 1000,
            no_ids: None,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.feed(Event::Level(self.level));
        let effects = self.shard.start(self.now);
        self.carry_out(effects);
    }

    /// The coordinator dies, and another one loads what is committed, or all that lies in the
    /// log: the same, as nothing is acted upon before it is.
    pub(super) fn fail_over(&mut self, keeps: usize) {
        let keeps = keeps.clamp(self.committed, self.log.len());
        self.log.truncate(keeps);
        self.committed = keeps;
        self.uncommitted.clear();
        self.markers.clear();
        let mut loader = Loader::new(TxnReplay::new(self.config.clone()), Offset::ZERO);
        if !self.log.is_empty() {
            let mut batch = BatchBuilder::new(Offset::ZERO);
            for record in &self.log {
                batch.append(self.now.wall, Some(&record.key), record.value.as_deref(), &[]);
            }
            let bytes = batch.build();
            assert_eq!(Batches::new(&bytes).count(), 1);
            loader.take(&bytes).expect("what was written can be read");
        }
        self.shard = loader.finish().expect("what was written can be read");
        self.begin();
    }

    pub(super) fn feed(&mut self, event: Event) {
        let effects = self.shard.on(event, self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        for append in effects.appends {
            if let Some(code) = self.refuses {
                self.feed(Outcome::Refused(append.ticket, code).into());
                continue;
            }
            self.log.extend(append.records);
            self.uncommitted.push_back((append.ticket, self.log.len()));
            self.feed(Outcome::Written(append.ticket).into());
        }
        for order in effects.orders {
            match order {
                Order::DrawProducerId => {
                    self.drawn += 1;
                    let drawn = self.no_ids.map_or(Ok(self.drawn), Err);
                    self.feed(Event::ProducerId(drawn));
                }
                Order::Mark(markers) => {
                    self.markers.push(markers);
                    if self.marks {
                        self.mark_all();
                    }
                }
            }
        }
        for (token, reply) in effects.replies {
            let before = self.replies.insert(token, reply);
            assert!(before.is_none(), "{token:?} was answered twice");
        }
        if self.commits {
            self.commit_all();
        }
    }

    /// The high watermark passes all that was appended.
    pub(super) fn commit_all(&mut self) {
        while self.commit_one() {}
    }

    /// The high watermark passes one append more; false if there is none.
    pub(super) fn commit_one(&mut self) -> bool {
        let Some((ticket, end)) = self.uncommitted.pop_front() else { return false };
        self.committed = end;
        self.feed(Outcome::Committed(ticket).into());
        true
    }

    /// Every partition takes the markers that were ordered.
    pub(super) fn mark_all(&mut self) {
        for markers in std::mem::take(&mut self.markers) {
            self.feed(Event::Marked(Marked {
                id: markers.id,
                producer_id: markers.producer_id,
                producer_epoch: markers.producer_epoch,
                partitions: markers.partitions.into_iter().collect(),
            }));
        }
    }

    /// Lets time pass, and whatever falls due happen in its turn.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        while let Some(next) = self.shard.next_deadline().filter(|next| *next <= end) {
            let step = next.saturating_sub(self.now.mono);
            self.now.mono += step;
            self.now.wall += step as i64;
            self.feed(Outcome::Tick.into());
        }
        let rest = end - self.now.mono;
        self.now.mono += rest;
        self.now.wall += rest as i64;
    }

    pub(super) fn send(&mut self, event: impl FnOnce(Token) -> Event) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.feed(event(token));
        token
    }

    /// The answer to a request, if it has come.
    pub(super) fn answer(&self, token: Token) -> Option<&Reply> {
        self.replies.get(&token)
    }

    pub(super) fn init(&mut self, expected: Option<(i64, i16)>) -> Result<(i64, i16), ErrorCode> {
        let call = InitCall { id: ID.into(), timeout_ms: TIMEOUT_MS, expected };
        let token = self.send(|token| Event::Init(token, call));
        match self.answer(token) {
            Some(Reply::Init(outcome)) => *outcome,
            other => panic!("{other:?} answers an InitProducerId"),
        }
    }

    pub(super) fn add(&mut self, (producer_id, epoch): (i64, i16), index: i32) -> ErrorCode {
        let call = self.partitions((producer_id, epoch), &[index]);
        let token = self.send(|token| Event::Add(token, call));
        match self.answer(token) {
            Some(Reply::Add(code)) => *code,
            other => panic!("{other:?} answers an AddPartitionsToTxn"),
        }
    }

    pub(super) fn partitions(
        &self,
        (producer_id, producer_epoch): (i64, i16),
        indexes: &[i32],
    ) -> PartitionsCall {
        PartitionsCall {
            id: ID.into(),
            producer_id,
            producer_epoch,
            partitions: indexes.iter().map(|index| at("a", *index)).collect(),
            client_version: self.level,
        }
    }

    pub(super) fn ending(&self, (producer_id, epoch): (i64, i16), commits: bool) -> EndCall {
        EndCall {
            id: ID.into(),
            producer_id,
            producer_epoch: epoch,
            commits,
            client_version: self.level,
        }
    }

    pub(super) fn end(
        &mut self,
        identity: (i64, i16),
        commits: bool,
    ) -> Result<(i64, i16), ErrorCode> {
        let call = self.ending(identity, commits);
        let token = self.send(|token| Event::End(token, call));
        match self.answer(token) {
            Some(Reply::End(outcome)) => *outcome,
            other => panic!("{other:?} answers an EndTxn"),
        }
    }

    pub(super) fn stored(&self) -> &Stored {
        self.shard.stored(ID).expect("the id is known")
    }

    pub(super) fn state(&self) -> State {
        self.stored().state
    }

    /// Brings an id into a state, with that producer.
    pub(super) fn put(&mut self, state: State, producer_id: i64, epoch: i16) {
        let now = self.now;
        let mut stored = Stored::new(producer_id, TIMEOUT_MS, now);
        stored.state = state;
        stored.producer_epoch = epoch;
        stored.client_version = self.level;
        if !matches!(state, State::Empty | State::CompleteCommit | State::CompleteAbort) {
            stored.partitions = BTreeSet::from([at("a", 0)]);
            stored.start_ms = now.wall;
        }
        self.log = vec![crate::txn::record::transaction(&ID.into(), Some(&stored), self.level)];
        self.committed = 1;
        self.marks = false;
        self.fail_over(1);
    }
}

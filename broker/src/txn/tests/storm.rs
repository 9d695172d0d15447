//! A coordinator that dies at any step, clients that come again and fence each other, partition
//! leaders that get markers late, twice, and from those who are no coordinators any more.
//!
//! Every request and every answer is a message that may be delayed, doubled or lost. In the end,
//! once everything has been delivered, no transaction is open in any partition; what was committed
//! is committed in all its partitions, and nothing else is; and nobody who was fenced got through.

use std::collections::{BTreeMap, BTreeSet};

use vltava_wire::{ErrorCode, Str};

use super::world::{World, at};
use crate::shard::Token;
use crate::txn::calls::{EPOCH_PER_TRANSACTION, EndCall, InitCall, PartitionsCall, TopicPartition};
use crate::txn::config::TxnConfig;
use crate::txn::machine::{Event, Marked, Markers, Reply};

/// Seeds of a run; more by the variable `VLTAVA_TXN_SEEDS`.
const SEEDS: u64 = 300;
const STEPS: usize = 600;
const PARTITIONS: i32 = 3;

/// The same on every machine, by the seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("small")
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// What lies in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Data { transaction: usize, producer_id: i64 },
    Marker { producer_id: i64, commits: bool },
}

#[derive(Default)]
struct Producer {
    epoch: i16,
    is_open: bool,
    coordinator_epoch: i32,
    question: Option<u64>,
}

/// A partition's leader, as far as transactions go.
#[derive(Default)]
struct Leader {
    log: Vec<Item>,
    producers: BTreeMap<i64, Producer>,
    questions: u64,
}

impl Leader {
    fn mark(&mut self, markers: &Markers, coordinator_epoch: i32) -> bool {
        let producer = self.producers.entry(markers.producer_id).or_default();
        // Where a transaction has its own epoch, a late marker is not to end the next one.
        let is_late = markers.client_version >= EPOCH_PER_TRANSACTION
            && producer.is_open
            && markers.producer_epoch <= producer.epoch;
        if is_late
            || markers.producer_epoch < producer.epoch
            || coordinator_epoch < producer.coordinator_epoch
        {
            return false;
        }
        producer.epoch = markers.producer_epoch;
        producer.coordinator_epoch = coordinator_epoch;
        producer.is_open = false;
        producer.question = None;
        let (producer_id, commits) = (markers.producer_id, markers.commits);
        self.log.push(Item::Marker { producer_id, commits });
        true
    }

    /// The number to append with; none if the transaction is open already.
    fn ask(&mut self, (producer_id, epoch): (i64, i16)) -> Option<u64> {
        let producer = self.producers.entry(producer_id).or_default();
        if producer.is_open && producer.epoch == epoch {
            return None;
        }
        self.questions += 1;
        producer.question = Some(self.questions);
        Some(self.questions)
    }

    fn append(&mut self, who: (i64, i16), number: Option<u64>, transaction: usize) -> bool {
        let producer = self.producers.entry(who.0).or_default();
        let is_open = producer.is_open && producer.epoch == who.1;
        if who.1 < producer.epoch || !(is_open || number.is_some() && number == producer.question) {
            return false;
        }
        producer.epoch = who.1;
        producer.is_open = true;
        self.log.push(Item::Data { transaction, producer_id: who.0 });
        true
    }
}

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doing {
    Taking,
    Idle,
    /// Wants to write to that partition; the token of the question that it waits for.
    Writing {
        index: i32,
        number: Option<u64>,
        asked: Option<Token>,
    },
    /// Has asked for the end.
    Ending {
        commits: bool,
        asked: Option<Token>,
    },
    Fenced,
}

struct Client {
    id: Str,
    version: i16,
    identity: Option<(i64, i16)>,
    doing: Doing,
    asked: Option<Token>,
    transaction: usize,
    left_to_write: usize,
}

/// What is known of a transaction from outside.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Whether an end that was asked for was acknowledged, and which.
    acknowledged: Option<bool>,
    /// Whether its commit was ever asked for.
    asked_commit: bool,
    /// The producer had been fenced when the end was asked for.
    was_fenced: bool,
}

struct Storm {
    dice: Dice,
    world: World,
    coordinator_epoch: i32,
    leaders: Vec<Leader>,
    clients: Vec<Client>,
    transactions: Vec<Known>,
    /// Markers under way: whose, and where to.
    flying: Vec<(i32, Markers, TopicPartition)>,
    /// Answers of leaders under way.
    answers: Vec<(i32, Marked)>,
    /// The latest identity that anybody took each id over with: ids and epochs only grow.
    owners: BTreeMap<Str, (i64, i16)>,
    /// How often the coordinator died.
    deaths: usize,
}

impl Storm {
    fn new(seed: u64, level: i16) -> Self {
        let mut world = World::with(TxnConfig::default(), level);
        world.commits = false;
        world.marks = false;
        Self {
            dice: Dice(seed),
            world,
            coordinator_epoch: 0,
            leaders: (0..PARTITIONS).map(|_| Leader::default()).collect(),
            clients: Vec::new(),
            transactions: Vec::new(),
            flying: Vec::new(),
            answers: Vec::new(),
            owners: BTreeMap::new(),
            deaths: 0,
        }
    }

    fn collect_orders(&mut self) {
        for markers in std::mem::take(&mut self.world.markers) {
            for partition in markers.partitions.clone() {
                self.flying.push((self.coordinator_epoch, markers.clone(), partition));
            }
        }
    }

    fn die(&mut self) {
        self.deaths += 1;
        let (low, high) = (self.world.committed, self.world.log.len());
        let keeps = low + self.dice.roll(high - low + 1);
        self.coordinator_epoch += 1;
        self.world.fail_over(keeps);
        self.collect_orders();
    }

    fn new_client(&mut self) {
        let number = self.dice.roll(2);
        // Old clients speak the old protocol, and the level of the cluster is another matter.
        let version = if number == 0 { self.world.level } else { 0 };
        self.clients.push(Client {
            id: Str::from(format!("id-{number}")),
            version,
            identity: None,
            doing: Doing::Taking,
            asked: None,
            transaction: 0,
            left_to_write: 0,
        });
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0 if self.clients.len() < 12 => self.new_client(),
            1..=4 => drop(self.world.commit_one()),
            5..=7 => self.deliver_marker(),
            8 | 9 => self.deliver_answer(),
            10 => self.send_markers_again(),
            11 => {
                let ms = self.dice.roll(3_000) as u64;
                self.world.pass(ms);
            }
            _ if !self.clients.is_empty() => {
                let who = self.dice.roll(self.clients.len());
                self.act(who);
            }
            _ => self.new_client(),
        }
        self.collect_orders();
    }

    fn deliver_marker(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.dice.roll(self.flying.len());
        // It may come twice, but for the old protocol, which cannot tell then.
        let has_own_epoch = self.flying[at].1.client_version >= EPOCH_PER_TRANSACTION;
        let (epoch, markers, partition) = match has_own_epoch && self.dice.one_in(8) {
            true => self.flying[at].clone(),
            false => self.flying.swap_remove(at),
        };
        let leader = &mut self.leaders[partition.1 as usize];
        if leader.mark(&markers, epoch) && !self.dice.one_in(6) {
            let marked = Marked {
                id: markers.id,
                producer_id: markers.producer_id,
                producer_epoch: markers.producer_epoch,
                partitions: vec![partition],
            };
            self.answers.push((epoch, marked));
        }
    }

    fn deliver_answer(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let at = self.dice.roll(self.answers.len());
        let (epoch, marked) = self.answers.swap_remove(at);
        // A driver that was closed listens to nobody.
        if epoch == self.coordinator_epoch {
            self.world.feed(Event::Marked(marked));
        }
    }

    /// What the sender of markers does: again to whom it has not heard of.
    fn send_markers_again(&mut self) {
        let shard = &self.world.shard;
        let mut again = Vec::new();
        for (id, transaction) in &shard.transactions {
            let stored = &transaction.stored;
            if !stored.state.is_prepared() || transaction.pending.is_some() {
                continue;
            }
            for partition in &transaction.unmarked {
                let markers = Markers {
                    id: id.clone(),
                    producer_id: stored.producer_id,
                    producer_epoch: stored.producer_epoch,
                    commits: stored.state == crate::txn::state::State::PrepareCommit,
                    client_version: stored.client_version,
                    partitions: stored.partitions.clone(),
                };
                let message = (self.coordinator_epoch, markers, partition.clone());
                // One call after the other, as the sender does.
                if !self.flying.contains(&message) {
                    again.push(message);
                }
            }
        }
        self.flying.extend(again);
    }

    fn act(&mut self, who: usize) {
        match self.clients[who].doing.clone() {
            Doing::Taking => self.take_over(who),
            Doing::Idle => self.begin(who),
            Doing::Writing { index, number, asked } => self.write(who, index, number, asked),
            Doing::Ending { commits, asked } => self.end(who, commits, asked),
            Doing::Fenced => {}
        }
    }

    /// The answer to a question, if it is there. One that will never come, as its coordinator is
    /// dead, counts as an error to come again for.
    fn answer_to(&self, token: Token) -> Option<Reply> {
        self.world.answer(token).cloned()
    }

    fn take_over(&mut self, who: usize) {
        let client = &self.clients[who];
        let Some(token) = client.asked else {
            let call = InitCall { id: client.id.clone(), timeout_ms: 20_000, expected: None };
            let token = self.world.send(|token| Event::Init(token, call));
            self.clients[who].asked = Some(token);
            return;
        };
        match self.answer_to(token) {
            Some(Reply::Init(Ok(identity))) => {
                let client = &mut self.clients[who];
                client.identity = Some(identity);
                client.doing = Doing::Idle;
                client.asked = None;
                let owner = self.owners.entry(client.id.clone()).or_insert(identity);
                *owner = identity.max(*owner);
            }
            Some(_) => self.clients[who].asked = None,
            // Nobody may ever answer: it asks again after a while.
            None if self.dice.one_in(20) => self.clients[who].asked = None,
            None => {}
        }
    }

    fn begin(&mut self, who: usize) {
        self.transactions.push(Known::default());
        let client = &mut self.clients[who];
        client.transaction = self.transactions.len() - 1;
        client.left_to_write = 1 + self.dice.roll(4);
        self.next_write(who);
    }

    fn next_write(&mut self, who: usize) {
        let index = self.dice.roll(PARTITIONS as usize) as i32;
        self.clients[who].doing = Doing::Writing { index, number: None, asked: None };
    }

    fn write(&mut self, who: usize, index: i32, number: Option<u64>, asked: Option<Token>) {
        let client = &self.clients[who];
        let identity = client.identity.expect("it has taken over");
        let call = PartitionsCall {
            id: client.id.clone(),
            producer_id: identity.0,
            producer_epoch: identity.1,
            partitions: BTreeSet::from([at("a", index)]),
            client_version: client.version,
        };
        let Some(token) = asked else {
            let number = self.leaders[index as usize].ask(identity);
            let token = self.world.send(|token| Event::Add(token, call));
            self.clients[who].doing = Doing::Writing { index, number, asked: Some(token) };
            return;
        };
        match self.answer_to(token) {
            Some(Reply::Add(ErrorCode::NONE)) => {
                let transaction = self.clients[who].transaction;
                // By the old protocol the leader asks as well, after the client has added.
                let is_verified = self.clients[who].version >= EPOCH_PER_TRANSACTION
                    || self.world.shard.verify(&call).is_ok_and(|it| it[0].1.is_ok());
                let leader = &mut self.leaders[index as usize];
                if !is_verified || !leader.append(identity, number, transaction) {
                    self.clients[who].doing = Doing::Ending { commits: false, asked: None };
                    return;
                }
                self.clients[who].left_to_write -= 1;
                match self.clients[who].left_to_write {
                    0 => {
                        let commits = !self.dice.one_in(3);
                        self.clients[who].doing = Doing::Ending { commits, asked: None };
                    }
                    _ => self.next_write(who),
                }
            }
            Some(Reply::Add(code)) => self.refused(who, code, |doing| match doing {
                Doing::Writing { index, .. } => Doing::Writing { index, number: None, asked: None },
                other => other,
            }),
            None if self.dice.one_in(20) => self.next_write(who),
            _ => {}
        }
    }

    fn end(&mut self, who: usize, commits: bool, asked: Option<Token>) {
        let client = &self.clients[who];
        let identity = client.identity.expect("it has taken over");
        let Some(token) = asked else {
            let known = &mut self.transactions[client.transaction];
            known.asked_commit |= commits;
            known.was_fenced |= self.owners.get(&client.id).is_some_and(|last| *last > identity);
            let call = EndCall {
                id: client.id.clone(),
                producer_id: identity.0,
                producer_epoch: identity.1,
                commits,
                client_version: client.version,
            };
            let doubled = self.dice.one_in(5).then(|| call.clone());
            let token = self.world.send(|token| Event::End(token, call));
            if let Some(call) = doubled {
                self.world.send(|token| Event::End(token, call));
            }
            self.clients[who].doing = Doing::Ending { commits, asked: Some(token) };
            return;
        };
        match self.answer_to(token) {
            Some(Reply::End(Ok(next))) => {
                let client = &mut self.clients[who];
                self.transactions[client.transaction].acknowledged = Some(commits);
                if client.version >= EPOCH_PER_TRANSACTION {
                    client.identity = Some(next);
                }
                client.doing = Doing::Idle;
            }
            Some(Reply::End(Err(code))) => {
                self.refused(who, code, |_| Doing::Ending { commits, asked: None });
            }
            None if self.dice.one_in(20) => {
                self.clients[who].doing = Doing::Ending { commits, asked: None };
            }
            _ => {}
        }
    }

    /// Comes again, or gives up, as clients do.
    fn refused(&mut self, who: usize, code: ErrorCode, again: impl FnOnce(Doing) -> Doing) {
        let doing = self.clients[who].doing.clone();
        self.clients[who].doing = match code {
            ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::COORDINATOR_NOT_AVAILABLE => again(doing),
            _ => Doing::Fenced,
        };
    }

    /// Everything is delivered, whoever left a transaction open runs out of time, and all ends.
    fn calm(&mut self) {
        for _ in 0..60 {
            self.world.commit_all();
            self.collect_orders();
            while !self.flying.is_empty() {
                self.deliver_marker();
            }
            while !self.answers.is_empty() {
                self.deliver_answer();
            }
            self.world.commit_all();
            self.world.pass(5_000);
            self.send_markers_again();
        }
        self.world.commit_all();
    }

    /// How a record of a partition came out.
    fn outcome(&self, index: usize, at: usize, producer_id: i64) -> Option<bool> {
        self.leaders[index].log[at..].iter().find_map(|item| match item {
            Item::Marker { producer_id: id, commits } if *id == producer_id => Some(*commits),
            _ => None,
        })
    }

    fn check(&self, about: &str) {
        for transaction in self.world.shard.transactions.values() {
            let state = transaction.stored.state;
            assert!(!state.is_prepared(), "{about}: a decision is not carried out");
            assert_ne!(state, crate::txn::state::State::Ongoing, "{about}: one goes on for ever");
        }
        let mut outcomes: BTreeMap<usize, bool> = BTreeMap::new();
        for (index, leader) in self.leaders.iter().enumerate() {
            for (id, producer) in &leader.producers {
                assert!(!producer.is_open, "{about}: a-{index} has one of {id} open");
            }
            for (at, item) in leader.log.iter().enumerate() {
                let Item::Data { transaction, producer_id } = *item else { continue };
                let outcome = self.outcome(index, at, producer_id);
                let outcome = outcome.unwrap_or_else(|| panic!("{about}: a record hangs"));
                let before = *outcomes.entry(transaction).or_insert(outcome);
                assert_eq!(before, outcome, "{about}: {transaction} is torn in two");
            }
        }
        for (number, known) in self.transactions.iter().enumerate() {
            let Some(outcome) = outcomes.get(&number) else { continue };
            if let Some(acknowledged) = known.acknowledged {
                assert_eq!(*outcome, acknowledged, "{about}: {number} came out otherwise");
            }
            assert!(!*outcome || known.asked_commit, "{about}: nobody committed {number}");
            assert!(
                !(*outcome && known.was_fenced && known.acknowledged == Some(true)),
                "{about}: {number} was committed by one who was fenced"
            );
        }
    }
}

#[test]
fn whatever_dies_and_comes_late_transactions_end_whole_and_once() {
    let seeds = std::env::var("VLTAVA_TXN_SEEDS")
        .map_or(SEEDS, |seeds| seeds.parse().expect("VLTAVA_TXN_SEEDS is a number"));
    let (mut commits, mut aborts, mut deaths) = (0, 0, 0);
    for seed in 0..seeds {
        for level in [0, 2] {
            let mut storm = Storm::new(seed, level);
            for _ in 0..STEPS {
                storm.step();
                if storm.dice.one_in(60) {
                    storm.die();
                }
            }
            storm.calm();
            storm.check(&format!("seed {seed}, level {level}"));
            let count = |outcome| {
                let known = storm.transactions.iter();
                known.filter(|known| known.acknowledged == Some(outcome)).count()
            };
            commits += count(true);
            aborts += count(false);
            deaths += storm.deaths;
        }
    }
    let found = format!("{commits} commits, {aborts} aborts, {deaths} deaths of the coordinator");
    assert!(commits as u64 > seeds && aborts as u64 > seeds / 2, "{found}");
}

#[test]
fn a_coordinator_that_dies_once_at_any_step_loses_nothing() {
    for level in [0, 2] {
        for death in 0..STEPS / 2 {
            let mut storm = Storm::new(42, level);
            for step in 0..STEPS / 2 {
                storm.step();
                if step == death {
                    storm.die();
                }
            }
            storm.calm();
            storm.check(&format!("seed 42, level {level}, death at step {death}"));
        }
    }
}

#[test]
fn a_storm_is_deterministic() {
    let run = || {
        let mut storm = Storm::new(7, 2);
        (0..STEPS).for_each(|_| storm.step());
        (storm.world.log.len(), storm.leaders.iter().map(|it| it.log.len()).collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}

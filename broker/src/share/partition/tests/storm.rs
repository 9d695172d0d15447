//! Share-partitions in a storm: members that come, die, and acknowledge as they like, leaders that
//! are lost in the middle of a write, writes whose outcome nobody learns.

use std::collections::{BTreeMap, BTreeSet};

use vltava_wire::records::share_state::StateBatch as WireBatch;

use super::*;
use crate::share::coordinator::batches::combine;

const SEEDS: u64 = 300;
const RECORDS: i64 = 60;
const LIMITS: Limits = Limits { deliveries_max: 4, in_flight_max: 25 };
const LOCK: u64 = 10;
const MEMBERS: [&str; 3] = ["a", "b", "c"];

/// Numbers out of a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) % end
    }
}

/// The share coordinator, as far as one share-partition is concerned.
#[derive(Default)]
struct Store {
    start: i64,
    batches: Vec<WireBatch>,
}

impl Store {
    fn take(&mut self, write: &Write) {
        let new = write.batches.iter().map(|batch| WireBatch {
            first_offset: batch.first,
            last_offset: batch.last,
            delivery_state: batch.state.code(),
            delivery_count: batch.count,
        });
        self.batches = combine(&self.batches, &new.collect::<Vec<_>>(), write.start);
        self.start = write.start;
    }

    fn load(&self) -> SharePartition {
        let batch = |batch: &WireBatch| StateBatch {
            first: batch.first_offset,
            last: batch.last_offset,
            state: RecordState::from_code(batch.delivery_state).expect("a state"),
            count: batch.delivery_count,
        };
        let batches = self.batches.iter().map(batch).collect();
        SharePartition::load(&Stored { state_epoch: 0, start: self.start, batches }, LIMITS)
    }
}

/// The world around a share-partition.
struct World {
    random: Random,
    now: u64,
    store: Store,
    it: SharePartition,
    /// A write that is on its way.
    write: Option<Write>,
    /// What each write number promises to acknowledge, as final or not.
    waiting: BTreeMap<u64, Vec<(i64, bool)>>,
    /// Who believes to hold what, and until when.
    held: BTreeMap<i64, (&'static str, u64)>,
    /// What members were told is done with.
    done: BTreeSet<i64>,
    delivered: BTreeMap<i64, u32>,
}

impl World {
    fn new(seed: u64) -> Self {
        let store = Store::default();
        let it = store.load();
        Self {
            random: Random(seed),
            now: 0,
            store,
            it,
            write: None,
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            done: BTreeSet::new(),
            delivered: BTreeMap::new(),
        }
    }

    /// The log: batches of one to four records, with a hole now and then.
    fn log_from(&self, from: i64) -> Vec<LogBatch> {
        let mut batches = Vec::new();
        let mut first = 0;
        while first < RECORDS {
            let last = (first + first % 4).min(RECORDS - 1);
            if last >= from && first % 7 != 3 {
                batches.push(LogBatch { first, last, void: first % 11 == 5 });
            }
            first = last + 1;
        }
        batches
    }

    fn exists(&self, offset: i64) -> bool {
        let batches = self.log_from(0);
        batches.iter().any(|batch| !batch.void && (batch.first..=batch.last).contains(&offset))
    }

    fn fetch(&mut self, member: &'static str) {
        let Some(from) = self.it.next_fetch_offset() else { return };
        let batches = self.log_from(from);
        if batches.is_empty() {
            return self.it.nothing_between(from, RECORDS);
        }
        let appetite = Appetite {
            max_records: 1 + self.random.below(12) as i64,
            batch_size: 4,
            strict: self.random.below(3) == 0,
        };
        let until = self.now + LOCK;
        let given = self.it.acquire(&member.into(), from, &batches, appetite, until);
        for run in given {
            assert!(run.count >= 1 && run.count <= LIMITS.deliveries_max, "{run:?}");
            for offset in run.first..=run.last {
                assert!(self.exists(offset), "offset {offset} is of no record");
                assert!(!self.done.contains(&offset), "offset {offset} was done with");
                if let Some((holder, until)) = self.held.get(&offset) {
                    assert!(*until <= self.now, "{holder} still holds {offset}");
                }
                self.held.insert(offset, (member, until));
                *self.delivered.entry(offset).or_default() += 1;
            }
        }
    }

    fn acknowledge(&mut self, member: &'static str) {
        let own: Vec<i64> = self
            .held
            .iter()
            .filter(|(_, (holder, _))| *holder == member)
            .map(|(at, _)| *at)
            .collect();
        if own.is_empty() {
            return;
        }
        let at = own[self.random.below(own.len() as u64) as usize];
        let kind = match self.random.below(8) {
            0 => Acknowledge::Release,
            1 => Acknowledge::Reject,
            2 => Acknowledge::Renew,
            _ => Acknowledge::Accept,
        };
        let until = self.now + LOCK;
        let batch = AckBatch { first: at, last: at, kinds: vec![kind] };
        match self.it.acknowledge(member, &[batch], until) {
            Ok(Some(number)) => {
                let is_final = kind != Acknowledge::Release;
                self.waiting.entry(number).or_default().push((at, is_final));
            }
            Ok(None) if kind == Acknowledge::Renew && at >= self.it.start() => {
                self.held.insert(at, (member, until));
            }
            // It is not held any more: its lock ran out, or its leader was lost.
            Ok(None) | Err(_) => {}
        }
    }

    fn write(&mut self) {
        match self.write.take() {
            None => self.write = self.it.begin_write(),
            Some(write) => {
                let stored = self.random.below(4) != 0;
                // An error may come though it was stored.
                if stored || self.random.below(2) == 0 {
                    self.store.take(&write);
                }
                self.it.end_write(write.number, stored);
                for (at, is_final) in self.waiting.remove(&write.number).unwrap_or_default() {
                    if !stored {
                        continue;
                    }
                    self.held.remove(&at);
                    if is_final {
                        self.done.insert(at);
                    }
                }
            }
        }
    }

    /// The leader is lost; the write that was on its way may arrive, or not.
    fn crash(&mut self) {
        if let Some(write) = self.write.take()
            && self.random.below(2) == 0
        {
            self.store.take(&write);
        }
        self.waiting.clear();
        self.held.clear();
        self.it = self.store.load();
    }

    fn step(&mut self) {
        let member = MEMBERS[self.random.below(3) as usize];
        match self.random.below(40) {
            0 => self.crash(),
            1 => {
                self.it.release(member);
                self.held.retain(|_, (holder, _)| *holder != member);
            }
            2..=5 => {
                self.now += self.random.below(LOCK);
                self.it.expire(self.now);
            }
            6..=15 => self.fetch(member),
            16..=30 => self.acknowledge(member),
            _ => self.write(),
        }
    }

    /// A calm end: all that is left is given out and accepted.
    fn finish(&mut self) {
        for _ in 0..20 * RECORDS {
            self.now += LOCK;
            self.it.expire(self.now);
            self.fetch("a");
            let own: Vec<i64> = self.held.keys().copied().collect();
            for at in own {
                let batch = AckBatch { first: at, last: at, kinds: vec![Acknowledge::Accept] };
                if let Ok(Some(_)) = self.it.acknowledge("a", &[batch], 0) {
                    self.done.insert(at);
                }
                self.held.remove(&at);
            }
            if self.write.is_none() {
                self.write = self.it.begin_write();
            }
            if let Some(write) = self.write.take() {
                self.store.take(&write);
                self.it.end_write(write.number, true);
            }
        }
        assert_eq!(self.it.start(), RECORDS, "something is never done with");
        for offset in (0..RECORDS).filter(|offset| self.exists(*offset)) {
            assert!(self.delivered.contains_key(&offset), "offset {offset} was lost");
        }
    }
}

#[test]
fn nothing_is_lost_and_what_is_done_with_never_comes_back() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..600 {
                world.step();
            }
            world.finish();
        });
        assert!(run.is_ok(), "seed {seed} failed");
    }
}

//! What was appended, and what a reader of the compacted log must see of it.

use std::collections::{BTreeMap, BTreeSet};

use vltava_log::{Log, ReadError};
use vltava_wire::Offset;
use vltava_wire::batch::Batches;

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub key: Vec<u8>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    pub timestamp: i64,
}

/// A batch as it was appended, where the next one may start anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub producer: i64,
    pub epoch: i16,
    pub last_sequence: i32,
    pub last_offset: i64,
    /// A round has covered it when it was not its producer's last: nothing of it may be left.
    pub may_be_gone: bool,
}

/// Something that happened to a transaction.
#[derive(Clone, Debug)]
pub struct Event {
    pub producer: i64,
    /// The last offset of its batch.
    pub offset: i64,
    pub step: Step,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Records were written, from that offset on.
    Wrote(i64),
    /// It ended; whether it was committed.
    Ended(bool),
}

/// What the log should be.
#[derive(Debug, Default)]
pub struct Model {
    /// All data records that are in the log or were compacted away.
    pub records: BTreeMap<i64, Told>,
    /// Batches of idempotent producers, in order.
    pub sent: Vec<Sent>,
    /// All that happened to transactions, in order.
    pub events: Vec<Event>,
    /// Records of transactions that are open.
    pub undecided: BTreeSet<i64>,
    /// Records of aborted transactions.
    pub aborted: BTreeSet<i64>,
    /// Where the log starts.
    pub start: i64,
    /// Where the log ends.
    pub end: i64,
    /// All below is committed.
    pub committed: i64,
    /// No round has ever gone beyond.
    pub touched: i64,
    /// When a round first covered a tombstone, in ms since 1970.
    pub covered: BTreeMap<i64, i64>,
    /// When a round that was completed first covered a tombstone, in ms since 1970.
    pub settled: BTreeMap<i64, i64>,
    pub delete_retention_ms: i64,
    /// The latest time of a round.
    pub last_round_ms: i64,
}

impl Model {
    /// Records at or after `offset` are gone.
    pub fn truncate(&mut self, offset: i64) {
        self.records.split_off(&offset);
        self.covered.split_off(&offset);
        self.settled.split_off(&offset);
        self.sent.retain(|sent| sent.last_offset < offset);
        self.events.retain(|event| event.offset < offset);
        self.decide();
        self.end = self.end.min(offset);
    }

    /// Notes something that happened to a transaction.
    pub fn happened(&mut self, event: Event) {
        self.events.push(event);
        self.decide();
    }

    /// Finds out which records are of open, and which of aborted transactions.
    fn decide(&mut self) {
        let (mut aborted, mut open) = (BTreeSet::new(), BTreeMap::<i64, BTreeSet<i64>>::new());
        for event in &self.events {
            let records = open.entry(event.producer).or_default();
            match event.step {
                Step::Wrote(from) => records.extend(from..=event.offset),
                Step::Ended(true) => records.clear(),
                Step::Ended(false) => aborted.append(records),
            }
        }
        self.undecided = open.into_values().flatten().collect();
        self.aborted = aborted;
    }

    /// Whether a producer has a transaction open.
    pub fn is_open(&self, producer: i64) -> bool {
        let last = self.events.iter().rfind(|event| event.producer == producer);
        last.is_some_and(|event| matches!(event.step, Step::Wrote(_)))
    }

    /// Where the first open transaction begins, if all that have ended are committed.
    pub fn first_open(&self) -> Option<Option<i64>> {
        let is_ending =
            |event: &Event| matches!(event.step, Step::Ended(_)) && event.offset >= self.committed;
        let is_known = !self.events.iter().any(is_ending);
        is_known.then(|| self.undecided.first().copied())
    }

    /// A round began that may go up to `bound`.
    pub fn round_begins(&mut self, bound: i64, now_ms: i64) {
        self.touched = self.touched.max(bound);
        self.last_round_ms = self.last_round_ms.max(now_ms);
        let below = self.records.range(..bound).filter(|(_, told)| told.value.is_none());
        let tombstones: Vec<i64> = below.map(|(offset, _)| *offset).collect();
        let mut later = BTreeSet::new();
        for sent in self.sent.iter_mut().rev() {
            let is_last = later.insert(sent.producer);
            sent.may_be_gone |= !is_last && sent.last_offset < bound;
        }
        for offset in tombstones {
            self.covered.entry(offset).or_insert(now_ms);
        }
    }

    /// Whether what is committed tells the state of each producer by itself.
    pub fn tells_producers(&self) -> bool {
        let committed = self.sent.iter().filter(|it| it.last_offset < self.committed);
        let last: BTreeMap<_, _> = committed.map(|it| (it.producer, it.may_be_gone)).collect();
        last.values().all(|may_be_gone| !may_be_gone)
    }

    /// The last sequence number of each producer.
    pub fn producers(&self) -> BTreeMap<i64, (i16, i32)> {
        self.sent.iter().map(|it| (it.producer, (it.epoch, it.last_sequence))).collect()
    }

    /// Compares all of a log with what a reader must see.
    pub fn check(&self, log: &Log) -> Result<(), String> {
        let seen = read(log)?;
        if log.log_end_offset().0 != self.end || log.log_start_offset().0 != self.start {
            let (start, end) = (log.log_start_offset(), log.log_end_offset());
            return Err(format!("{start} to {end}, not {} to {}", self.start, self.end));
        }
        for (offset, told) in &seen {
            if self.records.get(offset) != Some(told) {
                return Err(format!("{told:?} at {offset}: {:?} was", self.records.get(offset)));
            }
        }
        let from = self.touched.max(self.start);
        let missing = self.records.range(from..).find(|(offset, _)| !seen.contains_key(offset));
        if let Some((offset, told)) = missing {
            return Err(format!("{told:?} at {offset} is missing above {from}"));
        }
        self.check_last_values(&seen)
    }

    fn check_last_values(&self, seen: &BTreeMap<i64, Told>) -> Result<(), String> {
        let mut last: BTreeMap<&[u8], (i64, &Told)> = BTreeMap::new();
        for (offset, told) in self.records.range(self.start..) {
            if !self.aborted.contains(offset) && !self.undecided.contains(offset) {
                last.insert(&told.key, (*offset, told));
            }
        }
        for (key, (offset, told)) in last {
            if seen.contains_key(&offset) {
                continue;
            }
            if told.value.is_some() {
                return Err(format!("the last of {key:?}, {told:?} at {offset}, is missing"));
            }
            let horizon = self.covered.get(&offset).map(|time| time + self.delete_retention_ms);
            if horizon.is_none_or(|horizon| self.last_round_ms < horizon) {
                return Err(format!(
                    "the tombstone of {key:?} at {offset} went before {horizon:?}"
                ));
            }
            let back = seen.iter().find(|(at, told)| told.key == key && **at < offset);
            if let Some((at, told)) = back.filter(|(at, _)| !self.aborted.contains(at)) {
                return Err(format!("{told:?} at {at} is back: {offset} was its tombstone"));
            }
        }
        Ok(())
    }

    /// After a round that went up to `end` at `now_ms`: nothing is left twice below.
    pub fn round_ended(&mut self, log: &Log, end: i64, now_ms: i64) -> Result<(), String> {
        let mut last: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for (offset, told) in read(log)?.range(..end) {
            if let Some(before) = last.insert(told.key.clone(), *offset) {
                return Err(format!("{:?} is at {before} and {offset} below {end}", told.key));
            }
            if told.value.is_some() {
                continue;
            }
            let settled = *self.settled.entry(*offset).or_insert(now_ms);
            if now_ms >= settled + self.delete_retention_ms && now_ms > settled {
                return Err(format!(
                    "the tombstone at {offset}, of {settled}, is there at {now_ms}"
                ));
            }
        }
        let aborted =
            self.aborted.range(..end).find(|offset| last.values().any(|it| it == *offset));
        aborted.map_or(Ok(()), |offset| Err(format!("{offset} was aborted, and is there")))
    }
}

/// All data records that a reader finds, whatever became of their transactions.
pub fn read(log: &Log) -> Result<BTreeMap<i64, Told>, String> {
    let mut seen = BTreeMap::new();
    let (start, mut at, mut last) = (log.log_start_offset(), log.log_start_offset(), -1);
    loop {
        let slice = match log.locate(at, 1 << 16, Offset(i64::MAX), true) {
            Ok(Some(slice)) => slice,
            Ok(None) => return Ok(seen),
            Err(ReadError::OffsetOutOfRange { .. }) if at >= log.log_end_offset() => {
                return Ok(seen);
            }
            Err(error) => return Err(format!("at {at}: {error}")),
        };
        let bytes = slice.read().map_err(|error| error.to_string())?;
        for batch in Batches::new(&bytes) {
            let batch = batch.map_err(|error| format!("at {at}: {error}"))?;
            batch.verify_crc().map_err(|error| format!("at {at}: {error}"))?;
            at = batch.header.next_offset();
            let records = batch.records(1 << 20).map_err(|error| error.to_string())?;
            for record in &records {
                let record = record.map_err(|error| error.to_string())?;
                if record.offset.0 <= last {
                    return Err(format!("{} after {last}", record.offset));
                }
                last = record.offset.0;
                if batch.header.is_control() || record.offset < start {
                    continue;
                }
                let told = Told {
                    key: record.key.unwrap_or_default().to_vec(),
                    value: record.value.map(<[u8]>::to_vec),
                    timestamp: record.timestamp,
                };
                seen.insert(record.offset.0, told);
            }
        }
    }
}

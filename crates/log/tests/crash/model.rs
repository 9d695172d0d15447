//! What a log should be: a list of batches, and what follows from it.

use std::collections::BTreeMap;

use bytes::Bytes;
use vltava_log::{EpochEntry, Log, ReadError};
use vltava_wire::batch::{Batch, BatchHeader, Batches, ControlRecordType};
use vltava_wire::{LeaderEpoch, Offset};

use crate::owner::Owner;

/// A batch as it is in the log.
#[derive(Clone, Debug)]
pub struct Kept {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

impl Kept {
    /// Whether it is the marker of an aborted transaction.
    fn aborts(&self) -> bool {
        let batch = Batch::parse(&self.bytes).expect("a whole batch");
        let records = batch.records(1 << 10).expect("records");
        let record = records.iter().next().expect("a record").expect("a whole record");
        ControlRecordType::from_key(record.key) == Ok(Some(ControlRecordType::Abort))
    }
}

/// What is known of transactions.
#[derive(Debug, Default)]
pub struct Transactions {
    /// Where each open one begins, and whose it is.
    pub open: BTreeMap<i64, i64>,
    /// Those that were aborted: whose, from, to, and what was stable then.
    pub aborted: Vec<(i64, i64, i64, i64)>,
}

/// What is known of a producer: epoch, last sequence, last offset.
type Producer = (i16, i32, i64);

/// What the log should be.
#[derive(Debug, Default)]
pub struct Model {
    /// All batches since the log began, also those that retention has deleted.
    pub batches: Vec<Kept>,
    /// Where the log starts if it has no batches.
    pub first: Offset,
    /// The log's start.
    pub start: Offset,
    /// The furthest start there ever was: what is below may have been deleted.
    pub start_max: Offset,
    /// Segments below are surely gone, durably.
    pub deleted_to: Offset,
    /// What a flush has promised.
    pub flushed: Offset,
    /// Where the log ended last; beyond its last batch, if a segment starts after a gap.
    pub log_end: Offset,
}

macro_rules! check {
    ($left:expr, $right:expr, $($what:tt)+) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(format!("{}: {left:?} instead of {right:?}", format!($($what)+)));
        }
    }};
}

impl Model {
    pub fn end(&self) -> Offset {
        self.batches.last().map_or(self.first, |kept| kept.header.next_offset())
    }

    pub fn push(&mut self, bytes: &[u8]) {
        for batch in Batches::new(bytes) {
            let batch = batch.expect("what is appended are whole batches");
            let bytes = Bytes::copy_from_slice(batch.bytes);
            self.batches.push(Kept { header: batch.header, bytes });
        }
    }

    /// Removes the batches from the one on that holds `offset`; the log ends at `end` then.
    pub fn truncate(&mut self, offset: Offset, end: Offset) {
        self.batches.retain(|kept| kept.header.last_offset() < offset);
        self.flushed = self.flushed.min(end);
        self.start = self.start.min(end);
        self.start_max = self.start_max.min(end);
        self.deleted_to = self.deleted_to.min(end);
    }

    pub fn start_at(&mut self, offset: Offset) {
        *self = Self {
            first: offset,
            start: offset,
            start_max: offset,
            deleted_to: offset,
            flushed: offset,
            log_end: offset,
            batches: Vec::new(),
        };
    }

    /// The log was opened after a crash: takes over where it ends and starts, if that is
    /// allowed.
    pub fn reopened(&mut self, log: &Log, start_min: Offset) -> Result<(), String> {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        if end < self.flushed || end > self.log_end.max(self.end()) {
            return Err(format!("ends at {end}, flushed {}, end {}", self.flushed, self.end()));
        }
        // It may also end in a gap, where a segment starts.
        let is_within =
            |kept: &Kept| kept.header.base_offset < end && end < kept.header.next_offset();
        if self.batches.iter().any(is_within) {
            return Err(format!("ends at {end}, within a batch"));
        }
        if start < start_min.max(self.deleted_to.min(end)) || start > self.start_max.min(end) {
            let (low, high) = (start_min.max(self.deleted_to), self.start_max);
            return Err(format!("starts at {start}, not within {low} to {high}"));
        }
        let flushed = self.flushed;
        self.truncate(end, end);
        if self.batches.is_empty() {
            self.first = end;
        }
        self.flushed = flushed.min(end);
        self.start = start;
        self.log_end = end;
        Ok(())
    }

    fn visible(&self) -> impl Iterator<Item = &Kept> {
        self.batches.iter().filter(|kept| kept.header.last_offset() >= self.start)
    }

    /// Compares all of a log with what it should be.
    pub fn check(&self, log: &Log) -> Result<(), String> {
        // An empty segment after a gap ends where it starts.
        if log.log_end_offset() < self.end() {
            check!(log.log_end_offset(), self.end(), "the end");
        }
        check!(log.log_start_offset(), self.start, "the start");
        self.check_bytes(log)?;
        self.check_epochs(log)?;
        self.check_producers(log)?;
        self.check_transactions(log)
    }

    fn check_bytes(&self, log: &Log) -> Result<(), String> {
        let mut at = self.start;
        let mut expected = self.visible().peekable();
        while let Some(slice) = self.read(log, at, 1 << 20)? {
            for batch in Batches::new(&slice) {
                let batch = batch.map_err(|error| format!("at {at}: {error}"))?;
                let kept = expected.next().ok_or(format!("invented after {at}"))?;
                check!(batch.bytes, &kept.bytes[..], "the batch at {at}");
                at = batch.header.next_offset();
            }
        }
        match expected.next() {
            Some(kept) => Err(format!("{} is missing", kept.header.base_offset)),
            None => Ok(()),
        }
    }

    fn read(&self, log: &Log, at: Offset, max_bytes: usize) -> Result<Option<Bytes>, String> {
        let end = log.log_end_offset();
        let slice = log.locate(at, max_bytes, end, true).map_err(|error| error.to_string())?;
        slice.map(|slice| slice.read()).transpose().map_err(|error| format!("reading: {error}"))
    }

    fn check_epochs(&self, log: &Log) -> Result<(), String> {
        let mut expected: Vec<EpochEntry> = Vec::new();
        for kept in &self.batches {
            let epoch = kept.header.partition_leader_epoch;
            if expected.last().is_none_or(|last| last.epoch < epoch) {
                expected.push(EpochEntry { epoch, start_offset: kept.header.base_offset });
            }
        }
        // An epoch all of whose records are deleted may be forgotten.
        let start = self.start_max;
        let kept = self.batches.iter().filter(|kept| kept.header.last_offset() >= start);
        let alive: Vec<_> = kept.map(|kept| kept.header.partition_leader_epoch).collect();
        let with_records = |entries: &[EpochEntry]| {
            let mut epochs = from_start(entries, start);
            epochs.retain(|(epoch, _)| alive.contains(epoch));
            epochs
        };
        check!(with_records(log.epochs()), with_records(&expected), "the epochs");
        Ok(())
    }

    pub fn producers(&self) -> BTreeMap<i64, Producer> {
        let mut producers = BTreeMap::new();
        for kept in self.batches.iter().filter(|kept| kept.header.has_producer_id()) {
            let header = &kept.header;
            if header.is_control() {
                let epoch = header.producer_epoch.0;
                let state = producers.entry(header.producer_id.0).or_insert((epoch, -1, -1));
                if state.0 != epoch {
                    *state = (epoch, -1, -1);
                }
                continue;
            }
            let state = (header.producer_epoch.0, header.last_sequence(), header.last_offset().0);
            producers.insert(header.producer_id.0, state);
        }
        producers
    }

    /// What follows of transactions.
    pub fn transactions(&self) -> Transactions {
        let mut known = Transactions::default();
        for kept in self.batches.iter().filter(|kept| kept.header.is_transactional()) {
            let (id, offset) = (kept.header.producer_id.0, kept.header.base_offset.0);
            let first = known.open.iter().find(|(_, open)| **open == id).map(|(first, _)| *first);
            match (kept.header.is_control(), first) {
                (false, None) => _ = known.open.insert(offset, id),
                (true, Some(first)) => {
                    known.open.remove(&first);
                    let stable = known.open.keys().next().copied().unwrap_or(offset + 1);
                    if kept.aborts() {
                        known.aborted.push((id, first, offset, stable));
                    }
                }
                _ => {}
            }
        }
        known
    }

    /// Compares what is stable, and what is known to be aborted.
    fn check_transactions(&self, log: &Log) -> Result<(), String> {
        let end = log.log_end_offset();
        let first = self.transactions().open.keys().next().map(|first| Offset(*first));
        let stable = first.map_or(end, |first| first.max(self.start).min(end));
        check!(log.last_stable_offset(end), stable, "the last stable offset");
        self.check_aborted(log, self.start, end)
    }

    /// Compares the transactions that were aborted and have records between two offsets.
    pub fn check_aborted(&self, log: &Log, from: Offset, to: Offset) -> Result<(), String> {
        let mut expected = self.transactions().aborted;
        expected.retain(|(_, first, last, _)| *last >= from.0 && *first < to.0);
        let found = log.aborted_transactions(from, to).map_err(|error| error.to_string())?;
        let found: Vec<_> = found
            .iter()
            .map(|it| {
                let (id, first) = (it.producer_id.0, it.first_offset.0);
                (id, first, it.last_offset.0, it.last_stable_offset.0)
            })
            .collect();
        check!(found, expected, "aborted between {from} and {to}");
        Ok(())
    }

    fn check_producers(&self, log: &Log) -> Result<(), String> {
        let state = |entry: &vltava_log::ProducerEntry| {
            let last = entry.batches().last().map_or(-1, |batch| batch.last_offset.0);
            (entry.producer_id.0, (entry.epoch.0, entry.last_sequence(), last))
        };
        let actual: BTreeMap<i64, Producer> = log.producers().map(state).collect();
        check!(actual, self.producers(), "the producers");
        Ok(())
    }

    /// Compares what [`Log::locate`] finds with what it should find.
    pub fn check_locate(
        &self,
        log: &Log,
        (offset, max_bytes, upper_bound, min_one): (Offset, usize, Offset, bool),
    ) -> Result<(), String> {
        let what = format!("locate({offset}, {max_bytes}, {upper_bound}, {min_one})");
        let located = log.locate(offset, max_bytes, upper_bound, min_one);
        if offset < self.start || offset > log.log_end_offset() {
            return match located {
                Err(ReadError::OffsetOutOfRange { .. }) => Ok(()),
                other => Err(format!("{what}: {other:?}")),
            };
        }
        let located = located.map_err(|error| format!("{what}: {error}"))?;
        let mut from = self
            .batches
            .iter()
            .skip_while(|kept| kept.header.last_offset() < offset)
            .take_while(|kept| kept.header.next_offset() <= upper_bound)
            .peekable();
        let readable = offset < upper_bound
            && from.peek().is_some_and(|kept| min_one || kept.bytes.len() <= max_bytes);
        let Some(slice) = located else {
            check!(false, readable, "{what}: nothing");
            return Ok(());
        };
        check!(true, readable, "{what}: something");
        let bytes = slice.read().map_err(|error| format!("{what}: {error}"))?;
        let mut left = &bytes[..];
        while !left.is_empty() {
            let kept = from.next().ok_or(format!("{what}: beyond the bounds"))?;
            let prefix = left.strip_prefix(&kept.bytes[..]);
            left = prefix.ok_or(format!("{what}: other bytes at {}", kept.header.base_offset))?;
        }
        if bytes.len() > max_bytes && Batches::new(&bytes).count() > 1 {
            return Err(format!("{what}: {} bytes", bytes.len()));
        }
        // Another batch would have fitted, unless the next one is in another segment.
        let next = from.next().map_or(usize::MAX, |kept| kept.bytes.len());
        let end = slice.position() + slice.len() as u64;
        let is_at_end = slice.as_file().is_none()
            && log
                .locate(
                    Batches::new(&bytes).flatten().last().expect("one batch").header.next_offset(),
                    usize::MAX,
                    Offset(i64::MAX),
                    true,
                )
                .ok()
                .flatten()
                .is_some_and(|next| next.position() != end);
        if next.saturating_add(bytes.len()) <= max_bytes && !is_at_end {
            return Err(format!("{what}: stopped after {} bytes", bytes.len()));
        }
        Ok(())
    }

    /// Compares the first record at or after a timestamp.
    pub fn check_timestamp(&self, log: &Log, timestamp: i64) -> Result<(), String> {
        let expected = self.visible().find_map(|kept| {
            let batch = Batch::parse(&kept.bytes).expect("a whole batch");
            let records = batch.records(1 << 20).expect("records");
            records
                .iter()
                .map(|record| record.expect("a record"))
                .find(|record| record.offset >= self.start && record.timestamp >= timestamp)
                .map(|record| (record.timestamp, record.offset))
        });
        let found = log.offset_for_timestamp(timestamp).map_err(|error| error.to_string())?;
        let found = found.map(|found| (found.timestamp, found.offset));
        check!(found, expected, "the record at {timestamp}");
        Ok(())
    }

    /// Checks the index files of all segments but the last one as Apache's `dump-log` does.
    pub fn check_indexes(&self, owner: &Owner) -> Result<(), String> {
        let bases = owner.bases()?;
        for base in bases.iter().rev().skip(1) {
            self.check_index(owner, *base).map_err(|what| format!("segment {base}: {what}"))?;
        }
        Ok(())
    }

    fn check_index(&self, owner: &Owner, base: i64) -> Result<(), String> {
        let log = owner.bytes(&format!("{base:020}.log"))?;
        let index = owner.bytes(&format!("{base:020}.index"))?;
        let times = owner.bytes(&format!("{base:020}.timeindex"))?;
        check!((index.len() % 8, times.len() % 12), (0, 0), "sizes");
        for entry in index.chunks(8) {
            let (offset, position) = (be(&entry[..4]) + base, be(&entry[4..]) as usize);
            let header = BatchHeader::parse(log.get(position..).unwrap_or_default());
            let header = header.map_err(|error| format!("entry {offset}@{position}: {error}"))?;
            check!(header.last_offset().0, offset, "the index entry at {position}");
        }
        let mut largest = -1;
        let batches: Vec<_> = Batches::new(&log).flatten().collect();
        for entry in times.chunks(12) {
            let (timestamp, offset) = (be(&entry[..8]), be(&entry[8..]) + base);
            let batch = batches.iter().find(|batch| batch.header.last_offset().0 == offset);
            let found = batch.map(|batch| batch.header.max_timestamp);
            check!(found, Some(timestamp), "the timestamp of {offset}");
            largest = timestamp;
        }
        let expected = batches.iter().map(|batch| batch.header.max_timestamp).max();
        check!(largest, expected.unwrap_or(-1), "the largest timestamp");
        Ok(())
    }
}

fn be(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |value, byte| value << 8 | i64::from(*byte))
}

/// The epochs of the records at or after `start`.
fn from_start(entries: &[EpochEntry], start: Offset) -> Vec<(LeaderEpoch, Offset)> {
    let first = entries.partition_point(|entry| entry.start_offset <= start).saturating_sub(1);
    let from = entries[first..].iter();
    from.map(|entry| (entry.epoch, entry.start_offset.max(start))).collect()
}

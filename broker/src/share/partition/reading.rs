//! What a member is given: records of the log that are free, with their batches' bytes.

use std::collections::HashSet;

use bytes::Bytes;
use vltava_log::AbortedTransaction;
use vltava_wire::batch::Batches;
use vltava_wire::{ErrorCode, LeaderEpoch, Offset, ProducerId, Str};

use super::Driver;
use super::machine::{Acquired, Appetite, LogBatch};
use crate::error::ToErrorCode;
use crate::partition::PartitionError;
use crate::partition::read::{ReadAt, Reader};
use crate::partition::waiter::{Registration, Wake};
use crate::share::coordinator::machine::Refusal;

/// What is read of a partition at once, in bytes, unless its first batch is larger.
const READ_BYTES_MAX: usize = 1 << 20;

/// What a member was given of a partition.
#[derive(Debug, Default)]
pub struct Portion {
    /// Whole batches, from the one with the first record to the one with the last.
    pub records: Bytes,
    /// The records that the member has now.
    pub acquired: Vec<Acquired>,
}

impl Driver {
    /// What the group sees of transactions.
    fn reader(&self) -> Reader {
        match self.terms.lock().settings.read_committed {
            true => Reader::CommittedConsumer,
            false => Reader::Consumer,
        }
    }

    fn read_at(&self, offset: i64, max_bytes: usize) -> ReadAt {
        ReadAt {
            offset: Offset(offset),
            max_bytes: max_bytes.min(READ_BYTES_MAX),
            min_one_batch: true,
            leader_epoch: self.epoch,
            last_epoch: LeaderEpoch::UNKNOWN,
            log_start: Offset(-1),
            any_replica: false,
        }
    }

    /// Where to read for the next member, if it may be given anything; `None` also while the state
    /// is being loaded.
    fn next_offset(&self) -> Result<Option<i64>, Refusal> {
        let log_start = self.partition.position().map(|position| position.log_start.get());
        let next = self.with(|active| {
            if let Some(log_start) = log_start {
                active.machine.log_starts_at(log_start);
            }
            active.machine.next_fetch_offset()
        });
        match next {
            // It is being loaded, and wakes who waits.
            Err(_) if self.closed().is_none() => Ok(None),
            next => next,
        }
    }

    /// Gives a member what is free. Reads the log: call it where that does not stall others.
    ///
    /// # Errors
    /// This broker does not lead the partition for the group any more, or its state cannot be had.
    pub fn give(
        &self,
        member: &Str,
        appetite: Appetite,
        max_bytes: usize,
    ) -> Result<Portion, Refusal> {
        let mut before = None;
        loop {
            let next = self.next_offset()?;
            let Some(from) = next.filter(|_| next != before) else { return Ok(Portion::default()) };
            // There may be nothing for members where it was read, and more behind.
            let portion = self.give_from(from, member, appetite, max_bytes)?;
            if !portion.acquired.is_empty() {
                return Ok(portion);
            }
            before = next;
        }
    }

    fn give_from(
        &self,
        from: i64,
        member: &Str,
        appetite: Appetite,
        max_bytes: usize,
    ) -> Result<Portion, Refusal> {
        let at = self.read_at(from, max_bytes);
        let readable = match self.partition.read(&at, self.reader(), false) {
            Ok(readable) => readable,
            // Records were deleted meanwhile: the next look begins after them.
            Err(PartitionError::OffsetOutOfRange { log_start, .. }) if log_start.get() > from => {
                return Ok(Portion::default());
            }
            Err(error) => return Err(error.code().into()),
        };
        let Some(slice) = readable.slice else { return Ok(Portion::default()) };
        let bytes = slice.read().map_err(|error| {
            let error = vltava_net::error_chain(&error);
            tracing::warn!(partition = %self.partition.name, error, "records cannot be read");
            Refusal::from(ErrorCode::KAFKA_STORAGE_ERROR)
        })?;
        let found = batches(&bytes, readable.aborted);
        let log: Vec<LogBatch> = found.iter().map(|(batch, _, _)| *batch).collect();
        let lock_until = self.lock_until();
        let acquired =
            self.with(|active| active.machine.acquire(member, from, &log, appetite, lock_until))?;
        let records = portion(&bytes, &found, &acquired);
        Ok(Portion { records, acquired })
    }

    /// Has `wake` woken when there is more to read, or more is free.
    pub fn watch_for_more(&self, wake: &Wake) -> Option<Registration> {
        self.watch(wake);
        let from = self.next_offset().ok().flatten()?;
        Some(self.partition.watch(&self.read_at(from, 0), self.reader(), wake))
    }
}

/// The batches, each with where its bytes begin and end. Of no use to a group are control records,
/// and, to one that reads what is committed, records of transactions that were aborted.
fn batches(bytes: &[u8], mut aborted: Vec<AbortedTransaction>) -> Vec<(LogBatch, usize, usize)> {
    aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
    let mut ongoing: HashSet<ProducerId> = HashSet::new();
    let mut found = Vec::new();
    let mut at = 0;
    for batch in Batches::new(bytes) {
        // The last one may be cut short.
        let Ok(batch) = batch else { break };
        let header = &batch.header;
        let last = header.last_offset();
        while let Some(begun) = aborted.pop_if(|it| it.first_offset <= last) {
            ongoing.insert(begun.producer_id);
        }
        if header.is_control() {
            // The marker that ends the transaction.
            ongoing.remove(&header.producer_id);
        }
        let is_aborted = header.is_transactional() && ongoing.contains(&header.producer_id);
        let end = at + batch.bytes.len();
        let log = LogBatch {
            first: header.base_offset.get(),
            last: last.get(),
            void: header.is_control() || is_aborted,
        };
        found.push((log, at, end));
        at = end;
    }
    found
}

/// The bytes of the batches that hold what was acquired.
fn portion(bytes: &Bytes, found: &[(LogBatch, usize, usize)], acquired: &[Acquired]) -> Bytes {
    let (Some(first), Some(last)) = (acquired.first(), acquired.last()) else {
        return Bytes::new();
    };
    let holds = |(batch, _, _): &&(LogBatch, usize, usize)| {
        batch.last >= first.first && batch.first <= last.last
    };
    let start = found.iter().find(holds).map_or(0, |(_, start, _)| *start);
    let end = found.iter().rev().find(holds).map_or(start, |(_, _, end)| *end);
    bytes.slice(start..end)
}

#[cfg(test)]
mod tests {
    use vltava_wire::ProducerEpoch;
    use vltava_wire::batch::{BatchBuilder, ControlRecord};
    use vltava_wire::records::raft::EndTxnMarker;

    use super::*;

    fn transactional(at: i64, producer: i64) -> Vec<u8> {
        let mut batch = BatchBuilder::new(Offset(at)).transactional().producer(
            ProducerId(producer),
            ProducerEpoch(0),
            0,
        );
        batch.append(0, None, Some(b"x"), &[]);
        batch.build().to_vec()
    }

    fn marker(at: i64, producer: i64) -> Vec<u8> {
        let mut batch = BatchBuilder::new(Offset(at)).control().transactional().producer(
            ProducerId(producer),
            ProducerEpoch(0),
            -1,
        );
        let marker = EndTxnMarker { coordinator_epoch: 0 };
        batch.append_control_record(0, &ControlRecord::Abort(marker));
        batch.build().to_vec()
    }

    #[test]
    fn what_was_aborted_is_void_and_what_its_producer_writes_afterwards_is_not() {
        let log = [
            transactional(0, 1),
            transactional(1, 2),
            transactional(2, 1),
            marker(3, 1),
            transactional(4, 1),
        ]
        .concat();
        let aborted = AbortedTransaction {
            producer_id: ProducerId(1),
            first_offset: Offset(0),
            last_offset: Offset(3),
            last_stable_offset: Offset(1),
        };
        let void = |aborted: Vec<AbortedTransaction>| -> Vec<i64> {
            let found = batches(&log, aborted);
            found.iter().filter(|(it, _, _)| it.void).map(|(it, _, _)| it.first).collect()
        };
        assert_eq!(void(vec![aborted]), [0, 2, 3]);
        assert_eq!(void(Vec::new()), [3]);
    }
}

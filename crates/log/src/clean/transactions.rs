//! Which records and markers of transactions compaction may drop.
//!
//! Aborted records go at once. A marker goes only when no record of its transaction is left, and
//! then, as a tombstone, only after `delete.retention.ms`: who has read the records sees what
//! became of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use vltava_wire::batch::{Batch, ControlRecordType};
use vltava_wire::{Offset, ProducerId};

use crate::producers::AbortedTransaction;

/// Bytes that the records of a marker may take; it is one small record.
const MARKER_BYTES_MAX: usize = 1024;

/// What a walk over the batches, in order, has seen of transactions.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// The aborted ones that are still to come, by where each begins.
    coming: BTreeMap<Offset, AbortedTransaction>,
    /// The last aborted transaction of each producer that the walk has come to: where it ended.
    aborted: HashMap<ProducerId, Offset>,
    /// The producers of whose transaction a batch was seen: also of one that only says where its
    /// producer has come to, so that its marker stays as long as it does.
    seen: HashSet<ProducerId>,
}

impl Transactions {
    /// Starts a walk over records among which these transactions were aborted.
    pub(super) fn start(aborted: &[AbortedTransaction]) -> Self {
        let coming = aborted.iter().map(|it| (it.first_offset, *it)).collect();
        Self { coming, ..Self::default() }
    }

    /// Takes a batch into account: whether it is of an aborted transaction, or a marker of a
    /// transaction of which nothing is left.
    pub(super) fn is_void(&mut self, batch: &Batch<'_>) -> bool {
        let header = &batch.header;
        while let Some(next) = self.coming.first_entry()
            && *next.key() <= header.last_offset()
        {
            let begun = next.remove();
            self.aborted.insert(begun.producer_id, begun.last_offset);
        }
        if header.is_control() {
            return self.is_void_marker(batch);
        }
        if !header.is_transactional() {
            return false;
        }
        self.seen.insert(header.producer_id);
        let end = self.aborted.get(&header.producer_id);
        end.is_some_and(|end| header.base_offset < *end)
    }

    fn is_void_marker(&mut self, batch: &Batch<'_>) -> bool {
        // A marker that was emptied before says nothing any more.
        if batch.header.records_count == 0 {
            return true;
        }
        let ends = |records: &vltava_wire::batch::Records<'_>| {
            let key = records.iter().next()?.ok()?.key;
            let kind = ControlRecordType::from_key(key).ok()??;
            Some(matches!(kind, ControlRecordType::Abort | ControlRecordType::Commit))
        };
        let records = batch.records(MARKER_BYTES_MAX);
        if records.ok().as_ref().and_then(ends) != Some(true) {
            return false;
        }
        !self.seen.remove(&batch.header.producer_id)
    }
}

#[cfg(test)]
mod tests {
    use vltava_wire::ProducerEpoch;
    use vltava_wire::batch::{BatchBuilder, ControlRecord};
    use vltava_wire::records::raft::EndTxnMarker;

    use super::*;

    fn data(offset: i64, producer: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Offset(offset))
            .producer(ProducerId(producer), ProducerEpoch(0), 0)
            .transactional();
        builder.append(1, Some(b"k"), Some(b"v"), &[]);
        builder.build().to_vec()
    }

    fn marker(offset: i64, producer: i64, commits: bool) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Offset(offset))
            .producer(ProducerId(producer), ProducerEpoch(0), -1)
            .transactional()
            .control();
        let marker = EndTxnMarker::default();
        let record =
            if commits { ControlRecord::Commit(marker) } else { ControlRecord::Abort(marker) };
        builder.append_control_record(1, &record);
        builder.build().to_vec()
    }

    fn voids(aborted: &[(i64, i64, i64)], batches: &[Vec<u8>]) -> Vec<bool> {
        let aborted = aborted.iter().map(|&(producer, first, last)| AbortedTransaction {
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
            producer_id: ProducerId(producer),
        });
        let mut transactions = Transactions::start(&aborted.collect::<Vec<_>>());
        batches.iter().map(|bytes| transactions.is_void(&Batch::parse(bytes).unwrap())).collect()
    }

    #[test]
    fn aborted_records_go_and_their_marker_stays_until_they_are_gone() {
        let batches = [data(0, 1), data(1, 2), marker(2, 1, false), marker(3, 2, true), data(4, 1)];
        assert_eq!(voids(&[(1, 0, 2)], &batches), [true, false, false, false, false]);
    }

    #[test]
    fn a_marker_of_which_no_record_is_left_goes() {
        let batches = [marker(2, 1, false), marker(3, 2, true)];
        assert_eq!(voids(&[(1, 0, 2)], &batches), [true, true]);
        assert_eq!(voids(&[], &batches), [true, true]);
    }

    #[test]
    fn the_transactions_of_one_producer_are_told_apart() {
        let batches = [
            data(0, 1),
            marker(1, 1, true),
            data(2, 1),
            marker(3, 1, false),
            data(4, 1),
            marker(5, 1, true),
        ];
        let expected = [false, false, true, false, false, false];
        assert_eq!(voids(&[(1, 2, 3)], &batches), expected);
    }
}

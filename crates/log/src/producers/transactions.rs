//! Open and just ended transactions: what bounds the last stable offset, and what is known to be
//! aborted (KIP-98).

use std::collections::BTreeMap;

use vltava_wire::{Offset, ProducerId};

/// A transaction that was aborted: consumers that read only what is committed pass over its
/// records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: ProducerId,
    /// The offset of its first record.
    pub first_offset: Offset,
    /// The offset of the marker that ended it.
    pub last_offset: Offset,
    /// Where the first transaction began that was open when it ended; the offset after the
    /// marker, if none was. All that ended later ended beyond it.
    pub last_stable_offset: Offset,
}

/// What a batch does to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the transaction's first one.
    Begun { producer_id: ProducerId, first_offset: Offset },
    /// It is the marker that ends it.
    Ended { producer_id: ProducerId, first_offset: Offset, last_offset: Offset, aborted: bool },
}

/// The transactions of a log that matter to what is stable.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// Those that are open: where each begins, and whose it is.
    open: BTreeMap<Offset, ProducerId>,
    /// Those that have ended, by where each begins: the offset of its marker. They count as open
    /// until the marker is committed, and are forgotten then.
    ending: BTreeMap<Offset, Offset>,
}

impl Transactions {
    pub(super) fn begin(&mut self, producer_id: ProducerId, first_offset: Offset) {
        self.open.insert(first_offset, producer_id);
    }

    /// Takes a step that is in the log; returns the transaction, if it was aborted by it.
    pub(super) fn take(&mut self, step: Step) -> Option<AbortedTransaction> {
        match step {
            Step::Begun { producer_id, first_offset } => {
                self.begin(producer_id, first_offset);
                None
            }
            Step::Ended { producer_id, first_offset, last_offset, aborted } => {
                self.open.remove(&first_offset);
                self.ending.insert(first_offset, last_offset);
                let first_open = self.open.first_key_value().map(|(first, _)| *first);
                let last_stable_offset = first_open.unwrap_or(last_offset.next());
                aborted.then_some(AbortedTransaction {
                    producer_id,
                    first_offset,
                    last_offset,
                    last_stable_offset,
                })
            }
        }
    }

    /// Where the first transaction begins of which it is not committed how it ended.
    pub(super) fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        let open = self.open.keys().next();
        let mut ending = self.ending.iter().filter(|(_, marker)| **marker >= high_watermark);
        open.into_iter().chain(ending.next().map(|(first, _)| first)).min().copied()
    }

    /// Forgets those that ended before `offset`: their markers are committed, or deleted.
    pub(super) fn forget_ended(&mut self, offset: Offset) {
        self.ending.retain(|_, marker| *marker >= offset);
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.ending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(id: i64, first: i64, last: i64, aborted: bool) -> Step {
        let (first_offset, last_offset) = (Offset(first), Offset(last));
        Step::Ended { producer_id: ProducerId(id), first_offset, last_offset, aborted }
    }

    #[test]
    fn a_transaction_is_unstable_until_its_marker_is_committed() {
        let mut transactions = Transactions::default();
        transactions.begin(ProducerId(1), Offset(10));
        assert_eq!(transactions.first_unstable(Offset(30)), Some(Offset(10)));
        assert_eq!(transactions.take(ended(1, 10, 20, false)), None);
        assert_eq!(transactions.first_unstable(Offset(20)), Some(Offset(10)));
        assert_eq!(transactions.first_unstable(Offset(21)), None);
    }

    #[test]
    fn one_that_is_aborted_knows_what_was_stable_then() {
        let mut transactions = Transactions::default();
        transactions.begin(ProducerId(1), Offset(10));
        transactions.begin(ProducerId(2), Offset(15));
        let first = transactions.take(ended(1, 10, 20, true)).unwrap();
        assert_eq!(first.last_stable_offset, Offset(15));
        let second = transactions.take(ended(2, 15, 21, true)).unwrap();
        assert_eq!(second.last_stable_offset, Offset(22));
    }
}

//! Whether a producer's transaction is known to its coordinator (KIP-890): before a transaction's
//! first batch is appended, the coordinator is asked whether the transaction is open there. Else a
//! batch that was long under way could begin one that nobody will ever end.
//!
//! Whoever asks is given a guard first, and appends with it. An append or a marker of the producer
//! takes the guard out of force, so that a late answer lets nothing in. But where each transaction
//! has an epoch of its own, its producer begins the next one as soon as it is decided how it ends:
//! the marker, which carries the next one's epoch, then comes while that one is verified, and
//! leaves it alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use vltava_wire::{ProducerEpoch, ProducerId};

/// Names one verification of a producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerificationGuard(u64);

/// What an append has to show of its transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: the transaction must be open in the log already.
    #[default]
    Ongoing,
    /// That its coordinator knows of the transaction: what it was asked under.
    Verified(VerificationGuard),
    /// Nothing at all: verification is turned off.
    NotRequired,
}

/// What is known of a producer's transaction before its first batch.
#[derive(Clone, Copy, Debug)]
struct Pending {
    guard: VerificationGuard,
    since_ms: i64,
    /// The least sequence number that was to be verified in this epoch: while it was refused, none
    /// after it may be appended.
    lowest_sequence: i32,
    epoch: ProducerEpoch,
    /// Whether the producer's epoch rises with each transaction (transaction version 2).
    bumps_epoch: bool,
}

/// The verifications of a log that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Verifications {
    pending: HashMap<ProducerId, Pending>,
    next: u64,
}

/// What is known of a first batch that is verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstBatch {
    pub(super) lowest_sequence: i32,
    pub(super) bumps_epoch: bool,
}

/// A producer's batch whose transaction is to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToVerify {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The batch's first sequence number.
    pub sequence: i32,
    /// Whether the producer's epoch rises with each transaction (transaction version 2).
    pub bumps_epoch: bool,
    /// Now, in ms since 1970.
    pub now_ms: i64,
}

impl Verifications {
    /// The guard of the producer's verification; a second one that asks meanwhile gets the same,
    /// but for one in a later epoch, who takes the earlier one's out of force.
    pub(super) fn start(&mut self, batch: &ToVerify) -> VerificationGuard {
        if let Some(pending) = self.pending.get_mut(&batch.producer_id)
            && batch.epoch <= pending.epoch
        {
            if batch.epoch == pending.epoch {
                pending.lowest_sequence = pending.lowest_sequence.min(batch.sequence);
            }
            return pending.guard;
        }
        self.next += 1;
        let guard = VerificationGuard(self.next);
        let pending = Pending {
            guard,
            since_ms: batch.now_ms,
            lowest_sequence: batch.sequence,
            epoch: batch.epoch,
            bumps_epoch: batch.bumps_epoch,
        };
        self.pending.insert(batch.producer_id, pending);
        guard
    }

    /// Whether an append shows the guard that is in force.
    pub(super) fn admits(&self, id: ProducerId, shown: Verification) -> bool {
        match shown {
            Verification::NotRequired => true,
            Verification::Ongoing => false,
            Verification::Verified(guard) => {
                self.pending.get(&id).is_some_and(|pending| pending.guard == guard)
            }
        }
    }

    pub(super) fn first_batch(&self, id: ProducerId) -> Option<FirstBatch> {
        let pending = self.pending.get(&id)?;
        let Pending { lowest_sequence, bumps_epoch, .. } = *pending;
        Some(FirstBatch { lowest_sequence, bumps_epoch })
    }

    /// The producer has begun its transaction.
    pub(super) fn begun(&mut self, id: ProducerId) {
        self.pending.remove(&id);
    }

    /// The producer's transaction has ended, and it is in that epoch now.
    pub(super) fn ended(&mut self, id: ProducerId, epoch: ProducerEpoch) {
        if let Entry::Occupied(pending) = self.pending.entry(id)
            && !(pending.get().bumps_epoch && pending.get().epoch >= epoch)
        {
            pending.remove();
        }
    }

    /// Forgets those that were never ended.
    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.pending.retain(|_, pending| now_ms.saturating_sub(pending.since_ms) < expiration_ms);
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }
}

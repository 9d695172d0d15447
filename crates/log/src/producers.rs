//! What is known of idempotent producers (KIP-98), to tell a retry from a new batch.
//!
//! All of it follows from the records: it is what replaying every batch of the log leaves. A
//! snapshot ([`snapshot`]) only saves replaying what lies before it, and keeps what was known of
//! records that retention has deleted since.

pub(crate) mod snapshot;
mod transactions;
mod verification;

use std::collections::HashMap;

use vltava_wire::batch::{Batch, BatchHeader, ControlRecord, NO_SEQUENCE, sequence_after};
use vltava_wire::{Offset, ProducerEpoch, ProducerId};

use self::transactions::{Step, Transactions};
use self::verification::{FirstBatch, Verifications};
use crate::error::AppendError;

pub use self::transactions::AbortedTransaction;
pub use self::verification::{ToVerify, Verification, VerificationGuard};

/// Batches of a producer that are remembered: as many as it may have in flight.
const BATCHES_MAX: usize = 5;

/// Sequence numbers that are known to have been used at most: half of all, as a producer that has
/// used all of them begins anew.
const UNBROKEN_MAX: i32 = 1 << 30;

/// Bytes that the records of a transaction marker may take; it is one small record.
const MARKER_BYTES_MAX: usize = 1024;

/// From this transaction version on the coordinator raises a producer's epoch before it ends its
/// transaction, so that a marker of the epoch that wrote is a late one (KIP-890, KIP-1228).
const RAISES_EPOCH_SINCE: i8 = 2;

/// One of the last batches of a producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The sequence number of the last record.
    pub last_sequence: i32,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The last record's offset less the first one's.
    pub offset_delta: i32,
    /// The largest timestamp, in ms since 1970.
    pub timestamp: i64,
}

impl ProducerBatch {
    /// The sequence number of the first record.
    pub fn first_sequence(&self) -> i32 {
        match self.last_sequence.checked_sub(self.offset_delta) {
            Some(first) if first >= 0 => first,
            // Sequence numbers start anew at 0 after the largest one.
            _ => (i64::from(self.last_sequence) - i64::from(self.offset_delta) + (1 << 31)) as i32,
        }
    }

    /// The offset of the first record.
    pub fn first_offset(&self) -> Offset {
        self.last_offset + -i64::from(self.offset_delta)
    }
}

/// The last batches of a producer, the oldest first, at most five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Recent {
    batches: [ProducerBatch; BATCHES_MAX],
    len: usize,
    /// How many sequence numbers up to the last one are known to have been in the log.
    unbroken: i32,
}

impl Recent {
    fn last(&self) -> Option<&ProducerBatch> {
        self.batches[..self.len].last()
    }

    /// Whether all of a batch that ends with `last_sequence` is among what has been in the log.
    fn holds(&self, last_sequence: i32, records: i32) -> bool {
        let Some(last) = self.last() else { return false };
        let behind = (i64::from(last.last_sequence) - i64::from(last_sequence)).rem_euclid(1 << 31);
        behind + i64::from(records) <= i64::from(self.unbroken)
    }

    fn push(&mut self, batch: ProducerBatch) {
        let follows = self
            .last()
            .is_some_and(|last| sequence_after(last.last_sequence, 1) == batch.first_sequence());
        let known = if follows { self.unbroken } else { 0 };
        self.unbroken =
            known.saturating_add(batch.offset_delta).saturating_add(1).min(UNBROKEN_MAX);
        if self.len == BATCHES_MAX {
            self.batches.rotate_left(1);
            self.len -= 1;
        }
        self.batches[self.len] = batch;
        self.len += 1;
    }
}

/// What is known of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The largest timestamp of its last batch or marker, in ms since 1970.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last transaction marker, −1 if none.
    pub coordinator_epoch: i32,
    /// Where its open transaction starts.
    pub current_txn_first_offset: Option<Offset>,
    recent: Recent,
}

impl ProducerEntry {
    fn new(producer_id: ProducerId) -> Self {
        Self {
            producer_id,
            epoch: ProducerEpoch(-1),
            last_timestamp: -1,
            coordinator_epoch: -1,
            current_txn_first_offset: None,
            recent: Recent::default(),
        }
    }

    /// Its last batches of this epoch, the oldest first, at most five; after the log was opened
    /// only the last one may be known.
    pub fn batches(&self) -> &[ProducerBatch] {
        &self.recent.batches[..self.recent.len]
    }

    /// The sequence number of its last record, −1 if none is known.
    pub fn last_sequence(&self) -> i32 {
        self.recent.last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        let same = |batch: &&ProducerBatch| {
            batch.first_sequence() == header.base_sequence
                && batch.last_sequence == header.last_sequence()
        };
        let batch = self.batches().iter().find(same)?;
        (self.epoch == header.producer_epoch).then_some(*batch)
    }

    /// The last batch, if this one is a retry of records that are not after it.
    fn surpasses(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        let is_retry = self.epoch == header.producer_epoch
            && header.base_sequence != NO_SEQUENCE
            && self
                .recent
                .holds(header.last_sequence(), header.last_offset_delta.saturating_add(1));
        self.recent.last().copied().filter(|_| is_retry)
    }

    fn check_epoch(&self, header: &BatchHeader) -> Result<(), AppendError> {
        if header.producer_epoch >= self.epoch {
            return Ok(());
        }
        Err(self.fenced(header))
    }

    fn fenced(&self, header: &BatchHeader) -> AppendError {
        let (producer_id, epoch) = (self.producer_id, header.producer_epoch);
        AppendError::InvalidProducerEpoch { producer_id, epoch, current: self.epoch }
    }

    /// A marker must not end a later transaction than the one that it is for.
    fn check_marker(
        &self,
        header: &BatchHeader,
        marker: Marker,
        transaction_version: i8,
    ) -> Result<(), AppendError> {
        self.check_epoch(header)?;
        // Of one that was written already, no harm comes: its transaction is over.
        let is_late = transaction_version >= RAISES_EPOCH_SINCE
            && header.producer_epoch == self.epoch
            && self.current_txn_first_offset.is_some();
        if is_late {
            return Err(self.fenced(header));
        }
        let (current, epoch) = (self.coordinator_epoch, marker.coordinator_epoch);
        if epoch < current {
            let producer_id = header.producer_id;
            return Err(AppendError::CoordinatorFenced { producer_id, epoch, current });
        }
        Ok(())
    }

    /// A producer that is not known may start anywhere: what it wrote before may have been
    /// deleted. A new epoch starts at 0. Of a transaction's first batches, those after the first
    /// one have to wait until that one is admitted.
    fn check_sequence(
        &self,
        header: &BatchHeader,
        first: Option<FirstBatch>,
    ) -> Result<(), AppendError> {
        let (producer_id, sequence) = (self.producer_id, header.base_sequence);
        let refused = |last_sequence| AppendError::OutOfOrderSequence {
            producer_id,
            sequence,
            last_sequence,
        };
        if let Some(first) = first {
            let starts_anew = first.bumps_epoch && self.recent.len == 0;
            if starts_anew && sequence != 0 || sequence > first.lowest_sequence {
                return Err(refused(NO_SEQUENCE));
            }
        }
        if self.epoch == ProducerEpoch(-1) {
            return Ok(());
        }
        let last_sequence = match header.producer_epoch == self.epoch {
            true => self.last_sequence(),
            false => NO_SEQUENCE,
        };
        let expected = match last_sequence {
            NO_SEQUENCE => 0,
            last => sequence_after(last, 1),
        };
        if sequence == expected { Ok(()) } else { Err(refused(last_sequence)) }
    }

    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.recent = Recent::default();
        }
    }

    fn append(&mut self, header: &BatchHeader) -> Option<Step> {
        self.set_epoch(header.producer_epoch);
        self.recent.push(ProducerBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        self.last_timestamp = header.max_timestamp;
        let begins = header.is_transactional() && self.current_txn_first_offset.is_none();
        if !begins {
            return None;
        }
        let first_offset = header.base_offset;
        self.current_txn_first_offset = Some(first_offset);
        Some(Step::Begun { producer_id: self.producer_id, first_offset })
    }

    /// A marker without a transaction ends none.
    fn append_marker(&mut self, header: &BatchHeader, marker: Marker) -> Option<Step> {
        self.set_epoch(header.producer_epoch);
        self.last_timestamp = header.max_timestamp;
        self.coordinator_epoch = marker.coordinator_epoch;
        let first_offset = self.current_txn_first_offset.take()?;
        Some(Step::Ended {
            producer_id: self.producer_id,
            first_offset,
            last_offset: header.last_offset(),
            aborted: marker.aborts,
        })
    }
}

/// What a transaction marker says.
#[derive(Clone, Copy, Debug)]
struct Marker {
    aborts: bool,
    coordinator_epoch: i32,
}

impl Marker {
    /// `None` if the batch is no such marker; compaction leaves batches without records of those
    /// whose transactions it has removed.
    fn of(batch: &Batch<'_>) -> Option<Self> {
        let records = batch.records(MARKER_BYTES_MAX).ok()?;
        let record = records.iter().next()?.ok()?;
        let (marker, aborts) = match ControlRecord::parse(&record).ok()?? {
            ControlRecord::Abort(marker) => (marker, true),
            ControlRecord::Commit(marker) => (marker, false),
            _ => return None,
        };
        Some(Self { aborts, coordinator_epoch: marker.coordinator_epoch })
    }
}

/// The producers of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    entries: HashMap<ProducerId, ProducerEntry>,
    transactions: Transactions,
    verifications: Verifications,
}

/// How a leader's batches are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// Whether sequence numbers are.
    pub(crate) sequence: bool,
    /// What is shown for transactions.
    pub(crate) verification: Verification,
    /// The version of the transactions that markers end.
    pub(crate) transaction_version: i8,
}

/// What batches that are about to be appended will change.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    // Almost always one: a producer sends one batch a partition.
    entries: Vec<ProducerEntry>,
    steps: Vec<Step>,
}

impl Producers {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &ProducerEntry> {
        self.entries.values()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.transactions.clear();
        self.verifications.clear();
    }

    /// Takes over verifications from what was known before the log was cut.
    pub(crate) fn replace(&mut self, mut by: Self) {
        std::mem::swap(&mut by.verifications, &mut self.verifications);
        *self = by;
    }

    /// Whether that producer, in that epoch, has a transaction open.
    pub(crate) fn has_ongoing(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        let entry = self.entries.get(&id).filter(|entry| entry.epoch == epoch);
        entry.is_some_and(|entry| entry.current_txn_first_offset.is_some())
    }

    /// The guard to verify a transaction under; `None` if it is open already.
    pub(crate) fn start_verification(&mut self, batch: &ToVerify) -> Option<VerificationGuard> {
        if self.has_ongoing(batch.producer_id, batch.epoch) {
            return None;
        }
        Some(self.verifications.start(batch))
    }

    /// Where the first transaction begins of which it is not committed how it ended.
    pub(crate) fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        self.transactions.first_unstable(high_watermark)
    }

    /// Markers before `offset` are committed, or deleted.
    pub(crate) fn forget_ended(&mut self, offset: Offset) {
        self.transactions.forget_ended(offset);
    }

    /// Forgets those that were silent for too long; not one with a transaction open.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let expired = |entry: &ProducerEntry| {
            entry.current_txn_first_offset.is_none()
                && now_ms.saturating_sub(entry.last_timestamp) >= expiration_ms
        };
        self.entries.retain(|_, entry| !expired(entry));
        self.verifications.expire(now_ms, expiration_ms);
    }

    fn staged_entry<'s>(&self, staged: &'s mut Staged, id: ProducerId) -> &'s mut ProducerEntry {
        let at = staged.entries.iter().position(|entry| entry.producer_id == id);
        let at = at.unwrap_or_else(|| {
            let known = self.entries.get(&id).copied();
            staged.entries.push(known.unwrap_or_else(|| ProducerEntry::new(id)));
            staged.entries.len() - 1
        });
        &mut staged.entries[at]
    }

    /// The batch in the log of which this one is a retry.
    pub(crate) fn duplicate_of(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        self.entries.get(&header.producer_id)?.duplicate_of(header)
    }

    /// The producer's last batch, if this one is a retry of records that are not after it, and no
    /// batch that is remembered tells which offsets they have.
    pub(crate) fn surpassed(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        self.entries.get(&header.producer_id)?.surpasses(header)
    }

    /// Checks a batch that a client or a coordinator wrote, its offsets set, and stages it.
    pub(crate) fn stage_as_leader(
        &self,
        staged: &mut Staged,
        batch: &Batch<'_>,
        checks: &Checks,
    ) -> Result<(), AppendError> {
        let header = &batch.header;
        let id = header.producer_id;
        if header.is_control() {
            let Some(marker) = Marker::of(batch) else { return Ok(()) };
            let entry = self.staged_entry(staged, id);
            entry.check_marker(header, marker, checks.transaction_version)?;
            let step = entry.append_marker(header, marker);
            staged.steps.extend(step);
            return Ok(());
        }
        if header.is_transactional()
            && !self.has_ongoing(id, header.producer_epoch)
            && !self.verifications.admits(id, checks.verification)
        {
            return Err(AppendError::TransactionNotVerified { producer_id: id });
        }
        let entry = self.staged_entry(staged, id);
        entry.check_epoch(header)?;
        if checks.sequence {
            entry.check_sequence(header, self.verifications.first_batch(id))?;
        }
        if entry.current_txn_first_offset.is_some() && !header.is_transactional() {
            return Err(AppendError::InvalidTxnState { producer_id: id });
        }
        let step = entry.append(header);
        staged.steps.extend(step);
        Ok(())
    }

    /// Stages a batch that the leader has checked.
    pub(crate) fn stage_as_follower(&self, staged: &mut Staged, batch: &Batch<'_>) {
        let id = batch.header.producer_id;
        let step = if batch.header.is_control() {
            let Some(marker) = Marker::of(batch) else { return };
            self.staged_entry(staged, id).append_marker(&batch.header, marker)
        } else {
            self.staged_entry(staged, id).append(&batch.header)
        };
        staged.steps.extend(step);
    }

    /// Takes over what was staged, once it is in the log; returns the transactions that were
    /// aborted by it.
    pub(crate) fn commit(&mut self, staged: Staged) -> Vec<AbortedTransaction> {
        for entry in staged.entries {
            // With a first offset, or with an end, a transaction needs no guard any more.
            match entry.current_txn_first_offset {
                Some(_) => self.verifications.begun(entry.producer_id),
                None => self.verifications.ended(entry.producer_id, entry.epoch),
            }
            self.entries.insert(entry.producer_id, entry);
        }
        let steps = staged.steps.into_iter();
        steps.filter_map(|step| self.transactions.take(step)).collect()
    }

    /// Notes a batch that is in the log; returns the transaction that was aborted by it.
    pub(crate) fn replay(&mut self, batch: &Batch<'_>) -> Option<AbortedTransaction> {
        let mut staged = Staged::default();
        self.stage_as_follower(&mut staged, batch);
        self.commit(staged).pop()
    }
}

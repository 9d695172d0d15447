//! What is known of idempotent producers (KIP-98), to tell a retry from a new batch.
//!
//! All of it follows from the records: it is what replaying every batch of the log leaves. A
//! snapshot ([`snapshot`]) only saves replaying what lies before it, and keeps what was known of
//! records that retention has deleted since.

pub(crate) mod snapshot;

use std::collections::HashMap;

use vltava_wire::batch::{Batch, BatchHeader, NO_SEQUENCE, sequence_after};
use vltava_wire::{Offset, ProducerEpoch, ProducerId};

use crate::error::AppendError;

/// Batches of a producer that are remembered: as many as it may have in flight.
const BATCHES_MAX: usize = 5;

/// Bytes that the records of a transaction marker may take; it is one small record.
const MARKER_BYTES_MAX: usize = 1024;

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
}

impl Recent {
    fn push(&mut self, batch: ProducerBatch) {
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
        self.batches().last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        let same = |batch: &&ProducerBatch| {
            batch.first_sequence() == header.base_sequence
                && batch.last_sequence == header.last_sequence()
        };
        let batch = self.batches().iter().find(same)?;
        (self.epoch == header.producer_epoch).then_some(*batch)
    }

    fn check_epoch(&self, header: &BatchHeader) -> Result<(), AppendError> {
        if header.producer_epoch >= self.epoch {
            return Ok(());
        }
        let (producer_id, epoch) = (self.producer_id, header.producer_epoch);
        Err(AppendError::InvalidProducerEpoch { producer_id, epoch, current: self.epoch })
    }

    /// A producer that is not known may start anywhere: what it wrote before may have been
    /// deleted. A new epoch starts at 0.
    fn check_sequence(&self, header: &BatchHeader) -> Result<(), AppendError> {
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
        if header.base_sequence == expected {
            return Ok(());
        }
        let (producer_id, sequence) = (self.producer_id, header.base_sequence);
        Err(AppendError::OutOfOrderSequence { producer_id, sequence, last_sequence })
    }

    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.recent = Recent::default();
        }
    }

    fn append(&mut self, header: &BatchHeader) {
        self.set_epoch(header.producer_epoch);
        self.recent.push(ProducerBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        self.last_timestamp = header.max_timestamp;
        if header.is_transactional() && self.current_txn_first_offset.is_none() {
            self.current_txn_first_offset = Some(header.base_offset);
        }
    }

    fn append_marker(&mut self, header: &BatchHeader, coordinator_epoch: Option<i32>) {
        self.set_epoch(header.producer_epoch);
        self.current_txn_first_offset = None;
        self.last_timestamp = header.max_timestamp;
        self.coordinator_epoch = coordinator_epoch.unwrap_or(self.coordinator_epoch);
    }
}

/// The epoch of the coordinator that wrote a transaction marker: an `i16` version and an `i32`
/// epoch are the value of its record. `None` if the batch is no such marker.
fn coordinator_epoch(batch: &Batch<'_>) -> Option<i32> {
    let records = batch.records(MARKER_BYTES_MAX).ok()?;
    let record = records.iter().next()?.ok()?;
    let value = record.value?;
    Some(i32::from_be_bytes(value.get(2..6)?.try_into().ok()?))
}

/// The producers of a log.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    entries: HashMap<ProducerId, ProducerEntry>,
}

/// What batches that are about to be appended will change.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    // Almost always one: a producer sends one batch a partition.
    entries: Vec<ProducerEntry>,
}

impl Producers {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &ProducerEntry> {
        self.entries.values()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Forgets those that were silent for too long; not one with a transaction open.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let expired = |entry: &ProducerEntry| {
            entry.current_txn_first_offset.is_none()
                && now_ms.saturating_sub(entry.last_timestamp) >= expiration_ms
        };
        self.entries.retain(|_, entry| !expired(entry));
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

    /// Checks a batch that a client or a coordinator wrote, its offsets set, and stages it.
    pub(crate) fn stage_as_leader(
        &self,
        staged: &mut Staged,
        batch: &Batch<'_>,
        checks_sequence: bool,
    ) -> Result<(), AppendError> {
        let header = &batch.header;
        let entry = self.staged_entry(staged, header.producer_id);
        entry.check_epoch(header)?;
        if header.is_control() {
            let (current, epoch) = (entry.coordinator_epoch, coordinator_epoch(batch));
            if let Some(epoch) = epoch.filter(|epoch| *epoch < current) {
                let producer_id = header.producer_id;
                return Err(AppendError::CoordinatorFenced { producer_id, epoch, current });
            }
            entry.append_marker(header, epoch);
            return Ok(());
        }
        if checks_sequence {
            entry.check_sequence(header)?;
        }
        if entry.current_txn_first_offset.is_some() && !header.is_transactional() {
            return Err(AppendError::InvalidTxnState { producer_id: header.producer_id });
        }
        entry.append(header);
        Ok(())
    }

    /// Stages a batch that the leader has checked.
    pub(crate) fn stage_as_follower(&self, staged: &mut Staged, batch: &Batch<'_>) {
        let entry = self.staged_entry(staged, batch.header.producer_id);
        if batch.header.is_control() {
            entry.append_marker(&batch.header, coordinator_epoch(batch));
        } else {
            entry.append(&batch.header);
        }
    }

    /// Takes over what was staged, once it is in the log.
    pub(crate) fn commit(&mut self, staged: Staged) {
        for entry in staged.entries {
            self.entries.insert(entry.producer_id, entry);
        }
    }

    /// Notes a batch that is in the log.
    pub(crate) fn replay(&mut self, batch: &Batch<'_>) {
        let mut staged = Staged::default();
        self.stage_as_follower(&mut staged, batch);
        self.commit(staged);
    }
}

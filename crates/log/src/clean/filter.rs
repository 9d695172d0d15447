//! What is kept of a batch.

use std::collections::HashMap;

use bytes::BytesMut;
use vltava_wire::batch::{Batch, BatchError, BatchHeader, Record, Remains};
use vltava_wire::{Offset, ProducerEpoch, ProducerId};

use super::offset_map::OffsetMap;
use super::transactions::Transactions;

/// Bytes that the records of one batch may take once they are decompressed. A leader takes none
/// into a compacted log that are larger.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// What is kept of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing.
    Nothing,
    /// The batch as it is.
    All,
    /// These bytes in its place.
    Part(BytesMut),
}

/// The last that is known of a producer, whose trace must stay in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastTrace {
    /// The offset of its last record, if one is known.
    pub(super) last_offset: Option<Offset>,
    pub(super) epoch: ProducerEpoch,
}

/// Decides what is kept of each batch, in the order of the log.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) transactions: Transactions,
    pub(super) traces: HashMap<ProducerId, LastTrace>,
    /// When the round began, in ms since 1970.
    pub(super) now_ms: i64,
    /// `delete.retention.ms`.
    pub(super) delete_retention_ms: i64,
    /// Where the round ends: the batch before it stays, if only to say so.
    pub(super) round_end: Offset,
}

impl Filter {
    /// What is kept of `batch`; if it `ends_segment`, it stays, if only to say where the segment
    /// ends.
    pub(super) fn keep(
        &mut self,
        map: &OffsetMap,
        batch: &Batch<'_>,
        ends_segment: bool,
    ) -> Result<Kept, BatchError> {
        let header = &batch.header;
        let is_void = self.transactions.is_void(batch);
        let is_past_horizon = header.delete_horizon().is_some_and(|time| time <= self.now_ms);
        let drops_all = is_void && (!header.is_control() || is_past_horizon);
        let stays_empty =
            ends_segment || header.next_offset() == self.round_end || self.is_last_trace(header);
        if drops_all || header.records_count == 0 {
            return Ok(empty_or_nothing(header, stays_empty));
        }
        let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
        let mut verdicts = Vec::with_capacity(records.len());
        let mut has_tombstones = false;
        for record in &records {
            let record = record?;
            let stays = header.is_control() || self.stays(map, header, &record);
            has_tombstones |= stays && record.value.is_none();
            verdicts.push(stays);
        }
        let needs_horizon =
            header.delete_horizon().is_none() && (has_tombstones || is_void && header.is_control());
        if !verdicts.contains(&true) {
            return Ok(empty_or_nothing(header, stays_empty));
        }
        if !verdicts.contains(&false) && !needs_horizon {
            return Ok(Kept::All);
        }
        let horizon = match needs_horizon {
            true => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            false => header.delete_horizon(),
        };
        let mut remains = Remains::of(header, horizon);
        for (record, stays) in records.iter().zip(verdicts) {
            if stays {
                remains.keep(&record?);
            }
        }
        Ok(Kept::Part(remains.build()))
    }

    /// Whether a record of a data batch is kept: it is the last of its key, or nothing is known of
    /// what comes after; a tombstone, until its time has come.
    fn stays(&self, map: &OffsetMap, header: &BatchHeader, record: &Record<'_>) -> bool {
        if record.offset > map.latest() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = map.get(key).is_none_or(|last| record.offset >= last);
        let is_past_horizon = header.delete_horizon().is_some_and(|time| time <= self.now_ms);
        is_latest && (record.value.is_some() || !is_past_horizon)
    }

    /// Whether a batch holds the last sequence number, or the last epoch, of a producer that may
    /// go on: without it a retry would be taken for something new.
    fn is_last_trace(&self, header: &BatchHeader) -> bool {
        let Some(trace) = self.traces.get(&header.producer_id) else { return false };
        match trace.last_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == trace.epoch,
        }
    }
}

fn empty_or_nothing(header: &BatchHeader, stays: bool) -> Kept {
    match stays {
        false => Kept::Nothing,
        true if header.records_count == 0 => Kept::All,
        true => Kept::Part(Remains::of(header, None).build()),
    }
}

/// Notes the keys of a batch from the offset `from` on; whether there was memory for all of them.
pub(super) fn note_keys(
    map: &mut OffsetMap,
    batch: &Batch<'_>,
    from: Offset,
) -> Result<bool, BatchError> {
    for record in &batch.records(DECOMPRESSED_BYTES_MAX)? {
        let record = record?;
        if let Some(key) = record.key
            && record.offset >= from
            && !map.put(key, record.offset)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

//! Record batches of the metadata log: records to bytes and back, and bytes onto an image.

use bytes::{Bytes, BytesMut};
use vltava_wire::batch::{
    Batch, BatchBuilder, BatchError, Batches, ControlRecord, ControlRecordError,
};
use vltava_wire::{LeaderEpoch, Offset};

use crate::{ApplyError, Changes, Image, MetadataRecord, Provenance, RecordError};

/// The most records of one batch: what is decided at once is appended, or lost, at once.
pub const BATCH_RECORDS_MAX: usize = 10_000;

/// The most bytes of one batch, as KRaft bounds it; also what one may decompress into.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most that the framing of a batch takes, beside its records.
pub const BATCH_HEADER_BYTES: usize = 61;

/// The most that the framing of a record takes: its length, attributes, time, offset and key, the
/// length of its value, and that it has no headers.
const RECORD_FRAMING_BYTES: usize = 32;

/// Bytes that a record takes in a batch at the most.
pub fn bytes_in_batch(record: &MetadataRecord) -> usize {
    record.encode().len() + RECORD_FRAMING_BYTES
}

/// Why batches of the metadata log cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Bytes that are no record batch.
    #[error("a batch of the metadata log is malformed")]
    Batch(#[source] BatchError),
    /// A record without a value, which no metadata record is.
    #[error("the record at offset {0} has no value")]
    NoValue(Offset),
    /// A value that is no metadata record.
    #[error("the record at offset {offset} cannot be decoded")]
    Record {
        /// Where it is in the log.
        offset: Offset,
        /// What is wrong.
        source: RecordError,
    },
    /// A control record that is not what its type says.
    #[error("the control record at offset {offset} cannot be decoded")]
    Control {
        /// Where it is in the log.
        offset: Offset,
        /// What is wrong.
        source: ControlRecordError,
    },
    /// A record that does not fit the image.
    #[error("the record at offset {offset} cannot be applied")]
    Apply {
        /// Where it is in the log.
        offset: Offset,
        /// What is wrong.
        source: ApplyError,
    },
}

/// One batch that holds `records`; `timestamp` in ms since 1970.
///
/// # Panics
/// If there is no record.
pub fn encode_batch(
    records: &[MetadataRecord],
    base_offset: Offset,
    epoch: LeaderEpoch,
    timestamp: i64,
) -> BytesMut {
    let mut builder = BatchBuilder::new(base_offset).partition_leader_epoch(epoch);
    for record in records {
        builder.append(timestamp, None, Some(&record.encode()), &[]);
    }
    builder.build()
}

/// The metadata records of a batch with their offsets; none, if it is a control batch.
///
/// # Errors
/// The first record that is none, with its offset.
pub fn decode_batch(batch: &Batch<'_>) -> Result<Vec<(Offset, MetadataRecord)>, ReplayError> {
    if batch.header.is_control() {
        return Ok(Vec::new());
    }
    let records = batch.records(BATCH_BYTES_MAX).map_err(ReplayError::Batch)?;
    let mut decoded = Vec::new();
    for record in &records {
        let record = record.map_err(ReplayError::Batch)?;
        let value = record.value.ok_or(ReplayError::NoValue(record.offset))?;
        let metadata = MetadataRecord::decode(Bytes::copy_from_slice(value))
            .map_err(|source| ReplayError::Record { offset: record.offset, source })?;
        decoded.push((record.offset, metadata));
    }
    Ok(decoded)
}

impl Image {
    /// Applies whole batches as they lie in the log, one after the other, and says what changed.
    ///
    /// # Errors
    /// The first batch or record that is malformed or does not fit. What came before it has been
    /// applied: the caller gives the image up.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<Changes, ReplayError> {
        let mut changes = Changes::default();
        for batch in Batches::new(bytes) {
            let batch = batch.map_err(ReplayError::Batch)?;
            self.replay_batch(&batch, &mut changes)?;
        }
        Ok(changes)
    }

    /// Applies one batch, and adds to `changes` what changed.
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    pub fn replay_batch(
        &mut self,
        batch: &Batch<'_>,
        changes: &mut Changes,
    ) -> Result<(), ReplayError> {
        if batch.header.is_control() {
            self.replay_control(batch, changes)?;
        }
        for (offset, record) in decode_batch(batch)? {
            self.apply(&record, changes).map_err(|source| ReplayError::Apply { offset, source })?;
        }
        self.set_provenance(Provenance {
            offset: batch.header.last_offset(),
            epoch: batch.header.partition_leader_epoch,
            timestamp: batch.header.max_timestamp,
        });
        Ok(())
    }

    /// Of the control records, the image keeps the level of `kraft.version` alone.
    fn replay_control(
        &mut self,
        batch: &Batch<'_>,
        changes: &mut Changes,
    ) -> Result<(), ReplayError> {
        let records = batch.records(BATCH_BYTES_MAX).map_err(ReplayError::Batch)?;
        for record in &records {
            let record = record.map_err(ReplayError::Batch)?;
            let control = ControlRecord::parse(&record)
                .map_err(|source| ReplayError::Control { offset: record.offset, source })?;
            if let Some(ControlRecord::KraftVersion(level)) = control {
                self.set_kraft_version(level.k_raft_version, changes);
            }
        }
        Ok(())
    }
}

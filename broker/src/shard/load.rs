//! Loading: a machine's state out of the log that holds it.

use vltava_wire::batch::{Batch, BatchError, Batches, ControlRecordType, Record};
use vltava_wire::{Offset, ProducerId};

use super::log::ReadError;

/// What the records of one batch may take in memory when decompressed, in bytes: far above the
/// largest batch that a coordinator writes.
const BATCH_MEMORY_MAX: usize = 64 * 1024 * 1024;

/// Why a record cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record without a key.
    #[error("a record without a key")]
    NoKey,
    /// A key or value that ends too early, or is not what its type or version says.
    #[error("a {0} that cannot be decoded")]
    Malformed(&'static str),
    /// A value of a version that is not known.
    #[error("a {what} of version {version}")]
    Version {
        /// What the value is of.
        what: &'static str,
        /// The version.
        version: i16,
    },
}

/// Why a partition cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The log cannot be read.
    #[error("reading at offset {at}")]
    Read {
        /// Where.
        at: Offset,
        /// Why.
        source: ReadError,
    },
    /// A batch is damaged.
    #[error("a batch at or after offset {at} is damaged")]
    Batch {
        /// Where.
        at: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// A record cannot be decoded.
    #[error("the record at offset {at} cannot be decoded")]
    Record {
        /// Where.
        at: Offset,
        /// What is wrong.
        source: RecordError,
    },
    /// The log ended before the offset that was to be reached.
    #[error("the log ends at offset {at}, before its end offset {end}")]
    Short {
        /// Where it ended.
        at: Offset,
        /// Where it should.
        end: Offset,
    },
}

/// Takes in the records of a partition, from its start to its end.
pub trait Replay: Send + 'static {
    /// What comes out.
    type Machine;

    /// Takes in a record; `producer` is set if it is part of a transaction.
    ///
    /// # Errors
    /// It cannot be decoded.
    fn record(
        &mut self,
        producer: Option<ProducerId>,
        record: &Record<'_>,
    ) -> Result<(), RecordError>;

    /// A producer's transaction has ended.
    fn end_transaction(&mut self, producer: ProducerId, commits: bool);

    /// The machine as the log describes it; its clocks have not started.
    ///
    /// # Errors
    /// [`LoadError::Record`] for what is decoded only now.
    fn finish(self) -> Result<Self::Machine, LoadError>;
}

/// Takes in the log of a partition, batch by batch.
#[derive(Debug)]
pub struct Loader<R> {
    replay: R,
    next: Offset,
    records: u64,
}

impl<R: Replay> Loader<R> {
    /// Starts at the first offset of the log.
    pub fn new(replay: R, log_start: Offset) -> Self {
        Self { replay, next: log_start, records: 0 }
    }

    /// The offset to go on at.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// Records taken in so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes in what lies from [`next_offset`](Self::next_offset) on. A batch that `bytes` end
    /// within is left for the next time.
    ///
    /// # Errors
    /// [`LoadError::Batch`] and [`LoadError::Record`].
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        for batch in Batches::new(bytes) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) if error.is_truncated() => break,
                Err(source) => return Err(LoadError::Batch { at: self.next, source }),
            };
            self.take_batch(&batch)?;
            self.next = self.next.max(batch.header.next_offset());
        }
        Ok(())
    }

    fn take_batch(&mut self, batch: &Batch<'_>) -> Result<(), LoadError> {
        let damaged = |source| LoadError::Batch { at: batch.header.base_offset, source };
        batch.verify_crc().map_err(damaged)?;
        let records = batch.records(BATCH_MEMORY_MAX).map_err(damaged)?;
        let producer = batch.header.is_transactional().then_some(batch.header.producer_id);
        for record in &records {
            let record = record.map_err(damaged)?;
            if record.offset < self.next {
                continue;
            }
            self.records += 1;
            if batch.header.is_control() {
                let kind = ControlRecordType::from_key(record.key);
                let commits = kind == Ok(Some(ControlRecordType::Commit));
                self.replay.end_transaction(batch.header.producer_id, commits);
                continue;
            }
            let taken = self.replay.record(producer, &record);
            taken.map_err(|source| LoadError::Record { at: record.offset, source })?;
        }
        Ok(())
    }

    /// The machine as the log describes it.
    ///
    /// # Errors
    /// [`LoadError::Record`] for what cannot be decoded.
    pub fn finish(self) -> Result<R::Machine, LoadError> {
        self.replay.finish()
    }
}

//! Loading: a shard's state out of the log that holds it.
//!
//! A log of a million commits is mostly the same keys over and over, so a record costs no copy
//! but that of its value: names are copied when they are met first, and of a group's many
//! states only the last is decoded.

use std::collections::HashMap;

use bytes::Bytes;
use vltava_wire::batch::{Batch, BatchError, Batches, ControlRecordType, Record};
use vltava_wire::{Offset, ProducerId, Str};

use super::config::GroupConfig;
use super::consumer::ConsumerGroup;
use super::desk::OffsetChange;
use super::log::ReadError;
use super::machine::Shard;
use super::record::{self, CommittedOffset, ConsumerKey, Key, RecordError};
use super::state::Group;

/// What the records of one batch may take in memory when decompressed, in bytes: far above the
/// largest batch that a coordinator writes.
const BATCH_MEMORY_MAX: usize = 64 * 1024 * 1024;

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

/// Takes in the log of a partition, from its start to its end.
#[derive(Debug)]
pub struct Loader {
    shard: Shard,
    next: Offset,
    /// The last stored state of each group, undecoded, and where it is.
    groups: HashMap<Str, (Offset, Vec<u8>)>,
    /// Offsets that a transaction committed which has not ended.
    transactions: HashMap<ProducerId, Vec<OffsetChange>>,
    /// Records that were taken in.
    records: u64,
    /// Records of kinds that are not known here.
    skipped: u64,
}

impl Loader {
    /// Starts at the first offset of the log.
    pub fn new(config: GroupConfig, log_start: Offset) -> Self {
        Self {
            shard: Shard::new(config),
            next: log_start,
            groups: HashMap::new(),
            transactions: HashMap::new(),
            records: 0,
            skipped: 0,
        }
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
                self.end_transaction(batch.header.producer_id, &record);
                continue;
            }
            let taken = self.take_record(producer, &record);
            taken.map_err(|source| LoadError::Record { at: record.offset, source })?;
        }
        Ok(())
    }

    fn take_record(
        &mut self,
        producer: Option<ProducerId>,
        record: &Record<'_>,
    ) -> Result<(), RecordError> {
        match Key::parse(record.key.ok_or(RecordError::NoKey)?)? {
            Key::Offset { group, topic, partition } => {
                let value = record.value.map(CommittedOffset::parse).transpose()?;
                match (producer, value) {
                    (Some(producer), value) => {
                        let (group, topic) = (Str::from(group), Str::from(topic));
                        let change = OffsetChange { group, topic, partition, value };
                        self.transactions.entry(producer).or_default().push(change);
                    }
                    (None, Some(value)) => self.shard.offsets.put(group, topic, partition, value),
                    (None, None) => self.shard.offsets.remove(group, topic, partition),
                }
            }
            Key::Group(group) => match record.value {
                Some(value) => self.take_group(group, record.offset, value),
                None => {
                    self.groups.remove(group);
                }
            },
            Key::Consumer(group, key) => self.take_consumer(group, key, record.value)?,
            Key::Other(_) => self.skipped += 1,
        }
        Ok(())
    }

    fn take_consumer(
        &mut self,
        id: &str,
        key: ConsumerKey<'_>,
        value: Option<&[u8]>,
    ) -> Result<(), RecordError> {
        let groups = &mut self.shard.consumers;
        if value.is_none() && key == ConsumerKey::Group {
            groups.remove(id);
            return Ok(());
        }
        if !groups.contains_key(id) {
            if value.is_none() {
                return Ok(());
            }
            groups.insert(Str::from(id), ConsumerGroup::new(Str::from(id)));
        }
        let group = groups.get_mut(id).expect("the group was just made");
        group.apply(key.change(value)?);
        Ok(())
    }

    fn take_group(&mut self, group: &str, at: Offset, value: &[u8]) {
        match self.groups.get_mut(group) {
            Some((offset, stored)) => {
                *offset = at;
                stored.clear();
                stored.extend_from_slice(value);
            }
            None => {
                self.groups.insert(Str::from(group), (at, value.to_vec()));
            }
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, record: &Record<'_>) {
        let changes = self.transactions.remove(&producer).unwrap_or_default();
        if ControlRecordType::from_key(record.key) == Ok(Some(ControlRecordType::Commit)) {
            changes.into_iter().for_each(|change| self.shard.offsets.apply(change));
        }
    }

    /// The shard as the log describes it; its clocks start with [`Shard::start`].
    ///
    /// # Errors
    /// [`LoadError::Record`] for a group that cannot be decoded.
    pub fn finish(mut self) -> Result<Shard, LoadError> {
        if self.skipped > 0 {
            tracing::warn!(
                records = self.skipped,
                "passed over records of group protocols that are not supported"
            );
        }
        // A group that was left without its epoch is what compaction has left of one that is gone.
        self.shard.consumers.retain(|_, group| group.epoch > 0 || !group.members.is_empty());
        for (id, (at, stored)) in self.groups {
            let value = record::parse_group(Bytes::from(stored))
                .map_err(|source| LoadError::Record { at, source })?;
            let group = Group::stored(id.clone(), &value);
            self.shard.groups.insert(id, group);
        }
        Ok(self.shard)
    }
}

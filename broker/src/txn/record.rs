//! The records of `__transaction_state`, as Kafka 4.2 writes them.
//!
//! A key starts with the type of the record (two bytes, 0), a value with the version of its
//! format: 1 where the cluster has `transaction.version` 1 or above, else 0, which lacks what
//! KIP-890 needs. Reading takes both.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use vltava_wire::batch;
use vltava_wire::records::transaction::{PartitionsSchema, TransactionLogKey, TransactionLogValue};
use vltava_wire::{Message, Offset, ProducerId, Str, Writer};

use super::config::TxnConfig;
use super::machine::Shard;
use super::state::{NO_EPOCH, State, Stored, by_topic};
use crate::shard::{LoadError, Record, RecordError, Replay};

const TRANSACTION: i16 = 0;
const VALUE: &str = "TransactionLogValue";

/// The level of `transaction.version` from which on values have tagged fields.
const TAGGED_SINCE: i16 = 1;

/// The record that stores a transactional id as it is to become, or takes it back. `level` is
/// that of `transaction.version`.
pub fn transaction(id: &Str, stored: Option<&Stored>, level: i16) -> Record {
    let mut key = Writer::new();
    key.i16(TRANSACTION);
    TransactionLogKey { transactional_id: id.clone() }.write(&mut key, 0);
    Record { key: key.into_bytes(), value: stored.map(|stored| value(stored, level)) }
}

fn value(stored: &Stored, level: i16) -> Bytes {
    let partitions = by_topic(&stored.partitions).into_iter();
    let partitions =
        partitions.map(|(topic, partition_ids)| PartitionsSchema { topic, partition_ids });
    let value = TransactionLogValue {
        producer_id: stored.producer_id,
        previous_producer_id: stored.previous_producer_id,
        next_producer_id: stored.next_producer_id,
        producer_epoch: stored.producer_epoch,
        transaction_timeout_ms: stored.timeout_ms,
        transaction_status: stored.state as i8,
        transaction_partitions: (stored.state != State::Empty).then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: stored.last_update_ms,
        transaction_start_timestamp_ms: stored.start_ms,
        client_transaction_version: stored.client_version,
    };
    let version = i16::from(level >= TAGGED_SINCE);
    let mut writer = Writer::new();
    writer.i16(version);
    value.write(&mut writer, version);
    writer.into_bytes()
}

/// What a value says.
///
/// # Errors
/// [`RecordError::Version`] and [`RecordError::Malformed`].
pub fn parse(bytes: &[u8]) -> Result<Stored, RecordError> {
    let (version, body) = bytes.split_first_chunk().ok_or(RecordError::Malformed(VALUE))?;
    let version = i16::from_be_bytes(*version);
    if !TransactionLogValue::VERSIONS.contains(version) {
        return Err(RecordError::Version { what: VALUE, version });
    }
    let value = TransactionLogValue::read(Bytes::copy_from_slice(body), version);
    let value = value.map_err(|_| RecordError::Malformed(VALUE))?;
    let state = State::from_code(value.transaction_status);
    let mut partitions = BTreeSet::new();
    for topic in value.transaction_partitions.unwrap_or_default() {
        let name = topic.topic.detach();
        partitions.extend(topic.partition_ids.into_iter().map(|index| (name.clone(), index)));
    }
    Ok(Stored {
        producer_id: value.producer_id,
        previous_producer_id: value.previous_producer_id,
        next_producer_id: value.next_producer_id,
        producer_epoch: value.producer_epoch,
        last_producer_epoch: NO_EPOCH,
        timeout_ms: value.transaction_timeout_ms,
        state: state.ok_or(RecordError::Malformed(VALUE))?,
        partitions,
        start_ms: value.transaction_start_timestamp_ms,
        last_update_ms: value.transaction_last_update_timestamp_ms,
        client_version: value.client_transaction_version,
    })
}

fn parse_key(bytes: &[u8]) -> Result<Option<Str>, RecordError> {
    let malformed = RecordError::Malformed("TransactionLogKey");
    let (kind, body) = bytes.split_first_chunk().ok_or(malformed.clone())?;
    if i16::from_be_bytes(*kind) != TRANSACTION {
        return Ok(None);
    }
    let key = TransactionLogKey::read(Bytes::copy_from_slice(body), 0).map_err(|_| malformed)?;
    Ok(Some(key.transactional_id))
}

/// Takes in the records of a partition.
#[derive(Debug)]
pub struct TxnReplay {
    config: TxnConfig,
    /// The last stored state of each id, undecoded, and where it is.
    stored: HashMap<Str, (Offset, Vec<u8>)>,
    /// Records of kinds that are not known here.
    skipped: u64,
}

impl TxnReplay {
    /// Nothing has been taken in.
    pub fn new(config: TxnConfig) -> Self {
        Self { config, stored: HashMap::new(), skipped: 0 }
    }
}

impl Replay for TxnReplay {
    type Machine = Shard;

    fn record(
        &mut self,
        _: Option<ProducerId>,
        record: &batch::Record<'_>,
    ) -> Result<(), RecordError> {
        let Some(id) = parse_key(record.key.ok_or(RecordError::NoKey)?)? else {
            self.skipped += 1;
            return Ok(());
        };
        match record.value {
            None => drop(self.stored.remove(&id)),
            Some(value) => match self.stored.get_mut(&id) {
                Some((offset, stored)) => {
                    *offset = record.offset;
                    stored.clear();
                    stored.extend_from_slice(value);
                }
                None => {
                    self.stored.insert(id.detach(), (record.offset, value.to_vec()));
                }
            },
        }
        Ok(())
    }

    fn end_transaction(&mut self, _: ProducerId, _: bool) {
        // The coordinator's own records are part of no transaction.
    }

    fn finish(self) -> Result<Shard, LoadError> {
        if self.skipped > 0 {
            tracing::warn!(records = self.skipped, "passed over records of unknown kinds");
        }
        let mut shard = Shard::new(self.config);
        for (id, (at, stored)) in self.stored {
            let stored = parse(&stored).map_err(|source| LoadError::Record { at, source })?;
            shard.put(id, stored);
        }
        Ok(shard)
    }
}

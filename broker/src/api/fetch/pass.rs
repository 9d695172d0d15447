//! One look at all partitions of a fetch: what can be read from where, within its limits.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use vltava_log::Slice;
use vltava_net::error_chain;
use vltava_wire::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, PartitionData,
};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset, RecordBytes};

use super::nearest::Nearest;
use super::records;
use super::session::{Fetched, PartitionKey, TopicKey, Wanted};
use crate::error::ToErrorCode;
use crate::partition::read::{ReadAt, Readable, Reader};
use crate::partition::waiter::{Registration, Wake};
use crate::partition::{Partition, PartitionError, Partitions};

/// So many bytes that are most likely in the page cache are read on the thread that serves the
/// socket: about 20 µs. More are read beside it, and what is not in the page cache is brought
/// there.
const READ_HERE_BYTES: usize = 256 << 10;

/// How much a fetch may and should bring.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes at most; a first batch that is larger is read all the same.
    pub max_bytes: usize,
    /// Whether a consumer may be served by a follower, too.
    pub any_replica: bool,
    /// Bytes that are worth an answer before the time is over.
    pub min_bytes: usize,
}

/// One partition of a pass.
struct Entry {
    key: PartitionKey,
    fetch: FetchPartition,
    found: Found,
    /// The replica that the consumer had better read from: then nothing is read here.
    preferred: Option<NodeId>,
}

enum Found {
    /// It is not here; nothing changes that while the request waits but a new image.
    Missing(ErrorCode),
    Here(Arc<Partition>, Result<Readable, PartitionError>),
}

/// One look at all partitions of a fetch.
pub struct Pass {
    entries: Vec<Entry>,
    bytes: usize,
    limits: Limits,
}

impl Pass {
    /// Looks for the first time; a follower's fetch is noted.
    pub fn first(
        partitions: &Partitions,
        wanted: &[Wanted],
        reader: Reader,
        limits: Limits,
        nearest: Option<&Nearest>,
    ) -> Self {
        let mut room = Room::new(limits);
        let mut entries = Vec::with_capacity(wanted.len());
        for Wanted { key, fetch } in wanted {
            let found = match &key.topic {
                TopicKey::Id(id) => partitions.by_id(*id, key.partition),
                TopicKey::Name(name) => partitions.by_name(name, key.partition),
            };
            let mut preferred = None;
            let found = match found {
                Ok(partition) => {
                    preferred = nearest.and_then(|nearest| {
                        nearest.choose(&partition.followers_at(Offset(fetch.fetch_offset)))
                    });
                    let read = match preferred {
                        Some(_) => room.look(&partition, fetch, reader),
                        None => room.read(&partition, fetch, reader, true),
                    };
                    Found::Here(partition, read)
                }
                Err(error) => Found::Missing(error.code()),
            };
            entries.push(Entry { key: key.clone(), fetch: fetch.clone(), found, preferred });
        }
        Self { entries, bytes: room.bytes, limits }
    }

    /// Looks again.
    pub fn again(mut self, reader: Reader, limits: Limits) -> Self {
        let mut room = Room::new(limits);
        for entry in &mut self.entries {
            if let Found::Here(partition, read) = &mut entry.found
                && entry.preferred.is_none()
            {
                *read = room.read(partition, &entry.fetch, reader, false);
            }
        }
        (self.bytes, self.limits) = (room.bytes, limits);
        self
    }

    /// Bytes that were found.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of them that must be read into memory to be sent.
    pub fn bytes_in_memory(&self) -> usize {
        let slices = self.entries.iter().filter_map(Entry::slice);
        slices.filter(|slice| !records::is_region(slice)).map(Slice::len).sum()
    }

    /// Counts what a follower gets of throttled replicas.
    pub fn note_served(&self, now: Instant) {
        for entry in &self.entries {
            if let Found::Here(partition, Ok(Readable { slice: Some(slice), .. })) = &entry.found {
                partition.note_served(slice.len(), now);
            }
        }
    }

    /// Whether this is worth an answer now: enough bytes, or something that cannot wait.
    pub fn is_enough(&self, limits: Limits) -> bool {
        let cannot_wait = |entry: &Entry| match &entry.found {
            Found::Missing(_) | Found::Here(_, Err(_)) => true,
            Found::Here(_, Ok(readable)) => {
                readable.diverging.is_some()
                    || entry.preferred.is_some()
                    || entry.has_news(readable)
            }
        };
        self.bytes >= limits.min_bytes || self.entries.iter().any(cannot_wait)
    }

    /// Has `wake` woken when one of the partitions has more.
    pub fn watch(&self, reader: Reader, wake: &Wake) -> Vec<Registration> {
        let mut places = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let Found::Here(partition, _) = &entry.found else { continue };
            let at = read_at(&entry.fetch, 0, false, self.limits.any_replica);
            places.push(partition.watch(&at, reader, wake));
            let known = entry.fetch.high_watermark;
            if known < i64::MAX {
                places.push(partition.watch_high_watermark(Offset(known), wake));
            }
        }
        places
    }

    /// Reads the bytes, and says for each partition what became of it.
    pub async fn read(self, reader: Reader) -> Vec<Fetched> {
        let is_hot = self.entries.iter().all(Entry::is_hot);
        let is_quick = is_hot && self.bytes_in_memory() <= READ_HERE_BYTES;
        let read_all = move || -> Vec<Fetched> {
            if !is_hot {
                self.entries.iter().filter_map(Entry::slice).for_each(records::load);
            }
            let entries = self.entries.into_iter();
            entries.map(|entry| entry.read(reader)).collect()
        };
        if is_quick {
            return read_all();
        }
        // A panic has been told of; its client sees an answer without partitions, and asks again.
        tokio::task::spawn_blocking(read_all).await.unwrap_or_default()
    }
}

/// What is left of a fetch's limits during a pass.
struct Room {
    left: usize,
    bytes: usize,
    any_replica: bool,
}

impl Room {
    fn new(limits: Limits) -> Self {
        Self { left: limits.max_bytes, bytes: 0, any_replica: limits.any_replica }
    }

    /// Looks at a partition without reading.
    fn look(
        &self,
        partition: &Partition,
        fetch: &FetchPartition,
        reader: Reader,
    ) -> Result<Readable, PartitionError> {
        partition.read(&read_at(fetch, 0, false, self.any_replica), reader, false)
    }

    fn read(
        &mut self,
        partition: &Partition,
        fetch: &FetchPartition,
        reader: Reader,
        notes: bool,
    ) -> Result<Readable, PartitionError> {
        let is_held_back = match reader {
            Reader::Follower { node, .. } => partition.holds_back(node, Instant::now()),
            Reader::Consumer | Reader::CommittedConsumer => false,
        };
        // What a throttled follower has is noted all the same.
        let at = match is_held_back {
            true => read_at(fetch, 0, false, self.any_replica),
            false => read_at(fetch, self.left, self.bytes == 0, self.any_replica),
        };
        let readable = partition.read(&at, reader, notes)?;
        let found = readable.slice.as_ref().map_or(0, Slice::len);
        self.bytes += found;
        self.left = self.left.saturating_sub(found);
        Ok(readable)
    }
}

fn read_at(fetch: &FetchPartition, left: usize, min_one_batch: bool, any_replica: bool) -> ReadAt {
    ReadAt {
        offset: Offset(fetch.fetch_offset),
        max_bytes: usize::try_from(fetch.partition_max_bytes).unwrap_or(0).min(left),
        min_one_batch,
        leader_epoch: LeaderEpoch(fetch.current_leader_epoch),
        last_epoch: LeaderEpoch(fetch.last_fetched_epoch),
        log_start: Offset(fetch.log_start_offset),
        any_replica,
    }
}

impl Entry {
    /// Whether a follower that consumers read from, and that has all that is committed, does not
    /// know so yet (KIP-392).
    fn has_news(&self, readable: &Readable) -> bool {
        let high_watermark = readable.high_watermark.get();
        high_watermark > self.fetch.high_watermark && self.fetch.fetch_offset >= high_watermark
    }

    fn slice(&self) -> Option<&Slice> {
        match &self.found {
            Found::Here(_, Ok(readable)) => readable.slice.as_ref(),
            _ => None,
        }
    }

    /// Whether its records can be had without waiting for the disk.
    fn is_hot(&self) -> bool {
        let Found::Here(_, Ok(readable)) = &self.found else { return true };
        readable.is_hot || readable.slice.as_ref().is_none_or(records::is_cached)
    }

    fn read(self, reader: Reader) -> Fetched {
        let partition_index = self.key.partition;
        let region = self.slice().and_then(records::region);
        let data = match self.found {
            // Kafka's answer has a list here, and none where a partition refuses.
            Found::Missing(code) => {
                PartitionData { aborted_transactions: Some(Vec::new()), ..refused(code) }
            }
            Found::Here(partition, Err(error)) => failed(&partition, &error, reader),
            Found::Here(partition, Ok(readable)) => {
                let records = match &region {
                    Some(region) => RecordBytes::Elsewhere(region.len()),
                    None => read(&partition, readable.slice.as_ref()).into(),
                };
                answered(readable, records, reader)
            }
        };
        let preferred_read_replica = self.preferred.map_or(-1, NodeId::get);
        let data = PartitionData { partition_index, preferred_read_replica, ..data };
        Fetched { key: self.key, data, region }
    }
}

fn refused(error_code: ErrorCode) -> PartitionData {
    PartitionData {
        error_code,
        high_watermark: -1,
        records: Some(RecordBytes::default()),
        aborted_transactions: None,
        ..PartitionData::default()
    }
}

fn failed(partition: &Partition, error: &PartitionError, reader: Reader) -> PartitionData {
    let mut data = refused(error.code());
    match (error, reader) {
        // A follower begins anew where its leader's log starts, and need not ask for that.
        (PartitionError::OffsetOutOfRange { log_start, .. }, Reader::Follower { .. }) => {
            data.log_start_offset = log_start.get();
        }
        (PartitionError::Log(_), _) => {
            tracing::warn!(partition = %partition.name, error = error_chain(error), "cannot read");
        }
        _ => {}
    }
    data
}

fn read(partition: &Partition, slice: Option<&Slice>) -> Bytes {
    match slice.map(Slice::read) {
        None => Bytes::new(),
        Some(Ok(bytes)) => bytes,
        Some(Err(error)) => {
            // The log was cut meanwhile, or the disk fails: the next fetch finds out.
            let error = error_chain(&error);
            tracing::warn!(partition = %partition.name, error, "records cannot be read");
            Bytes::new()
        }
    }
}

fn answered(readable: Readable, records: RecordBytes, reader: Reader) -> PartitionData {
    let aborted = readable.aborted.iter().map(|aborted| AbortedTransaction {
        producer_id: aborted.producer_id.get(),
        first_offset: aborted.first_offset.get(),
    });
    let mut data = PartitionData {
        high_watermark: readable.high_watermark.get(),
        last_stable_offset: readable.last_stable.get(),
        log_start_offset: readable.log_start.get(),
        aborted_transactions: (reader == Reader::CommittedConsumer).then(|| aborted.collect()),
        records: Some(records),
        ..PartitionData::default()
    };
    if let Some(diverging) = readable.diverging {
        data.diverging_epoch =
            EpochEndOffset { epoch: diverging.epoch.get(), end_offset: diverging.end.get() };
    }
    data
}

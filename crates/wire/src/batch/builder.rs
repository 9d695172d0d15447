//! Making a batch, record by record.

use bytes::BytesMut;

use super::control::{ControlRecord, ControlRecordType};
use super::header::{
    ATTRIBUTES_AT, Attributes, BATCH_OVERHEAD, BatchHeader, CRC_AT, LOG_OVERHEAD, NO_SEQUENCE,
    NO_TIMESTAMP, TimestampType,
};
use super::varint::{put_nullable_bytes, put_varint, put_varlong};
use crate::compression::Compression;
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// A record header to write: its name and its value.
pub type HeaderPair<'a> = (&'a str, Option<&'a [u8]>);

/// Collects records and makes one batch of them.
///
/// The caller ends a batch before it grows beyond what the log takes: see
/// [`size_in_bytes`](Self::size_in_bytes).
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    partition_leader_epoch: LeaderEpoch,
    attributes: Attributes,
    compression: Compression,
    append_time: Option<i64>,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    last_offset_delta: i32,
    count: i32,
    records: Vec<u8>,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    /// A batch whose first record has that offset: uncompressed, of no idempotent producer, with
    /// the producer's timestamps and no leader epoch.
    pub fn new(base_offset: Offset) -> Self {
        Self {
            base_offset,
            partition_leader_epoch: LeaderEpoch::UNKNOWN,
            attributes: Attributes::default(),
            compression: Compression::None,
            append_time: None,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch(-1),
            base_sequence: NO_SEQUENCE,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            last_offset_delta: -1,
            count: 0,
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Sets the epoch of the leader that appends the batch.
    #[must_use]
    pub fn partition_leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.partition_leader_epoch = epoch;
        self
    }

    /// Sets the codec.
    #[must_use]
    pub fn compression(mut self, codec: Compression) -> Self {
        self.compression = codec;
        self
    }

    /// Sets the idempotent producer, and the sequence number of the first record.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional();
        self
    }

    /// Marks the batch as one of control records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control();
        self
    }

    /// Gives all records the broker's time, in ms since 1970, whatever they are appended with.
    #[must_use]
    pub fn log_append_time(mut self, now: i64) -> Self {
        self.attributes = self.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.append_time = Some(now);
        self
    }

    /// Appends a record at the next offset; `timestamp` in ms since 1970.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderPair<'_>],
    ) {
        let offset = self.next_offset();
        self.append_at(offset, timestamp, key, value, headers);
    }

    /// Appends a control record at the next offset; `timestamp` in ms since 1970.
    ///
    /// # Panics
    /// If the batch is not one of control records.
    pub fn append_control_record(&mut self, timestamp: i64, record: &ControlRecord) {
        self.append_control(record.kind(), timestamp, &record.value());
    }

    /// Appends a control record of that type, its value already encoded, at the next offset.
    ///
    /// # Panics
    /// If the batch is not one of control records.
    pub fn append_control(&mut self, kind: ControlRecordType, timestamp: i64, value: &[u8]) {
        assert!(self.attributes.is_control(), "control records belong into control batches");
        self.append(timestamp, Some(&kind.key()), Some(value), &[]);
    }

    /// Appends a record at an offset that may leave a gap, as compaction does.
    ///
    /// # Panics
    /// If the offset is not beyond the last one, or 2³¹ or more beyond the first.
    pub fn append_at(
        &mut self,
        offset: Offset,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderPair<'_>],
    ) {
        let offset_delta =
            i32::try_from(offset - self.base_offset).expect("a batch spans fewer than 2³¹ offsets");
        assert!(offset_delta > self.last_offset_delta, "offsets of a batch rise");
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        let body = &mut self.scratch;
        body.clear();
        body.push(0);
        put_varlong(body, timestamp.wrapping_sub(self.base_timestamp));
        put_varint(body, offset_delta);
        put_nullable_bytes(body, key);
        put_nullable_bytes(body, value);
        put_varint(body, i32::try_from(headers.len()).expect("a record has fewer headers"));
        for (name, value) in headers {
            put_nullable_bytes(body, Some(name.as_bytes()));
            put_nullable_bytes(body, *value);
        }
        let length = i32::try_from(body.len()).expect("a record is below 2 GiB");
        put_varint(&mut self.records, length);
        self.records.append(body);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = offset_delta;
        self.count += 1;
    }

    /// The offset that [`append`](Self::append) gives to the next record.
    pub fn next_offset(&self) -> Offset {
        self.base_offset + (i64::from(self.last_offset_delta) + 1)
    }

    /// How many records were appended.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether no record was appended.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch before compression.
    pub fn size_in_bytes(&self) -> usize {
        BATCH_OVERHEAD + self.records.len()
    }

    /// The batch's bytes.
    ///
    /// # Panics
    /// If no record was appended, or the batch is 2 GiB or more.
    pub fn build(self) -> BytesMut {
        assert!(!self.is_empty(), "a batch has a record at least");
        let records = match self.compression {
            Compression::None => self.records,
            codec => codec.compress(&self.records),
        };
        let size = BATCH_OVERHEAD + records.len();
        let header = BatchHeader {
            base_offset: self.base_offset,
            batch_length: i32::try_from(size - LOG_OVERHEAD).expect("a batch is below 2 GiB"),
            partition_leader_epoch: self.partition_leader_epoch,
            crc: 0,
            attributes: self.attributes.with_compression(self.compression),
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.count,
        };
        let mut batch = BytesMut::with_capacity(size);
        batch.extend_from_slice(&header.to_bytes());
        batch.extend_from_slice(&records);
        let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        batch
    }
}

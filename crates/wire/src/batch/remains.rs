//! What compaction leaves of a batch.
//!
//! Offsets, sequence numbers, producer and leader epoch stay those of the original: the batch ends
//! at the offset at which it ended, also if its last records are gone, and a batch may have no
//! record left at all.

use bytes::BytesMut;

use super::header::{
    ATTRIBUTES_AT, BATCH_OVERHEAD, BatchHeader, CRC_AT, LOG_OVERHEAD, NO_TIMESTAMP, TimestampType,
};
use super::record::Record;
use super::varint::{put_nullable_bytes, put_varint, put_varlong};
use crate::compression::Compression;

/// Collects the records of a batch that are kept, and makes a batch of them.
#[derive(Debug)]
pub struct Remains {
    header: BatchHeader,
    delete_horizon: Option<i64>,
    max_timestamp: i64,
    count: i32,
    records: Vec<u8>,
    scratch: Vec<u8>,
}

impl Remains {
    /// Starts with no record of the batch of that header. `delete_horizon` is the time from which
    /// its tombstones may go, in ms since 1970 (KIP-534).
    pub fn of(header: &BatchHeader, delete_horizon: Option<i64>) -> Self {
        Self {
            header: *header,
            delete_horizon,
            max_timestamp: NO_TIMESTAMP,
            count: 0,
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Keeps a record of the batch; in the order of their offsets.
    pub fn keep(&mut self, record: &Record<'_>) {
        let horizon = self.delete_horizon;
        if self.count == 0 {
            self.header.base_timestamp = horizon.unwrap_or(record.timestamp);
        }
        let offset_delta = i32::try_from(record.offset - self.header.base_offset)
            .expect("a record lies within its batch");
        let body = &mut self.scratch;
        body.clear();
        body.push(0);
        put_varlong(body, record.timestamp.wrapping_sub(self.header.base_timestamp));
        put_varint(body, offset_delta);
        put_nullable_bytes(body, record.key);
        put_nullable_bytes(body, record.value);
        put_varint(body, i32::try_from(record.headers.len()).expect("as many as were there"));
        for header in record.headers {
            put_nullable_bytes(body, Some(header.key));
            put_nullable_bytes(body, header.value);
        }
        let length = i32::try_from(body.len()).expect("a record is below 2 GiB");
        put_varint(&mut self.records, length);
        self.records.append(body);
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.count += 1;
    }

    /// The batch, compressed as the original was; without records, if none was kept.
    ///
    /// # Panics
    /// If it is 2 GiB or more.
    pub fn build(self) -> BytesMut {
        let is_empty = self.count == 0;
        let codec = if is_empty { Compression::None } else { self.header.compression() };
        let records = match codec {
            Compression::None => self.records,
            codec => codec.compress(&self.records),
        };
        let size = BATCH_OVERHEAD + records.len();
        let horizon = self.delete_horizon.filter(|_| !is_empty);
        let is_create_time = self.header.timestamp_type() == TimestampType::CreateTime;
        let attributes =
            self.header.attributes.with_compression(codec).with_delete_horizon(horizon.is_some());
        let header = BatchHeader {
            batch_length: i32::try_from(size - LOG_OVERHEAD).expect("a batch is below 2 GiB"),
            crc: 0,
            attributes,
            base_timestamp: if is_empty { NO_TIMESTAMP } else { self.header.base_timestamp },
            max_timestamp: match is_create_time && !is_empty {
                true => self.max_timestamp,
                false => self.header.max_timestamp,
            },
            records_count: self.count,
            ..self.header
        };
        let mut batch = BytesMut::with_capacity(size);
        batch.extend_from_slice(&header.to_bytes());
        batch.extend_from_slice(&records);
        let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, BatchBuilder};
    use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

    /// Four records from offset 10 on, of a producer, with headers.
    fn original(codec: Compression) -> BytesMut {
        let mut builder = BatchBuilder::new(Offset(10))
            .compression(codec)
            .partition_leader_epoch(LeaderEpoch(3))
            .producer(ProducerId(7), ProducerEpoch(1), 40);
        for number in 0..4u8 {
            let value: &[u8] = &[number];
            let value = Some(value).filter(|_| number != 2);
            builder.append(1000 + i64::from(number), Some(b"key"), value, &[("h", Some(b"x"))]);
        }
        builder.build()
    }

    fn keep(bytes: &[u8], kept: &[i64], horizon: Option<i64>) -> BytesMut {
        let batch = Batch::parse(bytes).unwrap();
        let mut remains = Remains::of(&batch.header, horizon);
        for record in &batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            if kept.contains(&record.offset.0) {
                remains.keep(&record);
            }
        }
        remains.build()
    }

    #[test]
    fn what_is_left_keeps_offsets_times_and_sequences() {
        for codec in Compression::ALL {
            for horizon in [None, Some(99_000)] {
                let bytes = keep(&original(codec), &[11, 12], horizon);
                let batch = Batch::parse(&bytes).unwrap();
                batch.verify_crc().unwrap();
                let header = batch.header;
                assert_eq!((header.base_offset, header.last_offset()), (Offset(10), Offset(13)));
                assert_eq!((header.base_sequence, header.last_sequence()), (40, 43));
                assert_eq!(header.partition_leader_epoch, LeaderEpoch(3));
                assert_eq!(header.delete_horizon(), horizon);
                assert_eq!((header.compression(), header.max_timestamp), (codec, 1002));
                let records = batch.records(1 << 20).unwrap();
                let left: Vec<_> = records
                    .iter()
                    .map(|it| it.unwrap())
                    .map(|it| (it.offset.0, it.timestamp, it.value.map(<[u8]>::to_vec)))
                    .collect();
                assert_eq!(left, [(11, 1001, Some(vec![1])), (12, 1002, None)]);
                assert!(records.iter().all(|it| it.unwrap().headers.len() == 1));
            }
        }
    }

    #[test]
    fn a_batch_without_records_still_says_where_it_ends() {
        let bytes = keep(&original(Compression::Zstd), &[], Some(5));
        let batch = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(bytes.len(), BATCH_OVERHEAD);
        assert_eq!(batch.header.next_offset(), Offset(14));
        assert_eq!(batch.header.last_sequence(), 43);
        assert_eq!((batch.header.max_timestamp, batch.header.base_timestamp), (1003, -1));
        assert_eq!(batch.header.delete_horizon(), None);
        assert_eq!(batch.records(0).unwrap().len(), 0);
    }

    #[test]
    fn a_kept_batch_of_the_brokers_time_keeps_that_time() {
        let mut builder = BatchBuilder::new(Offset(0)).log_append_time(5000);
        builder.append(1, Some(b"a"), Some(b"1"), &[]);
        builder.append(2, Some(b"b"), Some(b"2"), &[]);
        let bytes = keep(&builder.build(), &[1], None);
        let batch = Batch::parse(&bytes).unwrap();
        assert_eq!(batch.header.max_timestamp, 5000);
        let records = batch.records(1 << 20).unwrap();
        let times: Vec<_> = records.iter().map(|it| it.unwrap().timestamp).collect();
        assert_eq!(times, [5000]);
    }
}

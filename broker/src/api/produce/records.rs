//! What a leader demands of the records of a batch before it appends them, as Kafka's
//! `LogValidator` does: a reader that meets records which cannot be decoded gets no further.

use bytes::{Bytes, BytesMut};
use vltava_wire::batch::{
    Batch, BatchError, BatchErrorKind, BatchHeader, NO_TIMESTAMP, TimestampType,
    set_max_timestamp_and_type,
};
use vltava_wire::messages::produce::BatchIndexAndErrorMessage;
use vltava_wire::{ErrorCode, Str};

use super::Refusal;
use crate::partition::PartitionName;
use crate::partition::recompress::DECOMPRESSED_MAX;

/// As many as a message names, as in Kafka.
const NAMED_MAX: usize = 3;

/// What the records of a batch turned out to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// The largest timestamp of a record.
    max_timestamp: i64,
    /// The indexes of records without a key.
    keyless: Vec<i32>,
}

/// Reads all records: as many as the header says, with offsets from 0 on that leave none out.
fn read(batch: &Batch<'_>, wants_keys: bool) -> Result<Found, BatchError> {
    let mut found = Found { max_timestamp: NO_TIMESTAMP, ..Found::default() };
    let base = batch.header.base_offset.get();
    for (record, index) in batch.records(DECOMPRESSED_MAX)?.iter().zip(0..) {
        let record = record?;
        let delta = record.offset.get().wrapping_sub(base);
        if delta != i64::from(index) {
            return Err(BatchError { at: batch.at, kind: BatchErrorKind::OffsetDelta(delta) });
        }
        found.max_timestamp = found.max_timestamp.max(record.timestamp);
        if wants_keys && record.key.is_none() {
            found.keyless.push(index);
        }
    }
    Ok(found)
}

/// Checks the one batch of `bytes`, whose CRC the log verifies. Returns the batch, with the largest
/// timestamp that it really has.
///
/// # Errors
/// INVALID_RECORD for records that contradict the header or cannot be decoded, or that have no key
/// where the topic is compacted; INVALID_TIMESTAMP for a clock that is not the producer's to
/// choose; CORRUPT_MESSAGE if it is the bytes that were damaged on their way.
pub(super) fn check(
    bytes: Bytes,
    compact: bool,
    partition: &PartitionName,
) -> Result<Bytes, Refusal> {
    let corrupt =
        |error: BatchError| Refusal::because(ErrorCode::CORRUPT_MESSAGE, error.to_string());
    let batch = Batch::parse(&bytes).map_err(corrupt)?;
    // Whatever is wrong with bytes that were damaged on their way, it is not what was sent.
    let refuse = |refusal: Refusal| batch.verify_crc().map_or_else(corrupt, |()| refusal);
    let invalid = |error: BatchError| {
        refuse(Refusal::because(ErrorCode::INVALID_RECORD, vltava_net::error_chain(&error)))
    };
    let BatchHeader { base_offset, max_timestamp, .. } = batch.header;
    batch.header.check_produced().map_err(|kind| invalid(BatchError { at: 0, kind }))?;
    if base_offset.get() != 0 {
        let kind = BatchErrorKind::OffsetDelta(base_offset.get());
        return Err(invalid(BatchError { at: 0, kind }));
    }
    if batch.header.timestamp_type() == TimestampType::LogAppendTime {
        let what = "a producer may not set the timestamp type to LogAppendTime";
        return Err(refuse(Refusal::because(ErrorCode::INVALID_TIMESTAMP, what)));
    }
    let found = read(&batch, compact).map_err(invalid)?;
    if !found.keyless.is_empty() {
        return Err(refuse(without_key(found.keyless, partition)));
    }
    if found.max_timestamp == max_timestamp {
        return Ok(bytes);
    }
    batch.verify_crc().map_err(corrupt)?;
    let mut bytes = BytesMut::from(&bytes[..]);
    set_max_timestamp_and_type(&mut bytes, TimestampType::CreateTime, found.max_timestamp);
    Ok(bytes.freeze())
}

/// Nobody could say what records without a key replace.
fn without_key(found: Vec<i32>, partition: &PartitionName) -> Refusal {
    let error =
        format!("Compacted topic cannot accept message without key in topic partition {partition}");
    let named: Vec<_> = found
        .iter()
        .take(NAMED_MAX)
        .map(|index| format!("RecordError(batchIndex={index}, message='{error}')"))
        .collect();
    let message = format!(
        "One or more records have been rejected due to {} record errors in total, and only \
         showing the first three errors at most: [{}]",
        found.len(),
        named.join(", ")
    );
    let record_errors = found.into_iter().map(|batch_index| BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(Str::from(error.as_str())),
    });
    let record_errors = record_errors.collect();
    Refusal { record_errors, ..Refusal::because(ErrorCode::INVALID_RECORD, message) }
}

#[cfg(test)]
mod tests {
    use vltava_wire::Offset;
    use vltava_wire::batch::{BATCH_OVERHEAD, BatchBuilder, refresh_crc};
    use vltava_wire::compression::Compression;

    use super::*;

    /// Where fields of a batch are.
    const LAST_OFFSET_DELTA_AT: usize = 23;
    const MAX_TIMESTAMP_AT: usize = 35;
    const COUNT_AT: usize = 57;

    fn checked(bytes: &[u8], compact: bool) -> Result<Bytes, Refusal> {
        let name = PartitionName { topic: "t".into(), topic_id: vltava_wire::Uuid(1), index: 2 };
        check(Bytes::copy_from_slice(bytes), compact, &name)
    }

    fn batch(keys: &[Option<&[u8]>], codec: Compression) -> BytesMut {
        let mut builder = BatchBuilder::new(Offset(0)).compression(codec);
        for (key, timestamp) in keys.iter().zip(100..) {
            builder.append(timestamp, *key, Some(b"value"), &[]);
        }
        builder.build()
    }

    fn put(batch: &mut BytesMut, at: usize, value: &[u8]) {
        batch[at..at + value.len()].copy_from_slice(value);
        refresh_crc(batch);
    }

    /// The batch with other bytes where its records are.
    fn holding(count: i32, records: &[u8], codec: Compression) -> BytesMut {
        let header = BatchHeader::parse(&batch(&[None], codec)).expect("a header");
        let header = BatchHeader {
            batch_length: (BATCH_OVERHEAD + records.len() - vltava_wire::batch::LOG_OVERHEAD)
                as i32,
            last_offset_delta: count - 1,
            records_count: count,
            ..header
        };
        let mut bytes = BytesMut::from(&header.to_bytes()[..]);
        bytes.extend_from_slice(records);
        refresh_crc(&mut bytes);
        bytes
    }

    #[test]
    fn what_producers_send_passes_as_it_is() {
        for codec in Compression::ALL {
            let bytes = batch(&[Some(b"a"), None, Some(b"")], codec);
            assert_eq!(checked(&bytes, false).expect("it passes"), bytes, "{codec:?}");
        }
    }

    #[test]
    fn records_that_contradict_their_header_are_refused() {
        let whole = batch(&[None, None], Compression::None);
        let records = &whole[BATCH_OVERHEAD..];
        let none = Compression::None;
        let mut longer = records.to_vec();
        longer[0] += 2;
        let cases = [
            ("no records", holding(2, &[], none)),
            ("no record", holding(1, &[], none)),
            ("garbage", holding(1, &[0xa5; 20], none)),
            ("fewer than declared", holding(3, records, none)),
            ("more than declared", holding(1, records, none)),
            ("a record too long", holding(2, &longer, none)),
            ("bytes after the last", holding(2, &[records, &[0]].concat(), none)),
            ("the same offset twice", {
                let one = &records[..records.len() / 2];
                holding(2, &[one, one].concat(), none)
            }),
        ];
        for (what, bytes) in &cases {
            let refusal = checked(bytes, false).expect_err(what);
            assert_eq!(refusal.code, ErrorCode::INVALID_RECORD, "{what}: {refusal:?}");
        }
    }

    #[test]
    fn what_is_not_compressed_by_its_codec_is_refused() {
        let records = &batch(&[None, None], Compression::None)[BATCH_OVERHEAD..];
        for codec in Compression::ALL.into_iter().filter(|codec| *codec != Compression::None) {
            let packed = codec.compress(records);
            let cases = [
                ("not compressed", holding(2, records, codec)),
                ("fewer than declared", holding(3, &packed, codec)),
                ("more than declared", holding(1, &packed, codec)),
                ("garbage within", holding(1, &codec.compress(&[0xa5; 20]), codec)),
                ("cut short", holding(2, &packed[..packed.len() / 2], codec)),
            ];
            for (what, bytes) in &cases {
                let refusal = checked(bytes, false).expect_err(what);
                assert_eq!(refusal.code, ErrorCode::INVALID_RECORD, "{codec:?} {what}");
            }
        }
    }

    #[test]
    fn the_header_is_not_believed() {
        let mut bytes = batch(&[None, None], Compression::None);
        put(&mut bytes, MAX_TIMESTAMP_AT, &i64::MAX.to_be_bytes());
        let mended = checked(&bytes, false).expect("it passes");
        assert_eq!(mended, batch(&[None, None], Compression::None), "with what it really has");
        put(&mut bytes, 0, &77i64.to_be_bytes());
        assert_eq!(checked(&bytes, false).expect_err("offset").code, ErrorCode::INVALID_RECORD);
        let mut bytes = batch(&[None, None], Compression::None);
        set_max_timestamp_and_type(&mut bytes, TimestampType::LogAppendTime, 7);
        let refusal = checked(&bytes, false).expect_err("the clock");
        assert_eq!(refusal.code, ErrorCode::INVALID_TIMESTAMP);
    }

    #[test]
    fn damage_is_told_from_what_was_sent_wrong() {
        let mut bytes = batch(&[None, None], Compression::None);
        for (at, value) in [(COUNT_AT, 7i32), (LAST_OFFSET_DELTA_AT, 9)] {
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            let refusal = checked(&bytes, false).expect_err("damage");
            assert_eq!(refusal.code, ErrorCode::CORRUPT_MESSAGE);
        }
    }

    #[test]
    fn each_record_needs_a_key_even_an_empty_one() {
        let refused = |keys: &[Option<&[u8]>]| checked(&batch(keys, Compression::None), true).err();
        assert!(refused(&[Some(b"a"), Some(b"")]).is_none());
        let refusal = refused(&[None, Some(b"a"), None, None, None]).expect("refused");
        assert_eq!(refusal.code, ErrorCode::INVALID_RECORD);
        let indexes: Vec<_> = refusal.record_errors.iter().map(|it| it.batch_index).collect();
        assert_eq!(indexes, [0, 2, 3, 4]);
        let message = refusal.message.expect("a message");
        assert!(message.contains("due to 4 record errors in total"), "{message}");
        assert!(message.contains("batchIndex=3, message='Compacted topic"), "{message}");
        assert!(!message.contains("batchIndex=4"), "{message}");
    }
}

//! What a leader demands of the records of a batch before it appends them, as Kafka's
//! `LogValidator` does: a reader that meets records which cannot be decoded gets no further.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use vltava_log::LogConfig;
use vltava_wire::batch::{
    Batch, BatchError, BatchErrorKind, BatchHeader, NO_TIMESTAMP, TimestampType,
    set_max_timestamp_and_type,
};
use vltava_wire::compression::DecompressError;
use vltava_wire::messages::produce::BatchIndexAndErrorMessage;
use vltava_wire::{ErrorCode, Str};

use super::Refusal;
use crate::partition::PartitionName;
use crate::partition::recompress::DECOMPRESSED_MAX;

/// As many as a message shows, as in Kafka.
const SHOWN_MAX: usize = 3;

/// Records that the answer to one request names as the cause of a refusal: as many as a batch of
/// ordinary size has. A record takes seven bytes of a request, and ten times that of the answer.
pub(super) const NAMED_MAX: usize = 10_000;

/// What a partition demands of the records of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demands {
    /// All of them have a key.
    keys: bool,
    /// Their timestamps, where they have one, in ms since 1970.
    timestamps: RangeInclusive<i64>,
}

impl Demands {
    /// What a log demands now.
    pub(super) fn of(log: &LogConfig, now_ms: i64) -> Self {
        let timestamps = match log.timestamp_type {
            TimestampType::LogAppendTime => i64::MIN..=i64::MAX,
            TimestampType::CreateTime => {
                let from = now_ms.saturating_sub(log.timestamp_before_max_ms);
                from..=now_ms.saturating_add(log.timestamp_after_max_ms)
            }
        };
        Self { keys: log.compact, timestamps }
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NoKey,
    Timestamp(i64),
}

/// What the records of a batch turned out to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// The largest timestamp of a record.
    max_timestamp: i64,
    /// The first records that are not as demanded, by index.
    flawed: Vec<(i32, Flaw)>,
    /// How many there are.
    flaws: usize,
    /// Whether a timestamp is among what is wrong.
    has_bad_timestamp: bool,
}

impl Found {
    fn note(&mut self, index: i32, flaw: Flaw) {
        if self.flawed.len() < NAMED_MAX {
            self.flawed.push((index, flaw));
        }
        self.flaws += 1;
        self.has_bad_timestamp |= flaw != Flaw::NoKey;
    }
}

/// Reads all records: as many as the header says, with offsets from 0 on that leave none out.
fn read(batch: &Batch<'_>, demands: &Demands, max: usize) -> Result<Found, BatchError> {
    let mut found = Found { max_timestamp: NO_TIMESTAMP, ..Found::default() };
    let base = batch.header.base_offset.get();
    for (record, index) in batch.records(max)?.iter().zip(0..) {
        let record = record?;
        let delta = record.offset.get().wrapping_sub(base);
        if delta != i64::from(index) {
            return Err(BatchError { at: batch.at, kind: BatchErrorKind::OffsetDelta(delta) });
        }
        let timestamp = record.timestamp;
        found.max_timestamp = found.max_timestamp.max(timestamp);
        if demands.keys && record.key.is_none() {
            found.note(index, Flaw::NoKey);
        } else if timestamp != NO_TIMESTAMP && !demands.timestamps.contains(&timestamp) {
            found.note(index, Flaw::Timestamp(timestamp));
        }
    }
    Ok(found)
}

fn is_too_large(error: &BatchError) -> bool {
    matches!(error.kind, BatchErrorKind::Decompress(DecompressError::TooLarge { .. }))
}

/// Checks the one batch of `bytes`, whose CRC the log verifies. Returns the batch, with the largest
/// timestamp that it really has; `None` if its records take more than `max` bytes once they are
/// decompressed, and `max` is less than they may take.
///
/// # Errors
/// INVALID_RECORD for records that contradict the header or cannot be decoded, or that have no key
/// where the topic is compacted; INVALID_TIMESTAMP for a clock that is not the producer's to
/// choose, or too far from ours; CORRUPT_MESSAGE if it is the bytes that were damaged on their way.
pub(super) fn check(
    bytes: Bytes,
    demands: &Demands,
    max: usize,
    partition: &PartitionName,
) -> Result<Option<Bytes>, Refusal> {
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
    let found = match read(&batch, demands, max) {
        Err(error) if max < DECOMPRESSED_MAX && is_too_large(&error) => return Ok(None),
        found => found.map_err(invalid)?,
    };
    if found.flaws > 0 {
        return Err(refuse(rejected(found, demands, partition)));
    }
    if found.max_timestamp == max_timestamp {
        return Ok(Some(bytes));
    }
    batch.verify_crc().map_err(corrupt)?;
    let mut bytes = BytesMut::from(&bytes[..]);
    set_max_timestamp_and_type(&mut bytes, TimestampType::CreateTime, found.max_timestamp);
    Ok(Some(bytes.freeze()))
}

/// Nobody could say what records without a key replace, nor when those of another time may go.
fn rejected(found: Found, demands: &Demands, partition: &PartitionName) -> Refusal {
    let no_key = Str::from(format!(
        "Compacted topic cannot accept message without key in topic partition {partition}"
    ));
    let (from, to) = (demands.timestamps.start(), demands.timestamps.end());
    let error = |(index, flaw): &(i32, Flaw)| BatchIndexAndErrorMessage {
        batch_index: *index,
        batch_index_error_message: Some(match flaw {
            Flaw::NoKey => no_key.clone(),
            Flaw::Timestamp(timestamp) => Str::from(format!(
                "Timestamp {timestamp} of message with offset {index} is out of range. The \
                 timestamp should be within [{from}, {to}]"
            )),
        }),
    };
    let record_errors = found.flawed.iter().map(error).collect();
    if found.has_bad_timestamp {
        let message = "One or more records have been rejected due to invalid timestamp";
        let refusal = Refusal::because(ErrorCode::INVALID_TIMESTAMP, message);
        return Refusal { record_errors, ..refusal };
    }
    let shown = found.flawed.iter().take(SHOWN_MAX);
    let shown: Vec<_> = shown
        .map(|(index, _)| format!("RecordError(batchIndex={index}, message='{no_key}')"))
        .collect();
    let message = format!(
        "One or more records have been rejected due to {} record errors in total, and only \
         showing the first three errors at most: [{}]",
        found.flaws,
        shown.join(", ")
    );
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
        let anytime = i64::MIN..=i64::MAX;
        let passed = checked_within(bytes, Demands { keys: compact, timestamps: anytime });
        passed.map(|passed| passed.expect("it is not too large"))
    }

    fn checked_within(bytes: &[u8], demands: Demands) -> Result<Option<Bytes>, Refusal> {
        check(Bytes::copy_from_slice(bytes), &demands, DECOMPRESSED_MAX, &name())
    }

    fn name() -> PartitionName {
        PartitionName { topic: "t".into(), topic_id: vltava_wire::Uuid(1), index: 2 }
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

    #[test]
    fn each_record_is_of_a_time_that_the_topic_takes() {
        // Their timestamps are 100, 101, 102 and 103.
        let bytes = batch(&[Some(b"a"), Some(b"b"), None, Some(b"d")], Compression::Gzip);
        let check = |keys, timestamps| checked_within(&bytes, Demands { keys, timestamps });
        assert!(check(false, 100..=103).is_ok());
        let refusal = check(false, 101..=102).expect_err("the first and the last");
        assert_eq!(refusal.code, ErrorCode::INVALID_TIMESTAMP);
        let told = "One or more records have been rejected due to invalid timestamp";
        assert_eq!(refusal.message.as_deref(), Some(told));
        let named: Vec<_> = refusal
            .record_errors
            .iter()
            .map(|it| (it.batch_index, it.batch_index_error_message.as_deref().expect("why")))
            .collect();
        let why = |index: i64| {
            let timestamp = 100 + index;
            format!(
                "Timestamp {timestamp} of message with offset {index} is out of range. The \
                 timestamp should be within [101, 102]"
            )
        };
        assert_eq!(named, [(0, why(0).as_str()), (3, why(3).as_str())]);
        let both = check(true, 100..=102).expect_err("no key, and too late");
        assert_eq!(both.code, ErrorCode::INVALID_TIMESTAMP);
        let indexes: Vec<_> = both.record_errors.iter().map(|it| it.batch_index).collect();
        assert_eq!(indexes, [2, 3]);
    }

    #[test]
    fn a_record_without_a_timestamp_is_of_no_time() {
        let mut builder = BatchBuilder::new(Offset(0));
        builder.append(NO_TIMESTAMP, None, Some(b"value"), &[]);
        let demands = Demands { keys: false, timestamps: 100..=103 };
        assert!(checked_within(&builder.build(), demands).is_ok());
    }

    #[test]
    fn the_broker_s_own_clock_takes_any_time() {
        let log = LogConfig { timestamp_before_max_ms: 10, ..LogConfig::default() };
        assert_eq!(Demands::of(&log, 1_000).timestamps, 990..=1_000 + 3_600_000);
        let log = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..log };
        assert_eq!(Demands::of(&log, 1_000).timestamps, i64::MIN..=i64::MAX);
    }

    #[test]
    fn of_many_records_without_a_key_the_first_are_named() {
        let keys = vec![None; NAMED_MAX + 5];
        let refusal = checked(&batch(&keys, Compression::None), true).expect_err("no keys");
        assert_eq!(refusal.record_errors.len(), NAMED_MAX);
        let message = refusal.message.expect("a message");
        assert!(message.contains(&format!("due to {} record errors", keys.len())), "{message}");
    }

    #[test]
    fn what_inflates_beyond_a_limit_is_left_for_later() {
        let mut builder = BatchBuilder::new(Offset(0)).compression(Compression::Zstd);
        builder.append(100, None, Some(&[0; 100_000]), &[]);
        let bytes = builder.build().freeze();
        let demands = Demands { keys: false, timestamps: i64::MIN..=i64::MAX };
        let check = |max| check(bytes.clone(), &demands, max, &name()).expect("no refusal");
        assert_eq!(check(50_000), None);
        assert_eq!(check(200_000), Some(bytes.clone()));
    }
}

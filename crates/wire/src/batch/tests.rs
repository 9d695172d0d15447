//! Tests of record batches: what is refused, and how.

use super::header::{ATTRIBUTES_AT, CRC_AT};
use super::*;
use crate::compression::{Compression, DecompressError};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// What the records of a batch may take here, in bytes.
const MAX: usize = 1 << 16;

fn three_records() -> BatchBuilder {
    let mut builder = BatchBuilder::new(Offset(40));
    builder.append(1000, Some(b"k"), Some(b"v"), &[("h", Some(b"x")), ("n", None)]);
    builder.append(900, None, None, &[]);
    builder.append(1001, None, Some(b"last"), &[]);
    builder
}

/// A batch of one record with these bytes after its length, which is right.
fn batch_of(record: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    varint::put_varint(&mut records, record.len() as i32);
    records.extend_from_slice(record);
    batch_around(&records, 1)
}

fn batch_around(records: &[u8], count: i32) -> Vec<u8> {
    let mut header = Batch::parse(&three_records().build()).expect("a batch").header;
    header.batch_length = (BATCH_OVERHEAD - LOG_OVERHEAD + records.len()) as i32;
    header.last_offset_delta = 0;
    header.records_count = count;
    [&header.to_bytes()[..], records].concat()
}

fn kind_of(bytes: &[u8]) -> BatchErrorKind {
    let batch = Batch::parse(bytes).expect("a batch");
    match batch.records(MAX) {
        Err(error) => error.kind,
        Ok(records) => records.iter().find_map(Result::err).expect("an error in a record").kind,
    }
}

#[test]
fn every_codec_gives_back_the_records() {
    for codec in Compression::ALL {
        let bytes = three_records().compression(codec).build();
        let batch = Batch::parse(&bytes).expect("a batch");
        batch.verify_crc().expect("the CRC");
        assert_eq!(batch.header.last_offset(), Offset(42));
        assert_eq!(batch.header.max_timestamp, 1001);
        assert_eq!(batch.header.compression(), codec);
        let records = batch.records(MAX).expect("records");
        let records: Vec<_> = records.iter().collect::<Result<_, _>>().expect("records");
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].key, Some(&b"k"[..]));
        let headers: Vec<_> = records[0].headers.collect();
        assert_eq!(headers[0], RecordHeader { key: b"h", value: Some(b"x") });
        assert_eq!(headers[1], RecordHeader { key: b"n", value: None });
        assert_eq!((records[1].offset, records[1].timestamp), (Offset(41), 900));
        assert_eq!((records[2].key, records[2].value), (None, Some(&b"last"[..])));
    }
}

#[test]
fn headers_survive_their_bytes() {
    let bytes = three_records()
        .partition_leader_epoch(LeaderEpoch(7))
        .producer(ProducerId(1 << 40), ProducerEpoch(5), 9)
        .transactional()
        .log_append_time(77)
        .build();
    let header = BatchHeader::parse(&bytes).expect("a header");
    assert_eq!(header.to_bytes(), bytes[..BATCH_OVERHEAD]);
    assert_eq!(header.size_in_bytes(), bytes.len());
    assert!(header.is_transactional() && !header.is_control() && header.has_producer_id());
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((header.max_timestamp, header.next_offset()), (77, Offset(43)));
    assert_eq!((header.base_sequence, header.last_sequence()), (9, 11));
    assert_eq!(header.delete_horizon(), None);
}

#[test]
fn batches_are_walked_one_after_the_other() {
    let one = three_records().build();
    let mut two = BatchBuilder::new(Offset(43));
    two.append(5, None, Some(b"x"), &[]);
    let two = two.build();
    let slice = [&one[..], &two].concat();
    let mut batches = Batches::new(&slice);
    let first = batches.next().expect("one").expect("a batch");
    assert_eq!((first.at, first.bytes), (0, &one[..]));
    let second = batches.next().expect("two").expect("a batch");
    assert_eq!((second.at, second.bytes), (one.len(), &two[..]));
    assert_eq!(second.stored_records().len(), two.len() - BATCH_OVERHEAD);
    assert_eq!((batches.next(), batches.position()), (None, slice.len()));
    assert_eq!(Batches::new(&[]).next(), None);
}

#[test]
fn a_torn_tail_is_told_from_corruption_wherever_it_is_torn() {
    let one = three_records().build();
    let slice = [&one[..], &one].concat();
    for end in one.len() + 1..slice.len() {
        let mut batches = Batches::new(&slice[..end]);
        batches.next().expect("one").expect("a batch");
        let error = batches.next().expect("a tail").expect_err("torn");
        assert!(error.is_truncated(), "{end}: {error}");
        assert_eq!(error.at, one.len());
        let left = end - one.len();
        let needed = if left < BATCH_OVERHEAD { BATCH_OVERHEAD } else { one.len() };
        assert_eq!(error.kind, BatchErrorKind::Truncated { needed, left });
        assert_eq!((batches.next(), batches.position()), (None, one.len()));
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let good = three_records().build();
    for bit in (8 * 8)..(good.len() * 8) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // The leader's epoch is outside of the CRC: leaders set it.
        if (12..16).contains(&(bit / 8)) {
            continue;
        }
        let outcome = Batch::parse(&bad).and_then(|batch| batch.verify_crc());
        assert!(outcome.is_err(), "bit {bit}");
    }
}

#[test]
fn headers_that_no_batch_has_are_refused() {
    let good = three_records().build();
    let kind = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        Batch::parse(&bad).expect_err("no batch").kind
    };
    for magic in [0, 1, 3, -1] {
        assert_eq!(kind(16, &[magic as u8]), BatchErrorKind::Magic(magic));
    }
    for length in [0, 48, -1, i32::MIN] {
        assert_eq!(kind(8, &length.to_be_bytes()), BatchErrorKind::Length(length));
    }
    let needed = i32::MAX as usize + LOG_OVERHEAD;
    let truncated = BatchErrorKind::Truncated { needed, left: good.len() };
    assert_eq!(kind(8, &i32::MAX.to_be_bytes()), truncated);
    for codec in [5, 6, 7] {
        assert_eq!(kind(22, &[codec]), BatchErrorKind::Compression(codec as i8));
    }
    assert_eq!(kind(23, &(-1i32).to_be_bytes()), BatchErrorKind::OffsetDelta(-1));
    // An old format is named even where it is shorter than our header.
    assert_eq!(Batch::parse(&[0; 17]).expect_err("no batch").kind, BatchErrorKind::Magic(0));
}

#[test]
fn offsets_and_epochs_are_patched_outside_of_the_crc() {
    let mut bytes = three_records().build();
    set_base_offset(&mut bytes, Offset(i64::MAX - 10));
    set_partition_leader_epoch(&mut bytes, LeaderEpoch(99));
    let batch = Batch::parse(&bytes).expect("a batch");
    batch.verify_crc().expect("the CRC holds");
    assert_eq!(batch.header.base_offset, Offset(i64::MAX - 10));
    assert_eq!(batch.header.partition_leader_epoch, LeaderEpoch(99));
    let records = batch.records(MAX).expect("records");
    let last = records.iter().last().expect("three").expect("a record");
    assert_eq!(last.offset, Offset(i64::MAX - 8));
}

#[test]
fn a_new_largest_timestamp_comes_with_a_new_crc() {
    let mut bytes = three_records().build();
    let before = bytes.clone();
    set_max_timestamp_and_type(&mut bytes, TimestampType::CreateTime, 1001);
    assert_eq!(bytes, before, "nothing changes");
    set_max_timestamp_and_type(&mut bytes, TimestampType::LogAppendTime, 5555);
    assert_ne!(bytes[CRC_AT..ATTRIBUTES_AT], before[CRC_AT..ATTRIBUTES_AT]);
    let batch = Batch::parse(&bytes).expect("a batch");
    batch.verify_crc().expect("the CRC is new");
    let records = batch.records(MAX).expect("records");
    assert!(records.iter().all(|record| record.expect("a record").timestamp == 5555));
    set_max_timestamp_and_type(&mut bytes, TimestampType::CreateTime, 1001);
    assert_eq!(bytes, before, "and back");
}

#[test]
fn a_patch_leaves_what_follows_the_batch_alone() {
    let one = three_records().build();
    let mut slice = [&one[..], &one].concat();
    set_max_timestamp_and_type(&mut slice, TimestampType::LogAppendTime, 5555);
    assert_eq!(slice[one.len()..], one[..]);
    for batch in Batches::new(&slice) {
        batch.expect("a batch").verify_crc().expect("both CRCs hold");
    }
}

#[test]
fn counts_that_the_bytes_do_not_bear_out_are_refused() {
    for count in [-1, i32::MIN, 4_000, i32::MAX] {
        let mut bytes = three_records().build();
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        assert_eq!(kind_of(&bytes), BatchErrorKind::Count(count));
    }
    // Fewer than there are leaves bytes, more (as far as bytes could be so many) runs out.
    let mut bytes = three_records().build();
    bytes[57..61].copy_from_slice(&2i32.to_be_bytes());
    assert!(matches!(kind_of(&bytes), BatchErrorKind::Trailing(_)));
    bytes[57..61].copy_from_slice(&4i32.to_be_bytes());
    let ends = BatchErrorKind::RecordTruncated { needed: 1, left: 0 };
    assert_eq!(kind_of(&bytes), ends);
}

#[test]
fn a_batch_that_compaction_emptied_has_no_records() {
    for codec in Compression::ALL {
        let mut bytes = batch_around(&[], 0);
        bytes[22] = codec.code() as u8;
        let batch = Batch::parse(&bytes).expect("a batch");
        let records = batch.records(0).expect("no records");
        assert!(records.is_empty());
        assert_eq!(records.iter().count(), 0);
    }
}

#[test]
fn records_that_lie_about_their_lengths_are_refused() {
    use BatchErrorKind::{OffsetDelta, RecordLength, RecordTruncated, Trailing, Varint};
    // Attributes, timestamp and offset deltas, then key, value and headers.
    let cases: [(&[u8], BatchErrorKind); 14] = [
        (&[0, 0, 0, 1, 1, 0, 9, 9], Trailing(2)),
        (&[0, 0, 0, 1, 1, 2, 0], RecordTruncated { needed: 2, left: 1 }),
        (&[0, 0, 0, 8, 1, 1, 0], RecordTruncated { needed: 4, left: 3 }),
        (&[0, 0, 0, 3, 1, 0, 0], RecordLength(-2)),
        (&[0, 0, 0, 1, 3, 0, 0], RecordLength(-2)),
        (&[0, 0, 0, 1, 1, 1, 0], RecordLength(-1)),
        (&[0, 0, 0, 1, 1, 4, 0, 0], RecordTruncated { needed: 4, left: 2 }),
        (&[0, 0, 0, 1, 1, 2, 1, 1], RecordLength(-1)),
        (&[0, 0, 2, 1, 1, 0, 0], OffsetDelta(1)),
        (&[0, 0, 1, 1, 1, 0, 0], OffsetDelta(-1)),
        (&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 1, 1, 0], Varint),
        (&[0, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 1, 0], Varint),
        (
            &[0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0],
            RecordTruncated { needed: i32::MAX as usize, left: 2 },
        ),
        (
            &[0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f],
            RecordTruncated { needed: i32::MAX as usize * 2, left: 0 },
        ),
    ];
    for (record, kind) in cases {
        assert_eq!(kind_of(&batch_of(record)), kind, "{record:?}");
    }
    let whole = batch_of(&[0, 0, 0, 1, 1, 0]);
    let batch = Batch::parse(&whole).expect("a batch");
    let records = batch.records(MAX).expect("records");
    let record = records.iter().next().expect("one").expect("whole");
    assert_eq!((record.key, record.value, record.headers.len()), (None, None, 0));
}

#[test]
fn records_beyond_the_batch_are_refused() {
    let records = [&[0xfe, 0xff, 0xff, 0xff, 0x0f][..], &[0; 20]].concat();
    let kind = BatchErrorKind::RecordTruncated { needed: i32::MAX as usize, left: 20 };
    assert_eq!(kind_of(&batch_around(&records, 1)), kind);
    assert_eq!(kind_of(&batch_around(&[1; 20], 1)), BatchErrorKind::RecordLength(-1));
}

#[test]
fn iteration_ends_after_an_error() {
    let bytes = batch_around(&[1; 70], 10);
    let batch = Batch::parse(&bytes).expect("a batch");
    let records = batch.records(MAX).expect("enough bytes for ten");
    let mut records = records.iter();
    let error = records.next().expect("an outcome").expect_err("a negative length");
    assert_eq!(error, BatchError { at: 0, kind: BatchErrorKind::RecordLength(-1) });
    assert!(records.next().is_none());
}

#[test]
fn a_bomb_is_refused() {
    for codec in Compression::ALL.into_iter().filter(|codec| *codec != Compression::None) {
        let mut builder = BatchBuilder::new(Offset(0)).compression(codec);
        builder.append(0, None, Some(&vec![0; 10 * MAX]), &[]);
        let bytes = builder.build();
        assert!(bytes.len() < MAX);
        let batch = Batch::parse(&bytes).expect("a batch");
        let too_large = DecompressError::TooLarge { codec: codec.name(), max: MAX };
        let kind = BatchErrorKind::Decompress(too_large);
        assert_eq!(batch.records(MAX).map(drop), Err(BatchError { at: 0, kind }));
    }
}

#[test]
fn what_only_brokers_write_is_refused_of_producers() {
    let header = |builder: BatchBuilder| BatchHeader::parse(&builder.build()).expect("a header");
    assert_eq!(header(three_records()).check_produced(), Ok(()));
    assert_eq!(header(three_records().control()).check_produced(), Err(BatchErrorKind::Control));
    let producer = three_records().producer(ProducerId(1), ProducerEpoch(0), NO_SEQUENCE);
    assert_eq!(header(producer).check_produced(), Err(BatchErrorKind::Sequence(-1)));
    let mut gap = three_records();
    gap.append_at(Offset(50), 1, None, None, &[]);
    assert_eq!(header(gap).check_produced(), Err(BatchErrorKind::Count(4)));
}

#[test]
fn sequences_start_again_at_zero() {
    assert_eq!(sequence_after(5, 3), 8);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 3), 1);
    assert_eq!(sequence_after(i32::MAX, i32::MAX), i32::MAX - 1);
}

#[test]
fn timestamps_at_the_ends_of_time_survive() {
    let mut builder = BatchBuilder::new(Offset(0));
    let times = [i64::MAX, i64::MIN, NO_TIMESTAMP, 0];
    times.iter().for_each(|time| builder.append(*time, None, None, &[]));
    let bytes = builder.build();
    let batch = Batch::parse(&bytes).expect("a batch");
    let records = batch.records(MAX).expect("records");
    let read: Vec<i64> = records.iter().map(|record| record.expect("a record").timestamp).collect();
    assert_eq!(read, times);
}

#[test]
fn keys_of_control_records_are_checked() {
    let known = ControlRecordType::KraftVoters;
    assert_eq!(ControlRecordType::from_key(Some(&known.key())), Ok(Some(known)));
    // A later version of the key may go on; a later type is passed over.
    assert_eq!(
        ControlRecordType::from_key(Some(&[0, 9, 0, 1, 7])),
        Ok(Some(ControlRecordType::Commit))
    );
    assert_eq!(ControlRecordType::from_key(Some(&[0, 0, 0, 99])), Ok(None));
    for key in [None, Some(&[0, 0, 0][..]), Some(&[0xff, 0xff, 0, 0])] {
        assert_eq!(ControlRecordType::from_key(key), Err(BatchErrorKind::ControlKey));
    }
}

#[test]
fn values_of_control_records_are_checked() {
    let control = |kind: ControlRecordType, value: &[u8]| {
        let mut builder = BatchBuilder::new(Offset(0)).control();
        builder.append_control(kind, 0, value);
        let bytes = builder.build();
        let batch = Batch::parse(&bytes).expect("a batch");
        let records = batch.records(MAX).expect("records");
        let record = records.iter().next().expect("one").expect("a record");
        ControlRecord::parse(&record)
    };
    let truncated = control(ControlRecordType::LeaderChange, &[0, 0, 0]);
    assert!(matches!(truncated, Err(ControlRecordError::Value { .. })), "{truncated:?}");
    let newer = control(ControlRecordType::KraftVersion, &[0, 9, 0, 1, 0]);
    assert!(matches!(newer, Err(ControlRecordError::Value { .. })), "{newer:?}");
    // The markers of transactions are read as far as they are known.
    let marker = control(ControlRecordType::Abort, &[0, 9, 0, 0, 0, 5, 1, 2, 3]);
    let expected = crate::records::raft::EndTxnMarker { coordinator_epoch: 5 };
    assert_eq!(marker, Ok(Some(ControlRecord::Abort(expected))));
}

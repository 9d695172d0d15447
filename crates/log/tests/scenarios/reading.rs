//! Reading: bounds, sizes, segments that go away meanwhile, timestamps.

use vltava_log::{FaultyDisk, LogConfig, ReadError};
use vltava_wire::Offset;

use crate::fixture::{NOW_MS, append, append_many, log, open_with, options, plain};

/// Batches of two records each.
fn pairs(log: &mut vltava_log::Log, count: i64) {
    for index in 0..count {
        append(log, plain(2, NOW_MS + index * 10)).unwrap();
    }
}

#[test]
fn only_whole_batches_below_the_bound_are_read() {
    let mut log = log(LogConfig { index_interval_bytes: 200, ..Default::default() });
    pairs(&mut log, 50);
    let size = plain(2, NOW_MS).len();
    let locate = |offset, max_bytes, bound, min_one| {
        let slice = log.locate(Offset(offset), max_bytes, Offset(bound), min_one).unwrap();
        slice.map(|slice| (slice.base_offset().0, slice.len() / size))
    };
    assert_eq!(locate(0, 1 << 20, 100, true), Some((0, 50)));
    assert_eq!(locate(31, 1 << 20, 100, true), Some((30, 35)));
    assert_eq!(locate(30, 3 * size + size / 2, 100, true), Some((30, 3)));
    assert_eq!(locate(30, 1 << 20, 37, true), Some((30, 3)), "36 and 37 are one batch");
    assert_eq!(locate(30, 10, 100, true), Some((30, 1)));
    assert_eq!(locate(30, 10, 100, false), None);
    assert_eq!(locate(30, 1 << 20, 31, true), None);
    assert_eq!(locate(30, 1 << 20, 30, true), None);
    assert_eq!(locate(100, 1 << 20, 100, true), None);
}

#[test]
fn outside_of_the_log_there_is_nothing_to_read() {
    let mut log = log(LogConfig::default());
    pairs(&mut log, 5);
    log.advance_log_start_offset(Offset(3)).unwrap();
    for offset in [2, 11] {
        let error = log.locate(Offset(offset), 100, Offset(10), true).unwrap_err();
        let ReadError::OffsetOutOfRange { log_start_offset, log_end_offset, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((log_start_offset, log_end_offset), (Offset(3), Offset(10)));
    }
    let slice = log.locate(Offset(3), 100, Offset(10), true).unwrap().unwrap();
    assert_eq!(slice.base_offset(), Offset(2), "the batch that holds it");
}

#[test]
fn a_slice_outlives_its_segment() {
    let size = plain(1, NOW_MS).len() as u32;
    let config = LogConfig { segment_bytes: 2 * size, retention_bytes: 0, ..Default::default() };
    let mut log = log(config);
    append_many(&mut log, 6);
    let slice = log.locate(Offset(0), 1 << 20, Offset(6), true).unwrap().unwrap();
    assert_eq!(slice.len(), 2 * size as usize);
    let before = slice.read().unwrap();
    assert_eq!(log.delete_old_segments(NOW_MS, Offset(6)).unwrap().segments, 3);
    assert_eq!(slice.read().unwrap(), before);
    let mut part = vec![0; 10];
    slice.read_at(&mut part, 61).unwrap();
    assert_eq!(part, before[61..71]);
}

#[test]
fn a_slice_of_what_was_truncated_meanwhile_is_an_error() {
    let mut log = log(LogConfig::default());
    append_many(&mut log, 6);
    let slice = log.locate(Offset(0), 1 << 20, Offset(6), true).unwrap().unwrap();
    log.truncate_to(Offset(3), &mut |_| Ok(())).unwrap();
    assert!(slice.read().is_err());
}

#[test]
fn the_largest_timestamp_is_that_of_a_record_that_is_left() {
    let mut log = log(LogConfig::default());
    for after in [5000, 10, 30, 20] {
        append(&mut log, plain(1, NOW_MS + after)).unwrap();
    }
    let found = |log: &vltava_log::Log| log.max_timestamp().unwrap().map(|found| found.offset.0);
    assert_eq!(found(&log), Some(0));
    log.advance_log_start_offset(Offset(1)).unwrap();
    assert_eq!(found(&log), Some(2));
    log.advance_log_start_offset(Offset(4)).unwrap();
    assert_eq!(found(&log), None);
}

#[test]
fn records_are_found_by_their_timestamp() {
    let disk = FaultyDisk::new(1);
    let size = plain(2, NOW_MS).len() as u32;
    let config =
        LogConfig { segment_bytes: 20 * size, index_interval_bytes: 300, ..Default::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    let find = |log: &vltava_log::Log, timestamp| {
        log.offset_for_timestamp(timestamp).unwrap().map(|found| found.offset.0)
    };
    assert_eq!((find(&log, 0), log.max_timestamp().unwrap()), (None, None));
    pairs(&mut log, 90);
    // One record from the future, then back to normal.
    append(&mut log, plain(1, NOW_MS + 3_000_000)).unwrap();
    pairs(&mut log, 10);
    assert_eq!(find(&log, 0), Some(0));
    for batch in 0..90 {
        assert_eq!(find(&log, NOW_MS + batch * 10), Some(batch * 2));
        assert_eq!(find(&log, NOW_MS + batch * 10 + 1), Some(batch * 2 + 1));
    }
    assert_eq!(find(&log, NOW_MS + 2_000_000), Some(180));
    assert_eq!(find(&log, NOW_MS + 3_000_001), None);
    assert_eq!(log.max_timestamp().unwrap().map(|found| found.offset), Some(Offset(180)));
    log.advance_log_start_offset(Offset(7)).unwrap();
    assert_eq!(find(&log, 0), Some(7));
    log.truncate_to(Offset(180), &mut |_| Ok(())).unwrap();
    assert_eq!(log.max_timestamp().unwrap().map(|found| found.offset), Some(Offset(179)));
}

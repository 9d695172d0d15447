//! Rolling and retention.

use vltava_log::{AppendError, FaultyDisk, LogConfig, LogError};
use vltava_wire::{LeaderEpoch, Offset};

use crate::fixture::{
    NOW_MS, append, append_many, leader, log, open_with, options, plain, read_all, replicated,
};

fn config(batches: u32) -> LogConfig {
    let segment_bytes = batches * plain(1, NOW_MS).len() as u32;
    LogConfig { segment_bytes, retention_ms: -1, ..Default::default() }
}

#[test]
fn a_segment_ends_when_it_is_full_or_spans_too_long() {
    let mut log = log(LogConfig { segment_ms: 1000, ..config(3) });
    append_many(&mut log, 3);
    assert_eq!(log.segment_count(), 1);
    append_many(&mut log, 1);
    assert_eq!((log.segment_count(), log.flushed_offset()), (2, Offset(3)), "rolling flushes");
    append(&mut log, plain(1, NOW_MS + 1000)).unwrap();
    assert_eq!(log.segment_count(), 2);
    append(&mut log, plain(1, NOW_MS + 1001)).unwrap();
    assert_eq!(log.segment_count(), 3);
    assert_eq!(read_all(&log), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_segment_ends_before_its_offsets_or_its_index_do() {
    let mut log =
        log(LogConfig { index_interval_bytes: 0, segment_index_bytes: 12 * 4, ..config(1000) });
    for index in 0..20 {
        append(&mut log, plain(1, NOW_MS + index)).unwrap();
    }
    assert_eq!(log.segment_count(), 4, "five batches, four of them with an entry, in each");
    let far = Offset(20) + i64::from(i32::MAX);
    log.append_as_follower(&replicated(far.0, 0, 1), LeaderEpoch(0), NOW_MS).unwrap();
    assert_eq!((log.segment_count(), log.log_end_offset()), (5, far.next()));
    assert_eq!(read_all(&log).last(), Some(&far.0));
    let error =
        log.append_as_follower(&replicated(i64::MAX, 0, 1), LeaderEpoch(0), NOW_MS).unwrap_err();
    assert!(matches!(error, AppendError::OffsetsExhausted), "{error}");
}

#[test]
fn what_is_too_old_goes_in_whole_segments() {
    let mut log = log(LogConfig { retention_ms: 1000, ..config(2) });
    for age in [5000, 4000, 3000, 500, 400] {
        append(&mut log, plain(1, NOW_MS - age)).unwrap();
    }
    let deleted = log.delete_old_segments(NOW_MS, Offset(5)).unwrap();
    assert_eq!(deleted.segments, 1, "the second one has a record that is young enough");
    assert_eq!((log.log_start_offset(), read_all(&log)), (Offset(2), vec![2, 3, 4]));
    let deleted = log.delete_old_segments(NOW_MS + 10_000, Offset(5)).unwrap();
    assert_eq!((deleted.segments, log.segment_count()), (2, 1));
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(5), Offset(5)));
    assert_eq!(log.delete_old_segments(NOW_MS + 20_000, Offset(5)).unwrap().segments, 0);
    append_many(&mut log, 1);
    assert_eq!(read_all(&log), [5]);
}

#[test]
fn what_is_too_much_goes_but_nothing_above_the_high_watermark() {
    let size = plain(1, NOW_MS).len() as i64;
    let mut log = log(LogConfig { retention_bytes: 5 * size, ..config(2) });
    append_many(&mut log, 10);
    assert_eq!(log.delete_old_segments(NOW_MS, Offset(1)).unwrap().segments, 0);
    assert_eq!(log.delete_old_segments(NOW_MS, Offset(3)).unwrap().segments, 1);
    let deleted = log.delete_old_segments(NOW_MS, Offset(10)).unwrap();
    assert_eq!((deleted.segments, deleted.bytes), (1, 2 * size as u64));
    assert_eq!((log.log_start_offset(), log.size()), (Offset(4), 6 * size as u64));
}

#[test]
fn deleted_records_take_their_segments_and_epochs_with_them() {
    let disk = FaultyDisk::new(1);
    let mut log = open_with(&disk, config(2), options()).unwrap();
    for epoch in 0..8 {
        log.append_as_leader(&mut plain(1, NOW_MS), leader(epoch)).unwrap();
    }
    assert!(log.advance_log_start_offset(Offset(5)).unwrap());
    assert!(!log.advance_log_start_offset(Offset(4)).unwrap());
    let error = log.advance_log_start_offset(Offset(9)).unwrap_err();
    assert!(matches!(error, LogError::OffsetOutOfRange { .. }), "{error}");
    assert_eq!(log.delete_old_segments(NOW_MS, Offset(8)).unwrap().segments, 2);
    assert_eq!(log.epochs()[0].epoch, LeaderEpoch(5));
    log.flush().unwrap();
    disk.crash();
    let recovered = vltava_log::OpenOptions {
        recovery_point: Offset(8),
        log_start_offset: Offset(5),
        ..options()
    };
    let log = open_with(&disk, config(2), recovered).unwrap();
    assert_eq!((log.log_start_offset(), log.segment_count()), (Offset(5), 2));
    let epochs: Vec<i32> = log.epochs().iter().map(|entry| entry.epoch.0).collect();
    assert_eq!(epochs, [5, 6, 7]);
}

#[test]
fn a_log_that_is_behind_its_start_begins_anew() {
    let disk = FaultyDisk::new(1);
    let mut log = open_with(&disk, config(2), options()).unwrap();
    append_many(&mut log, 5);
    drop(log);
    let options = vltava_log::OpenOptions { log_start_offset: Offset(40), ..options() };
    let log = open_with(&disk, config(2), options).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(40), Offset(40)));
    assert_eq!((log.segment_count(), log.epochs()), (1, &[][..]));
}

//! Appending: offsets, timestamps, sizes, idempotent producers, leader epochs.

use vltava_log::{
    AppendError, AppendOptions, AppendOrigin, FaultyDisk, Log, LogConfig, OpenOptions,
};
use vltava_wire::batch::{BatchBuilder, BatchHeader, ControlRecordType, TimestampType};
use vltava_wire::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::fixture::{
    NOW_MS, append, append_many, idempotent, leader, log, open_with, options, plain, read_all,
    replicated,
};

#[test]
fn a_leader_sets_offsets_and_epoch_and_nothing_else() {
    let mut log = log(LogConfig::default());
    append_many(&mut log, 3);
    let mut batches = plain(2, NOW_MS);
    batches.extend_from_slice(&plain(3, NOW_MS));
    let before = batches.clone();
    let info = log.append_as_leader(&mut batches, leader(4)).unwrap();
    assert_eq!((info.base_offset, info.last_offset), (Offset(3), Offset(7)));
    assert_eq!((info.bytes, info.is_duplicate, info.log_append_time), (batches.len(), false, None));
    let header = BatchHeader::parse(&batches).unwrap();
    assert_eq!((header.base_offset, header.partition_leader_epoch), (Offset(3), LeaderEpoch(4)));
    assert_eq!(before[16..100], batches[16..100]);
    assert_eq!(read_all(&log), [0, 1, 2, 3, 5]);
    assert_eq!(log.epoch_at(Offset(2)), Some(LeaderEpoch(0)));
    assert_eq!(log.epoch_at(Offset(7)), Some(LeaderEpoch(4)));
}

#[test]
fn batches_that_are_not_right_leave_nothing_behind() {
    let config = LogConfig { max_message_bytes: 300, segment_bytes: 2000, ..Default::default() };
    let mut log = log(config);
    append_many(&mut log, 2);
    let mut torn = plain(1, NOW_MS);
    torn.truncate(80);
    assert!(matches!(append(&mut log, torn), Err(AppendError::InvalidBatch(_))));
    let mut flipped = plain(1, NOW_MS);
    flipped[70] ^= 1;
    let mut second_flipped = plain(1, NOW_MS);
    second_flipped.extend_from_slice(&flipped);
    let error = append(&mut log, second_flipped).unwrap_err();
    let AppendError::InvalidBatch(error) = error else { panic!("{error}") };
    assert_eq!(error.at, plain(1, NOW_MS).len());
    let mut old = plain(1, NOW_MS);
    old[16] = 1;
    assert!(matches!(append(&mut log, old), Err(AppendError::InvalidBatch(_))));
    let large = append(&mut log, plain(10, NOW_MS)).unwrap_err();
    assert!(matches!(large, AppendError::BatchTooLarge { max: 300, .. }), "{large}");
    let mut many = plain(1, NOW_MS);
    for _ in 0..30 {
        many.extend_from_slice(&plain(1, NOW_MS));
    }
    let large = append(&mut log, many).unwrap_err();
    assert!(matches!(large, AppendError::BatchesTooLarge { max: 2000, .. }), "{large}");
    assert!(matches!(append(&mut log, Default::default()), Err(AppendError::Empty)));
    assert_eq!(log.log_end_offset(), Offset(2));
    assert_eq!(read_all(&log), [0, 1]);
}

#[test]
fn clients_write_no_control_batches_but_coordinators_do() {
    let mut log = log(LogConfig::default());
    let marker = |coordinator_epoch: i32| {
        let builder = BatchBuilder::new(Offset::ZERO).control().transactional();
        let mut builder = builder.producer(ProducerId(9), ProducerEpoch(1), -1);
        let mut value = vec![0, 0];
        value.extend_from_slice(&coordinator_epoch.to_be_bytes());
        builder.append_control(ControlRecordType::Commit, NOW_MS, &value);
        builder.build()
    };
    let refused = append(&mut log, marker(3)).unwrap_err();
    assert!(matches!(refused, AppendError::InvalidRecord(_)), "{refused}");
    let coordinator = AppendOptions { origin: AppendOrigin::Coordinator, ..leader(0) };
    log.append_as_leader(&mut marker(3), coordinator).unwrap();
    let entry = *log.producers().next().unwrap();
    assert_eq!((entry.epoch, entry.coordinator_epoch), (ProducerEpoch(1), 3));
    let fenced = log.append_as_leader(&mut marker(2), coordinator).unwrap_err();
    assert!(matches!(fenced, AppendError::CoordinatorFenced { current: 3, .. }), "{fenced}");
}

#[test]
fn timestamps_are_the_producers_within_bounds_or_the_brokers() {
    let mut log = log(LogConfig { timestamp_before_max_ms: 5000, ..Default::default() });
    append(&mut log, plain(2, NOW_MS - 5000)).unwrap();
    append(&mut log, plain(1, NOW_MS + 3_600_000)).unwrap();
    for timestamp in [NOW_MS - 5001, NOW_MS + 3_600_001] {
        let error = append(&mut log, plain(1, timestamp)).unwrap_err();
        assert!(matches!(error, AppendError::InvalidTimestamp { .. }), "{error}");
    }
    log.set_config(LogConfig { timestamp_type: TimestampType::LogAppendTime, ..*log.config() });
    let mut batch = plain(1, 17);
    let info = log.append_as_leader(&mut batch, leader(0)).unwrap();
    assert_eq!(info.log_append_time, Some(NOW_MS));
    let parsed = vltava_wire::batch::Batch::parse(&batch).unwrap();
    parsed.verify_crc().unwrap();
    assert_eq!(parsed.header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(parsed.header.max_timestamp, NOW_MS);
}

#[test]
fn a_segment_that_cannot_begin_for_want_of_descriptors_begins_later() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 150, ..Default::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    append(&mut log, plain(1, NOW_MS)).unwrap();
    disk.keep_folders_closed(true);
    for _ in 0..2 {
        let error = append(&mut log, plain(1, NOW_MS)).unwrap_err();
        let nothing_is_lost = matches!(&error, AppendError::Write(it) if !it.is_sync_failure());
        assert!(nothing_is_lost, "{error:?}");
    }
    disk.keep_folders_closed(false);
    assert_eq!(append(&mut log, plain(1, NOW_MS)).unwrap().base_offset, Offset(1));
    drop(log);
    let log = open_with(&disk, config, options()).unwrap();
    assert_eq!(log.log_end_offset(), Offset(2));
}

#[test]
fn a_segment_that_could_not_begin_is_not_there_for_what_fits_the_one_before() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 300, ..Default::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    append(&mut log, plain(1, NOW_MS)).unwrap();
    disk.keep_folders_closed(true);
    append(&mut log, plain(30, NOW_MS)).unwrap_err();
    assert_eq!(append(&mut log, plain(1, NOW_MS)).unwrap().base_offset, Offset(1));
    disk.keep_folders_closed(false);
    log.flush().unwrap();
    drop(log);
    let log = open_with(&disk, config, options()).unwrap();
    assert_eq!(log.log_end_offset(), Offset(2), "what was acknowledged is still there");
}

#[test]
fn a_retry_gets_the_offsets_that_it_has() {
    let mut log = log(LogConfig::default());
    for sequence in 0..6 {
        append(&mut log, idempotent(1, 0, sequence * 2, 2)).unwrap();
    }
    // Of six batches the last five are remembered.
    for sequence in 1..6 {
        let info = append(&mut log, idempotent(1, 0, sequence * 2, 2)).unwrap();
        let base = Offset(i64::from(sequence) * 2);
        assert_eq!((info.base_offset, info.last_offset), (base, base.next()));
        assert!(info.is_duplicate && info.bytes == 0);
    }
    // Of the first one only that it was appended, and not where; so of others that are made of
    // the same records.
    for (sequence, records) in [(0, 2), (1, 1), (0, 12), (3, 4), (11, 1)] {
        let info = append(&mut log, idempotent(1, 0, sequence, records)).unwrap();
        assert_eq!((info.base_offset, info.last_offset), (Offset(-1), Offset(11)));
        assert!(info.is_duplicate && info.is_old && info.bytes == 0);
    }
    assert_eq!(log.log_end_offset(), Offset(12));
}

#[test]
fn nothing_is_taken_for_a_retry_that_may_not_be_there() {
    let mut log = log(LogConfig::default());
    let refused = |log: &mut Log, sequence, records| {
        let error = append(log, idempotent(1, 0, sequence, records)).unwrap_err();
        assert!(matches!(error, AppendError::OutOfOrderSequence { .. }), "{sequence}: {error}");
    };
    append(&mut log, idempotent(1, 0, 40, 2)).unwrap();
    for (sequence, records) in [(38, 2), (39, 2), (39, 3), (41, 2), (43, 1), (0, 1), (i32::MAX, 1)]
    {
        refused(&mut log, sequence, records);
    }
    for sequence in (42..60).step_by(2) {
        append(&mut log, idempotent(1, 0, sequence, 2)).unwrap();
    }
    refused(&mut log, 39, 2);
    assert!(append(&mut log, idempotent(1, 0, 40, 2)).unwrap().is_old);
    // Another epoch has sequence numbers of its own.
    append(&mut log, idempotent(1, 1, 0, 1)).unwrap();
    let error = append(&mut log, idempotent(1, 1, 40, 2)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { .. }), "{error}");
}

#[test]
fn what_a_snapshot_does_not_hold_is_not_known_after_a_restart() {
    let disk = FaultyDisk::new(1);
    let mut log = open_with(&disk, LogConfig::default(), options()).unwrap();
    for sequence in 0..6 {
        append(&mut log, idempotent(1, 0, sequence, 1)).unwrap();
    }
    log.close().unwrap();
    let again = OpenOptions { clean_shutdown: true, ..options() };
    let mut log = open_with(&disk, LogConfig::default(), again).unwrap();
    assert!(append(&mut log, idempotent(1, 0, 5, 1)).unwrap().is_duplicate);
    let error = append(&mut log, idempotent(1, 0, 4, 1)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { .. }), "{error}");
}

#[test]
fn sequences_have_no_gaps() {
    let mut log = log(LogConfig::default());
    let gap = |error: AppendError, last: i32| match error {
        AppendError::OutOfOrderSequence { last_sequence, .. } => assert_eq!(last_sequence, last),
        other => panic!("{other}"),
    };
    // What is not known may have been deleted, so it may start anywhere.
    append(&mut log, idempotent(1, 3, 40, 2)).unwrap();
    gap(append(&mut log, idempotent(1, 3, 43, 1)).unwrap_err(), 41);
    append(&mut log, idempotent(1, 3, 42, 1)).unwrap();
    // A new epoch starts at 0.
    gap(append(&mut log, idempotent(1, 4, 43, 1)).unwrap_err(), -1);
    append(&mut log, idempotent(1, 4, 0, 1)).unwrap();
    let fenced = append(&mut log, idempotent(1, 3, 43, 1)).unwrap_err();
    let AppendError::InvalidProducerEpoch { current, .. } = fenced else { panic!("{fenced}") };
    assert_eq!(current, ProducerEpoch(4));
    append(&mut log, idempotent(2, 0, 0, 1)).unwrap();
}

#[test]
fn sequences_start_anew_after_the_largest() {
    let mut log = log(LogConfig::default());
    append(&mut log, idempotent(1, 0, i32::MAX - 1, 1)).unwrap();
    append(&mut log, idempotent(1, 0, i32::MAX, 3)).unwrap();
    let again = append(&mut log, idempotent(1, 0, i32::MAX, 3)).unwrap();
    assert_eq!((again.base_offset, again.is_duplicate), (Offset(1), true));
    let gap = append(&mut log, idempotent(1, 0, 3, 1)).unwrap_err();
    assert!(matches!(gap, AppendError::OutOfOrderSequence { last_sequence: 1, .. }), "{gap}");
    for sequence in 2..8 {
        append(&mut log, idempotent(1, 0, sequence, 1)).unwrap();
    }
    assert!(append(&mut log, idempotent(1, 0, i32::MAX, 3)).unwrap().is_old);
}

#[test]
fn several_batches_of_a_producer_follow_each_other_in_one_append() {
    let mut log = log(LogConfig::default());
    let mut batches = idempotent(1, 0, 0, 2);
    batches.extend_from_slice(&idempotent(1, 0, 2, 3));
    append(&mut log, batches).unwrap();
    let mut batches = idempotent(1, 0, 5, 1);
    batches.extend_from_slice(&idempotent(1, 0, 7, 1));
    let gap = append(&mut log, batches).unwrap_err();
    assert!(matches!(gap, AppendError::OutOfOrderSequence { last_sequence: 5, .. }), "{gap}");
    assert_eq!(log.log_end_offset(), Offset(5));
    append(&mut log, idempotent(1, 0, 5, 1)).unwrap();
}

#[test]
fn a_silent_producer_is_forgotten() {
    let mut log = log(LogConfig { producer_id_expiration_ms: 1000, ..Default::default() });
    append(&mut log, idempotent(1, 0, 0, 1)).unwrap();
    log.expire_producers(NOW_MS + 999);
    assert_eq!(log.producers().count(), 1);
    log.expire_producers(NOW_MS + 1000);
    assert_eq!(log.producers().count(), 0);
}

#[test]
fn what_is_known_of_producers_survives_restart_and_truncation() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 500, ..Default::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    for sequence in 0..30 {
        append(&mut log, idempotent(sequence % 3, 0, sequence as i32 / 3, 1)).unwrap();
    }
    assert!(log.segment_count() > 3);
    log.truncate_to(Offset(20), &mut |_| Ok(())).unwrap();
    let expect = |log: &vltava_log::Log, ends: [i32; 3]| {
        let mut ends_found = [-1; 3];
        for entry in log.producers() {
            ends_found[entry.producer_id.0 as usize] = entry.last_sequence();
        }
        assert_eq!(ends_found, ends);
    };
    expect(&log, [6, 6, 5]);
    append(&mut log, idempotent(2, 0, 6, 1)).unwrap();
    log.close().unwrap();
    let clean = OpenOptions { clean_shutdown: true, ..options() };
    expect(&open_with(&disk, config, clean).unwrap(), [6, 6, 6]);
    expect(&open_with(&disk, config, options()).unwrap(), [6, 6, 6]);
}

#[test]
fn a_follower_keeps_what_the_leader_sent() {
    let mut log = log(LogConfig::default());
    let mut sent = replicated(0, 1, 2);
    sent.extend_from_slice(&replicated(2, 2, 1));
    // Compaction has left a gap.
    sent.extend_from_slice(&replicated(7, 2, 3));
    let whole = sent.len();
    sent.extend_from_slice(&replicated(10, 2, 1)[..50]);
    let info = log.append_as_follower(&sent, LeaderEpoch(2), NOW_MS).unwrap().unwrap();
    assert_eq!((info.base_offset, info.last_offset), (Offset(0), Offset(9)));
    assert_eq!(info.bytes, whole, "a batch that is cut off is left out");
    let slice = log.locate(Offset(0), 1 << 20, Offset(10), true).unwrap().unwrap();
    assert_eq!(slice.read().unwrap(), sent[..whole]);
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(1)), Some((LeaderEpoch(1), Offset(2))));
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(2)), Some((LeaderEpoch(2), Offset(10))));
    let gap = log.locate(Offset(4), 1 << 20, Offset(10), true).unwrap().unwrap();
    assert_eq!(gap.base_offset(), Offset(7));
}

#[test]
fn a_follower_refuses_what_contradicts_its_log() {
    let mut log = log(LogConfig::default());
    let mut take = |batch: &[u8], epoch| log.append_as_follower(batch, LeaderEpoch(epoch), NOW_MS);
    take(&replicated(0, 3, 2), 3).unwrap();
    let error = take(&replicated(1, 3, 2), 3).unwrap_err();
    assert!(matches!(error, AppendError::UnexpectedOffset { .. }), "{error}");
    let error = take(&replicated(2, 2, 2), 3).unwrap_err();
    assert!(matches!(error, AppendError::StaleLeaderEpoch { .. }), "{error}");
    let newer = take(&replicated(2, 4, 2), 3).unwrap();
    assert_eq!(newer, None, "of a leader that was not asked");
    assert_eq!(take(&[], 3).unwrap(), None);
    let error = log.append_as_leader(&mut plain(1, NOW_MS), leader(2)).unwrap_err();
    assert!(matches!(error, AppendError::StaleLeaderEpoch { .. }), "{error}");
    assert_eq!(log.log_end_offset(), Offset(2));
}

#[test]
fn an_epoch_without_records_gives_way_to_the_next_leaders_records() {
    let mut log = log(LogConfig::default());
    append_many(&mut log, 2);
    log.begin_leader_epoch(LeaderEpoch(7)).unwrap();
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(0)), Some((LeaderEpoch(0), Offset(2))));
    // The next leader has records of epoch 6 that this one never saw.
    log.truncate_to(Offset(2), &mut |_| Ok(())).unwrap();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
    log.append_as_follower(&replicated(2, 6, 1), LeaderEpoch(8), NOW_MS).unwrap();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(6)));
}

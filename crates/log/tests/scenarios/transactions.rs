//! Transactions: what is stable, what was aborted, and who may append.

use vltava_log::{
    AbortedTransaction, AppendError, AppendOptions, FaultyDisk, Log, LogConfig, OpenOptions,
    ToVerify, Verification, VerificationGuard,
};
use vltava_wire::{Offset, ProducerEpoch, ProducerId};

use crate::fixture::{
    NOW_MS, append, append_many, append_marker, append_verified, idempotent, leader, log, marker,
    open_with, options, plain, transactional,
};

fn aborted(log: &Log) -> Vec<(i64, i64, i64)> {
    let end = log.log_end_offset();
    let found = log.aborted_transactions(log.log_start_offset(), end).unwrap();
    found.iter().map(|it| (it.producer_id.0, it.first_offset.0, it.last_offset.0)).collect()
}

fn verify(log: &mut Log, epoch: i16, sequence: i32) -> Option<VerificationGuard> {
    log.start_verification(ToVerify {
        producer_id: ProducerId(5),
        epoch: ProducerEpoch(epoch),
        sequence,
        bumps_epoch: true,
        now_ms: NOW_MS,
    })
}

fn append_under(
    log: &mut Log,
    guard: VerificationGuard,
    epoch: i16,
    sequence: i32,
) -> Result<(), AppendError> {
    let verification = Verification::Verified(guard);
    let options = AppendOptions { verification, ..leader(0) };
    log.append_as_leader(&mut transactional(5, epoch, sequence, 1), options).map(|_| ())
}

#[test]
fn what_is_stable_ends_where_the_first_open_transaction_begins() {
    let mut log = log(LogConfig::default());
    append_many(&mut log, 3);
    append_verified(&mut log, transactional(5, 0, 0, 2)).unwrap();
    append_verified(&mut log, transactional(6, 0, 0, 2)).unwrap();
    assert_eq!(log.last_stable_offset(Offset(7)), Offset(3));
    assert_eq!(log.last_stable_offset(Offset(2)), Offset(2), "never beyond the high watermark");
    append_marker(&mut log, marker(5, 0, true, 1), 0).unwrap();
    assert_eq!(log.last_stable_offset(Offset(7)), Offset(3), "the marker is not committed yet");
    assert_eq!(log.last_stable_offset(Offset(8)), Offset(5));
    append_marker(&mut log, marker(6, 0, false, 1), 0).unwrap();
    assert_eq!(log.last_stable_offset(Offset(9)), Offset(9));
    assert_eq!(aborted(&log), [(6, 5, 8)]);
}

#[test]
fn only_what_was_aborted_within_the_bounds_is_told() {
    let mut log = log(LogConfig { segment_bytes: 400, ..LogConfig::default() });
    for round in 0..12 {
        append_verified(&mut log, transactional(5, 0, round, 1)).unwrap();
        append_marker(&mut log, marker(5, 0, round % 2 == 0, 1), 0).unwrap();
    }
    assert!(log.segment_count() > 3);
    let found = log.aborted_transactions(Offset(4), Offset(11)).unwrap();
    let expected = |first: i64| AbortedTransaction {
        producer_id: ProducerId(5),
        first_offset: Offset(first),
        last_offset: Offset(first + 1),
        last_stable_offset: Offset(first + 2),
    };
    assert_eq!(found, [expected(6), expected(10)]);
}

#[test]
fn open_and_aborted_transactions_survive_a_crash_and_a_cut() {
    let disk = FaultyDisk::new(3);
    let config = LogConfig { segment_bytes: 600, ..LogConfig::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    append_verified(&mut log, transactional(9, 0, 0, 1)).unwrap();
    for round in 0..8 {
        append_verified(&mut log, transactional(5, 0, round, 1)).unwrap();
        append_marker(&mut log, marker(5, 0, false, 1), 0).unwrap();
    }
    let before = aborted(&log);
    assert_eq!((before.len(), log.segment_count() > 2), (8, true));
    log.flush().unwrap();
    drop(log);
    disk.crash();
    let mut log = open_with(&disk, config, options()).unwrap();
    assert_eq!(aborted(&log), before);
    assert_eq!(log.last_stable_offset(Offset(17)), Offset(0));
    // The marker at 14 goes, and its transaction is open again.
    log.truncate_to(Offset(14), &mut |_| Ok(())).unwrap();
    assert_eq!(aborted(&log), before[..6]);
    append_marker(&mut log, marker(9, 0, true, 1), 0).unwrap();
    assert_eq!(log.last_stable_offset(Offset(15)), Offset(13));
    append_marker(&mut log, marker(5, 0, true, 1), 0).unwrap();
    assert_eq!(aborted(&log), before[..6]);
    log.close().unwrap();
    let clean = OpenOptions { clean_shutdown: true, ..options() };
    let log = open_with(&disk, config, clean).unwrap();
    assert_eq!(aborted(&log), before[..6]);
    assert_eq!(log.last_stable_offset(Offset(16)), Offset(16));
}

#[test]
fn a_torn_index_of_aborted_transactions_is_made_anew() {
    let disk = FaultyDisk::new(3);
    let config = LogConfig { segment_bytes: 600, ..LogConfig::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    for round in 0..8 {
        append_verified(&mut log, transactional(5, 0, round, 1)).unwrap();
        append_marker(&mut log, marker(5, 0, false, 1), 0).unwrap();
    }
    let before = aborted(&log);
    log.close().unwrap();
    let first = crate::fixture::dir().join("00000000000000000000.txnindex");
    let disk_trait: std::sync::Arc<dyn vltava_log::Disk> = std::sync::Arc::new(disk.clone());
    let bytes = vltava_log::disk::read_file(&disk_trait, &first).unwrap().unwrap();
    vltava_log::disk::write_file(&disk_trait, &first, &bytes[..bytes.len() - 7]).unwrap();
    let clean = OpenOptions { clean_shutdown: true, ..options() };
    let log = open_with(&disk, config, clean).unwrap();
    assert_eq!(aborted(&log), before);
    let again = vltava_log::disk::read_file(&disk_trait, &first).unwrap().unwrap();
    assert_eq!(again, bytes);
}

#[test]
fn a_batch_is_let_in_only_under_the_guard_that_is_in_force() {
    let mut log = log(LogConfig::default());
    let refused = append(&mut log, transactional(5, 0, 0, 1)).unwrap_err();
    assert!(matches!(refused, AppendError::TransactionNotVerified { .. }), "{refused}");
    let guard = verify(&mut log, 0, 0).unwrap();
    assert_eq!(verify(&mut log, 0, 1), Some(guard), "one verification a producer");
    append_under(&mut log, guard, 0, 0).unwrap();
    assert!(log.has_ongoing_transaction(ProducerId(5), ProducerEpoch(0)));
    assert_eq!(verify(&mut log, 0, 1), None, "open, so nothing is to be verified");
    append(&mut log, transactional(5, 0, 1, 1)).unwrap();
    append_marker(&mut log, marker(5, 1, true, 1), 2).unwrap();
    let late = append_under(&mut log, guard, 1, 0).unwrap_err();
    assert!(matches!(late, AppendError::TransactionNotVerified { .. }), "{late}");
}

#[test]
fn a_marker_ends_a_verification_that_is_under_way() {
    let mut log = log(LogConfig::default());
    let guard = verify(&mut log, 0, 0).unwrap();
    append_marker(&mut log, marker(5, 1, false, 1), 2).unwrap();
    let late = append_under(&mut log, guard, 1, 0).unwrap_err();
    assert!(matches!(late, AppendError::TransactionNotVerified { .. }), "{late}");
    assert_ne!(verify(&mut log, 1, 0), Some(guard));
    assert_eq!(aborted(&log), [], "it was a marker of nothing");
}

#[test]
fn a_marker_leaves_the_verification_of_the_next_transaction_alone() {
    let mut log = log(LogConfig::default());
    append_verified(&mut log, transactional(5, 0, 0, 1)).unwrap();
    // The producer was told that it commits, and goes on before the marker is here.
    let next = verify(&mut log, 1, 0).unwrap();
    append_marker(&mut log, marker(5, 1, true, 1), 2).unwrap();
    append_under(&mut log, next, 1, 0).unwrap();
    append_marker(&mut log, marker(5, 2, true, 1), 2).unwrap();
    // Nobody waits for what is fenced: neither under its own guard nor under the next one's.
    let fenced = verify(&mut log, 2, 0).unwrap();
    let next = verify(&mut log, 3, 0).unwrap();
    assert_ne!(fenced, next);
    append_marker(&mut log, marker(5, 3, false, 1), 2).unwrap();
    for guard in [fenced, next] {
        append_under(&mut log, guard, 2, 0).unwrap_err();
    }
    append_under(&mut log, next, 3, 0).unwrap();
}

#[test]
fn a_batch_after_one_that_was_refused_waits_for_it() {
    let mut log = log(LogConfig::default());
    let guard = verify(&mut log, 0, 0).unwrap();
    let second = append_under(&mut log, guard, 0, 1).unwrap_err();
    assert!(matches!(second, AppendError::OutOfOrderSequence { .. }), "{second}");
    append_under(&mut log, guard, 0, 0).unwrap();
    append(&mut log, transactional(5, 0, 1, 1)).unwrap();
}

#[test]
fn a_late_marker_ends_no_later_transaction() {
    let mut log = log(LogConfig::default());
    append_verified(&mut log, transactional(5, 0, 0, 1)).unwrap();
    append_marker(&mut log, marker(5, 1, true, 1), 2).unwrap();
    // The coordinator did not see the answer, and comes again: harmless.
    append_marker(&mut log, marker(5, 1, true, 1), 2).unwrap();
    append_verified(&mut log, transactional(5, 1, 0, 1)).unwrap();
    let late = append_marker(&mut log, marker(5, 1, true, 1), 2).unwrap_err();
    assert!(matches!(late, AppendError::InvalidProducerEpoch { .. }), "{late}");
    let zombie = append_marker(&mut log, marker(5, 2, true, 0), 2).unwrap_err();
    assert!(matches!(zombie, AppendError::CoordinatorFenced { .. }), "{zombie}");
    assert_eq!(log.last_stable_offset(Offset(4)), Offset(3));
    // Of older transactions the markers have the epoch of the records.
    append_marker(&mut log, marker(5, 1, false, 1), 0).unwrap();
    assert_eq!(aborted(&log), [(5, 3, 4)]);
}

#[test]
fn a_producer_writes_nothing_outside_of_its_open_transaction() {
    let mut log = log(LogConfig::default());
    append_verified(&mut log, transactional(5, 0, 0, 1)).unwrap();
    let outside = append(&mut log, idempotent(5, 0, 1, 1)).unwrap_err();
    assert!(matches!(outside, AppendError::InvalidTxnState { .. }), "{outside}");
    append(&mut log, plain(1, NOW_MS)).unwrap();
    log.advance_log_start_offset(Offset(1)).unwrap();
    assert_eq!(log.last_stable_offset(Offset(2)), Offset(1), "not before the log's start");
}

//! Opening after clean and unclean stops, failing disks, full disks, corruption.

use std::path::Path;
use std::sync::Arc;

use vltava_log::disk::OpenMode;
use vltava_log::{
    AppendError, Disk, FaultyDisk, FutureLog, LogConfig, LogError, OpenOptions, ReadError,
};
use vltava_log::{Log, SyncKind};
use vltava_wire::{LeaderEpoch, Offset};

use crate::fixture::{
    NOW_MS, append, append_many, dir, leader, open_with, options, plain, read_all,
};

fn from(recovery_point: i64) -> OpenOptions {
    OpenOptions { recovery_point: Offset(recovery_point), ..options() }
}

fn patch(disk: &FaultyDisk, name: &str, position: u64, bytes: &[u8]) {
    let file = disk.open(&dir().join(name), OpenMode::Write).unwrap();
    assert_eq!(file.write_at(bytes, position).unwrap(), bytes.len());
}

const FIRST: &str = "00000000000000000000.log";

fn batch_bytes() -> u64 {
    plain(1, NOW_MS).len() as u64
}

/// A log of ten one-record batches, the first six of them flushed, that was not closed.
fn unclean(disk: &FaultyDisk, config: LogConfig) {
    let mut log = open_with(disk, config, options()).unwrap();
    append_many(&mut log, 6);
    assert_eq!(log.flush().unwrap(), Offset(6));
    append_many(&mut log, 4);
}

#[test]
fn a_flush_covers_what_was_there_when_it_began() {
    let disk = FaultyDisk::new(1);
    let mut log = open_with(&disk, LogConfig::default(), options()).unwrap();
    assert!(log.begin_flush().unwrap().is_none());
    append_many(&mut log, 3);
    let ticket = log.begin_flush().unwrap().unwrap();
    append_many(&mut log, 2);
    assert_eq!(log.flushed_offset(), Offset(0));
    assert_eq!(log.complete_flush(ticket.sync()).unwrap(), Offset(3));
    let flushes = disk.sync_count(SyncKind::LogFlush);
    append_many(&mut log, 5);
    assert_eq!(log.flush().unwrap(), Offset(10));
    assert_eq!(disk.sync_count(SyncKind::LogFlush), flushes + 1, "one fsync for all that waited");
}

#[test]
fn a_flush_that_began_before_a_truncation_promises_nothing_of_what_came_after() {
    let mut log = open_with(&FaultyDisk::new(1), LogConfig::default(), options()).unwrap();
    append_many(&mut log, 5);
    let ticket = log.begin_flush().unwrap().unwrap();
    log.truncate_to(Offset(2), &mut |_| Ok(())).unwrap();
    append_many(&mut log, 6);
    assert_eq!(log.complete_flush(ticket.sync()).unwrap(), Offset(0));
    assert_eq!(log.flush().unwrap(), Offset(8));
}

#[test]
fn a_failed_fsync_is_the_end_of_the_log() {
    let disk = FaultyDisk::new(1);
    let mut log = open_with(&disk, LogConfig::default(), options()).unwrap();
    append_many(&mut log, 2);
    log.flush().unwrap();
    append_many(&mut log, 2);
    disk.fail_sync(SyncKind::LogFlush, 0);
    let (first, second) =
        (log.begin_flush().unwrap().unwrap(), log.begin_flush().unwrap().unwrap());
    let (first, second) = (first.sync(), second.sync());
    // The kernel would say of the second that all is well; the file remembers.
    let error = log.complete_flush(second).unwrap_err();
    assert!(matches!(error, LogError::Disk(_)), "{error}");
    assert!(log.complete_flush(first).is_err());
    assert_eq!(log.flushed_offset(), Offset(2));
    assert!(log.failure().unwrap().contains("sync"), "{:?}", log.failure());
    let failed = append(&mut log, plain(1, NOW_MS)).unwrap_err();
    assert!(matches!(failed, AppendError::Log(LogError::Failed { .. })), "{failed}");
    let failed = log.locate(Offset(0), 100, Offset(2), true).unwrap_err();
    assert!(matches!(failed, ReadError::Log(LogError::Failed { .. })), "{failed}");
    assert!(log.begin_flush().is_err() && log.close().is_err());
    disk.crash();
    let log = open_with(&disk, LogConfig::default(), from(2)).unwrap();
    assert_eq!(log.log_end_offset(), Offset(2), "what the failed fsync lost");
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_room() {
    let disk = FaultyDisk::new(1);
    let mut log = open_with(&disk, LogConfig::default(), options()).unwrap();
    append_many(&mut log, 2);
    disk.fill_up(batch_bytes() / 2);
    for _ in 0..2 {
        let error = append(&mut log, plain(1, NOW_MS)).unwrap_err();
        let AppendError::Write(error) = error else { panic!("{error}") };
        assert!(error.is_full());
    }
    assert_eq!(read_all(&log), [0, 1]);
    disk.set_capacity(u64::MAX);
    append_many(&mut log, 1);
    log.flush().unwrap();
    disk.crash();
    let log = open_with(&disk, LogConfig::default(), from(3)).unwrap();
    assert_eq!(read_all(&log), [0, 1, 2]);
}

#[test]
fn a_full_disk_at_the_end_of_a_segment_is_survived() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 3 * batch_bytes() as u32, ..Default::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    append_many(&mut log, 3);
    disk.fill_up(5);
    for _ in 0..3 {
        let error = append(&mut log, plain(1, NOW_MS)).unwrap_err();
        assert!(matches!(error, AppendError::Write(_)), "{error}");
    }
    disk.set_capacity(u64::MAX);
    append_many(&mut log, 4);
    assert_eq!((read_all(&log).len(), log.segment_count()), (7, 3));
    drop(log);
    assert_eq!(read_all(&open_with(&disk, config, options()).unwrap()).len(), 7);
}

#[test]
fn after_a_kill_only_what_is_above_the_recovery_point_is_scanned() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { index_interval_bytes: 0, ..Default::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    for index in 0..1000 {
        append(&mut log, plain(1, NOW_MS + index)).unwrap();
    }
    log.flush().unwrap();
    // The process is killed; the machine goes on, so nothing written is lost.
    drop(log);
    let (log, report) = Log::open(std::sync::Arc::new(disk), dir(), config, from(990)).unwrap();
    assert_eq!((log.log_end_offset(), log.flushed_offset()), (Offset(1000), Offset(990)));
    // Up to 128 index entries of it may not have been written.
    assert!(report.scanned_bytes < 150 * batch_bytes(), "{report:?}");
    assert_eq!(report.truncated_bytes, 0);
    let found = log.offset_for_timestamp(NOW_MS + 500).unwrap().unwrap();
    assert_eq!(found.offset, Offset(500));
}

#[test]
fn what_is_torn_above_the_recovery_point_is_cut() {
    let disk = FaultyDisk::new(1);
    unclean(&disk, LogConfig::default());
    patch(&disk, FIRST, 8 * batch_bytes() + 65, &[0xff]);
    let options = from(6);
    let (log, report) =
        Log::open(std::sync::Arc::new(disk), dir(), LogConfig::default(), options).unwrap();
    assert_eq!(log.log_end_offset(), Offset(8));
    assert_eq!(report.truncated_bytes, 2 * batch_bytes());
    assert_eq!(read_all(&log), (0..8).collect::<Vec<_>>());
}

#[test]
fn what_is_corrupt_below_the_recovery_point_is_told_and_left_alone() {
    let disk = FaultyDisk::new(1);
    unclean(&disk, LogConfig::default());
    patch(&disk, FIRST, 3 * batch_bytes() + 65, &[0xff]);
    let error = open_with(&disk, LogConfig::default(), from(6)).unwrap_err();
    let LogError::Corrupt { file, position, .. } = &error else { panic!("{error}") };
    assert_eq!((file, *position), (&dir().join(FIRST), 3 * batch_bytes()));
    assert!(error.to_string().contains("CRC"), "{error}");
    let file = disk.open(&dir().join(FIRST), OpenMode::Read).unwrap();
    assert_eq!(file.size().unwrap(), 10 * batch_bytes());
}

#[test]
fn records_that_are_missing_below_the_recovery_point_are_told() {
    let disk = FaultyDisk::new(1);
    unclean(&disk, LogConfig::default());
    disk.open(&dir().join(FIRST), OpenMode::Write).unwrap().set_len(5 * batch_bytes()).unwrap();
    let error = open_with(&disk, LogConfig::default(), from(6)).unwrap_err();
    assert!(matches!(error, LogError::RecordsMissing { .. }), "{error}");
    let error = open_with(&FaultyDisk::new(1), LogConfig::default(), from(1)).unwrap_err();
    assert!(matches!(error, LogError::RecordsMissing { .. }), "{error}");
}

#[test]
fn a_cut_in_a_sealed_segment_takes_those_after_it() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 3 * batch_bytes() as u32, ..Default::default() };
    unclean(&disk, config);
    patch(&disk, "00000000000000000006.log", batch_bytes() + 65, &[0xff]);
    let (log, report) =
        Log::open(std::sync::Arc::new(disk.clone()), dir(), config, from(6)).unwrap();
    assert_eq!((log.log_end_offset(), report.segments_removed), (Offset(7), 1));
    drop(log);
    // The same below the recovery point: the segment after it must not hide it.
    patch(&disk, "00000000000000000003.log", 2 * batch_bytes() + 16, &[1]);
    let error = open_with(&disk, config, from(7)).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
}

#[test]
fn a_sealed_segment_that_lost_its_end_is_told() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 3 * batch_bytes() as u32, ..Default::default() };
    unclean(&disk, config);
    let first = disk.open(&dir().join(FIRST), OpenMode::Write).unwrap();
    first.set_len(2 * batch_bytes() + 30).unwrap();
    let error = open_with(&disk, config, from(6)).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
}

#[test]
fn lost_or_broken_indexes_are_made_anew() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig {
        segment_bytes: 30 * batch_bytes() as u32,
        index_interval_bytes: 150,
        ..Default::default()
    };
    let mut log = open_with(&disk, config, options()).unwrap();
    append_many(&mut log, 100);
    let end = log.close().unwrap();
    assert_eq!(end, Offset(100));
    disk.remove_file(&dir().join("00000000000000000000.index")).unwrap();
    patch(&disk, "00000000000000000030.index", 0, &[0; 8]);
    let file = disk.open(&dir().join("00000000000000000060.timeindex"), OpenMode::Write).unwrap();
    file.set_len(7).unwrap();
    disk.remove_file(&dir().join("00000000000000000090.timeindex")).unwrap();
    let clean = OpenOptions { clean_shutdown: true, recovery_point: end, ..options() };
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk);
    let (log, report) = Log::open(disk.clone(), dir(), config, clean).unwrap();
    assert_eq!(report.indexes_rebuilt, 4);
    assert_eq!(read_all(&log).len(), 100);
    log.close().unwrap();
    let (_, report) = Log::open(disk, dir(), config, clean).unwrap();
    assert_eq!((report.indexes_rebuilt, report.scanned_bytes), (0, 0));
}

#[test]
fn a_torn_list_of_epochs_is_told() {
    let disk = FaultyDisk::new(1);
    unclean(&disk, LogConfig::default());
    patch(&disk, "leader-epoch-checkpoint", 0, b"x");
    let error = open_with(&disk, LogConfig::default(), from(6)).unwrap_err();
    let LogError::Corrupt { file, .. } = &error else { panic!("{error}") };
    assert!(file.ends_with(Path::new("leader-epoch-checkpoint")));
}

#[test]
fn truncation_below_what_is_flushed_lowers_the_recovery_point_first() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 3 * batch_bytes() as u32, ..Default::default() };
    unclean(&disk, config);
    let mut log = open_with(&disk, config, from(6)).unwrap();
    let mut lowered = Vec::new();
    log.truncate_to(Offset(9), &mut |_| panic!("nothing flushed goes")).unwrap();
    let mut lower = |point: Offset| {
        lowered.push(point.0);
        Ok(())
    };
    log.truncate_to(Offset(5), &mut lower).unwrap();
    log.truncate_fully_and_start_at(Offset(50), &mut lower).unwrap();
    assert_eq!(lowered, [3, 0]);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(50), Offset(50)));
    assert_eq!((log.latest_epoch(), log.segment_count()), (None, 1));
    log.append_as_leader(&mut plain(1, NOW_MS), leader(2)).unwrap();
    log.flush().unwrap();
    disk.crash();
    let log = open_with(&disk, config, from(51)).unwrap();
    assert_eq!(read_all(&log), [50]);
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(2)), Some((LeaderEpoch(2), Offset(51))));
}

#[test]
fn a_refused_recovery_point_leaves_the_log_as_it_was() {
    let disk = FaultyDisk::new(1);
    let mut log = open_with(&disk, LogConfig::default(), options()).unwrap();
    append_many(&mut log, 4);
    log.flush().unwrap();
    let refuse = || vltava_log::DiskError {
        operation: "write",
        path: "/data/recovery-point-offset-checkpoint".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    assert!(log.truncate_to(Offset(1), &mut |_| Err(refuse())).is_err());
    assert_eq!((log.failure(), log.log_end_offset()), (None, Offset(4)));
    assert_eq!(read_all(&log).len(), 4);
}

#[test]
fn a_deleted_log_leaves_nothing() {
    let disk = FaultyDisk::new(1);
    unclean(&disk, LogConfig::default());
    let mut log = open_with(&disk, LogConfig::default(), from(6)).unwrap();
    let doomed = Path::new("/data/t-0.0123-delete").to_owned();
    disk.rename(&dir(), &doomed).unwrap();
    log.set_dir(doomed);
    log.delete().unwrap();
    assert_eq!(disk.list(Path::new("/data")).unwrap(), []);
}

#[test]
fn the_copy_of_a_log_is_opened_for_as_long_as_somebody_wants_it() {
    let disk = FaultyDisk::new(1);
    let config = LogConfig { segment_bytes: 150, ..Default::default() };
    let mut log = open_with(&disk, config, options()).unwrap();
    for _ in 0..5 {
        append(&mut log, plain(1, NOW_MS)).unwrap();
    }
    log.close().unwrap();
    let asked = std::cell::Cell::new(0);
    let open = |most: u32| {
        asked.set(0);
        let goes_on = || {
            asked.set(asked.get() + 1);
            asked.get() <= most
        };
        let begins = (Offset::ZERO, NOW_MS);
        FutureLog::open(Arc::new(disk.clone()), dir(), config, begins, &goes_on)
    };
    let given_up = open(2).unwrap_err();
    assert!(matches!(given_up, LogError::GivenUp { .. }), "{given_up}");
    assert_eq!(asked.get(), 3, "before each segment");
    assert_eq!(open(u32::MAX).unwrap().end(), Offset(5), "nothing is gone");
}

//! Folders that Apache Kafka wrote open here, and what we write is what Kafka would have written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::BytesMut;
use tempfile::TempDir;
use vltava_log::{
    AppendOptions, AppendOrigin, Log, LogConfig, OpenOptions, RealDisk, RecoveryReport,
    Verification, checkpoint,
};
use vltava_wire::batch::{BatchBuilder, Batches, ControlRecord};
use vltava_wire::records::raft::EndTxnMarker;
use vltava_wire::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

const NOW_MS: i64 = 1_795_226_000_000;

/// A copy of a fixture, and the log's folder in it.
fn copy(name: &str) -> (TempDir, PathBuf) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("fix-0");
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    (temp, dir)
}

fn config() -> LogConfig {
    LogConfig { index_interval_bytes: 512, segment_index_bytes: 4096, ..LogConfig::default() }
}

fn open(dir: &Path, recovery_point: i64, clean_shutdown: bool) -> (Log, RecoveryReport) {
    let options = OpenOptions {
        recovery_point: Offset(recovery_point),
        clean_shutdown,
        log_start_offset: Offset::ZERO,
        now_ms: NOW_MS,
    };
    Log::open(Arc::new(RealDisk), dir.to_owned(), config(), options).unwrap()
}

/// What is known of each producer: epoch, last sequence, coordinator epoch.
fn producers(log: &Log) -> BTreeMap<i64, (i16, i32, i32, bool)> {
    log.producers()
        .map(|p| {
            let open = p.current_txn_first_offset.is_some();
            (p.producer_id.0, (p.epoch.0, p.last_sequence(), p.coordinator_epoch, open))
        })
        .collect()
}

fn epochs(log: &Log) -> Vec<(i32, i64)> {
    log.epochs().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
}

/// Reads everything, in small pieces, and returns how many records there are.
fn read_all(log: &Log) -> i64 {
    let mut at = log.log_start_offset();
    let mut records = 0;
    while let Some(slice) = log.locate(at, 700, Offset(i64::MAX), true).unwrap() {
        let bytes = slice.read().unwrap();
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            assert_eq!(batch.header.base_offset, at);
            records += batch.records(1 << 20).unwrap().iter().map(Result::unwrap).count() as i64;
            at = batch.header.next_offset();
        }
    }
    assert_eq!(at, log.log_end_offset());
    records
}

fn remove(dir: &Path, suffix: &str) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == suffix) {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_folder_of_a_stopped_kafka_opens_without_a_scan() {
    let (_temp, dir) = copy("kafka-stopped");
    let (log, report) = open(&dir, 497, true);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), Offset(497)));
    assert_eq!(log.flushed_offset(), Offset(497));
    assert_eq!(report, RecoveryReport { segments: 4, ..RecoveryReport::default() });
    assert_eq!(epochs(&log), [(0, 0), (2, 394), (4, 485)]);
    assert_eq!(read_all(&log), 497);
    let id = checkpoint::read_topic_id(&(Arc::new(RealDisk) as _), &dir).unwrap();
    assert!(id.is_some());
}

#[test]
fn a_folder_of_a_killed_kafka_is_recovered_to_where_kafka_recovered_it() {
    let (_temp, dir) = copy("kafka-killed");
    let (log, report) = open(&dir, 394, false);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(362), Offset(485)));
    assert_eq!(log.flushed_offset(), Offset(394));
    assert_eq!((report.truncated_bytes, report.indexes_rebuilt), (0, 0));
    let bytes = fs::metadata(dir.join("00000000000000000362.log")).unwrap().len();
    assert!(report.scanned_bytes < bytes, "what is below the recovery point is trusted");
    assert_eq!(epochs(&log), [(0, 362), (2, 394)]);
    assert_eq!(read_all(&log), 485 - 362);
}

#[test]
fn a_torn_tail_of_a_killed_kafka_is_cut() {
    let (_temp, dir) = copy("kafka-killed");
    let path = dir.join("00000000000000000362.log");
    let mut bytes = fs::read(&path).unwrap();
    let last = Batches::new(&bytes).map(Result::unwrap).last().unwrap();
    let (at, base) = (last.at, last.header.base_offset);
    bytes.truncate(at + 70);
    fs::write(&path, &bytes).unwrap();
    let (log, report) = open(&dir, 394, false);
    assert_eq!((log.log_end_offset(), report.truncated_bytes), (base, 70));
    assert_eq!(fs::metadata(&path).unwrap().len(), at as u64);
}

#[test]
fn the_producers_of_a_snapshot_are_those_of_a_replay() {
    let (_temp, dir) = copy("kafka-stopped");
    let from_snapshot = producers(&open(&dir, 497, true).0);
    assert_eq!(from_snapshot.len(), 8, "{from_snapshot:?}");
    assert!(from_snapshot.values().any(|(_, _, coordinator, open)| *coordinator >= 0 && !open));
    remove(&dir, "snapshot");
    let (log, report) = open(&dir, 497, true);
    assert_eq!(report.producer_replay_bytes, log.size());
    assert_eq!(producers(&log), from_snapshot);
}

#[test]
fn indexes_made_anew_are_kafkas_byte_for_byte() {
    let (_temp, dir) = copy("kafka-stopped");
    // Of the last segment they depend on when Kafka was restarted, so it is left out.
    let files = |dir: &Path| -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.to_string_lossy().ends_with("index"))
            .filter(|path| !path.to_string_lossy().contains("00362."))
            .map(|path| (path.file_name().unwrap().display().to_string(), fs::read(path).unwrap()))
            .collect()
    };
    let kafkas = files(&dir);
    assert_eq!(kafkas.len(), 6);
    remove(&dir, "index");
    remove(&dir, "timeindex");
    let (log, report) = open(&dir, 497, true);
    assert_eq!(report.indexes_rebuilt, 4);
    assert_eq!(log.close().unwrap(), Offset(497));
    assert_eq!(files(&dir), kafkas);
}

#[test]
fn timestamps_are_found_in_what_kafka_wrote() {
    let (_temp, dir) = copy("kafka-stopped");
    let (log, _) = open(&dir, 497, true);
    let mut timestamps = Vec::new();
    let mut at = Offset::ZERO;
    while let Some(slice) = log.locate(at, 1 << 20, Offset(i64::MAX), true).unwrap() {
        for batch in Batches::new(&slice.read().unwrap()).map(Result::unwrap) {
            for record in &batch.records(1 << 20).unwrap() {
                timestamps.push(record.unwrap().timestamp);
            }
            at = batch.header.next_offset();
        }
    }
    for wanted in timestamps.iter().flat_map(|t| [*t, t + 1]) {
        let expected = timestamps.iter().position(|t| *t >= wanted).map(|at| at as i64);
        let found = log.offset_for_timestamp(wanted).unwrap().map(|found| found.offset.0);
        assert_eq!(found, expected, "{wanted}");
    }
    let largest = timestamps.iter().max().unwrap();
    let first = timestamps.iter().position(|t| t == largest).unwrap() as i64;
    let found = log.max_timestamp().unwrap().unwrap();
    assert_eq!((found.timestamp, found.offset), (*largest, Offset(first)));
}

/// Runs Apache's `dump-log` and returns what it printed.
fn dump(tool: &str, arguments: &[&str], files: &[PathBuf]) -> String {
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let output = Command::new(tool)
        .args(["dump-log", "--files", &files.join(",")])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

/// The marker that ends the transaction of a round: every second one is aborted.
fn marker(round: i32) -> BytesMut {
    let (id, epoch) = (ProducerId(5000), ProducerEpoch((round / 3 + 1) as i16));
    let builder = BatchBuilder::new(Offset::ZERO).control().transactional();
    let mut builder = builder.producer(id, epoch, -1);
    let marker = EndTxnMarker { coordinator_epoch: 3 };
    let record = match round % 2 {
        0 => ControlRecord::Abort(marker),
        _ => ControlRecord::Commit(marker),
    };
    builder.append_control_record(NOW_MS, &record);
    builder.build()
}

#[test]
#[ignore = "needs VLTAVA_KAFKA_TOOL, a command that runs Apache Kafka's tools: TOOL dump-log ..."]
fn apaches_dump_log_finds_no_error() {
    let tool = std::env::var("VLTAVA_KAFKA_TOOL").expect("VLTAVA_KAFKA_TOOL");
    let (_temp, dir) = copy("kafka-stopped");
    let (mut log, _) = open(&dir, 497, true);
    log.set_config(LogConfig { segment_bytes: 30_000, ..config() });
    for round in 0..400 {
        let mut builder = BatchBuilder::new(Offset::ZERO);
        if round % 3 == 0 {
            builder = builder.producer(ProducerId(4000), ProducerEpoch(0), round / 3 * 5);
        }
        for record in 0..5_i64 {
            let timestamp = NOW_MS + i64::from(round) * 7 - record * 3;
            builder.append(timestamp, Some(b"key"), Some(&[b'v'; 40]), &[]);
        }
        let is_transactional = round % 3 == 1;
        if is_transactional {
            let (id, epoch) = (ProducerId(5000), ProducerEpoch((round / 3) as i16));
            builder = builder.transactional().producer(id, epoch, 0);
        }
        let epoch = LeaderEpoch(5 + round / 150);
        let options = AppendOptions {
            leader_epoch: epoch,
            origin: AppendOrigin::Client,
            verification: Verification::NotRequired,
            now_ms: NOW_MS,
        };
        log.append_as_leader(&mut builder.build(), options).unwrap();
        if is_transactional && round < 390 {
            let mut end = marker(round);
            let origin = AppendOrigin::TransactionMarker { version: 2 };
            log.append_as_leader(&mut end, AppendOptions { origin, ..options }).unwrap();
        }
    }
    log.truncate_to(Offset(2400), &mut |_| Ok(())).unwrap();
    let log_end_aborted = log.aborted_transactions(Offset(0), log.log_end_offset()).unwrap();
    let end = log.close().unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let of = |suffix: &str| -> Vec<PathBuf> {
        let has = |path: &&PathBuf| path.extension().is_some_and(|e| e == suffix);
        files.iter().filter(has).cloned().collect()
    };
    assert!(of("log").len() > 6);
    let text = dump(&tool, &["--deep-iteration"], &of("log"));
    assert!(text.contains(&format!("offset: {} ", end.0 - 1)), "{text}");
    assert!(!text.contains("isvalid: false") && !text.contains("Found"), "{text}");
    for arguments in [&["--index-sanity-check"][..], &["--verify-index-only"], &[]] {
        let text = dump(&tool, arguments, &[of("index"), of("timeindex")].concat());
        let wrong = ["Mismatches", "Found", "out of order", "not found", "Exception"];
        let found = wrong.iter().find(|word| text.contains(**word));
        assert_eq!(found, None, "{text}");
    }
    let text = dump(&tool, &[], &of("snapshot"));
    assert!(text.contains("producerId: 4000"), "{text}");
    assert!(text.contains("currentTxnFirstOffset: Optional"), "{text}");
    let text = dump(&tool, &[], &of("txnindex"));
    let known = log_end_aborted.iter().filter(|aborted| {
        let line = format!(
            "version: 0 producerId: 5000 firstOffset: {} lastOffset: {} lastStableOffset: {}",
            aborted.first_offset, aborted.last_offset, aborted.last_stable_offset
        );
        text.contains(&line)
    });
    assert_eq!(known.count(), log_end_aborted.len(), "{text}");
    assert!(log_end_aborted.len() > 40 && !text.contains("Exception"), "{text}");
}

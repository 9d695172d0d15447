//! What is left of a compacted log here is what Apache Kafka leaves of it, record by record.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vltava_log::{Log, LogConfig, OffsetMap, OpenOptions, RealDisk, SwapOutcome};
use vltava_wire::Offset;
use vltava_wire::batch::{BatchHeader, Batches};

/// A moment after Kafka's last round, in ms since 1970.
const NOW_MS: i64 = 1_795_881_300_000;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/compaction").join(name)
}

fn copy(name: &str) -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("fix-0");
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    (temp, dir)
}

fn open(dir: &Path, clean_shutdown: bool) -> Log {
    let config = LogConfig {
        compact: true,
        segment_bytes: 1500,
        index_interval_bytes: 300,
        delete_retention_ms: 1000,
        ..LogConfig::default()
    };
    let options = OpenOptions {
        recovery_point: Offset::ZERO,
        clean_shutdown,
        log_start_offset: Offset::ZERO,
        now_ms: NOW_MS,
    };
    Log::open(Arc::new(RealDisk), dir.to_owned(), config, options).unwrap().0
}

/// Cleans a log from `from` on; where it is clean up to then.
fn clean(log: &mut Log, from: i64) -> i64 {
    let extent = log.cleanable(Some(Offset(from)), log.log_end_offset(), NOW_MS).unwrap();
    let mut round = log.begin_clean(extent, NOW_MS).unwrap();
    let mut map = OffsetMap::new(1 << 16, 0.9);
    let pace = &mut |_| Ok(());
    round.map_keys(&mut map, pace).unwrap();
    while let Some(cleaned) = round.clean_next(&map, pace).unwrap() {
        assert_ne!(log.swap_in(cleaned).unwrap(), SwapOutcome::Stale);
    }
    round.end_offset().0
}

/// A batch's header without what depends on when it was cleaned, and its records.
type Shown = (String, Vec<(i64, i64, Option<Vec<u8>>, Option<Vec<u8>>)>);

fn show(header: &BatchHeader) -> String {
    let has_horizon = header.delete_horizon().is_some();
    let base_timestamp = Some(header.base_timestamp).filter(|_| !has_horizon);
    let first = (header.base_offset, header.last_offset(), header.partition_leader_epoch);
    let producer = (header.producer_id, header.producer_epoch, header.base_sequence);
    let (flags, time) = (header.attributes, header.max_timestamp);
    format!("{first:?} {producer:?} {flags:?} {base_timestamp:?} {time}")
}

/// The batches of each segment.
fn segments(dir: &Path) -> BTreeMap<i64, Vec<Shown>> {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "log") {
            continue;
        }
        let base = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let bytes = fs::read(&path).unwrap();
        let shown = Batches::new(&bytes).map(|batch| {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let records = batch.records(1 << 20).unwrap();
            let records = records.iter().map(Result::unwrap);
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let records =
                records.map(|it| (it.offset.0, it.timestamp, owned(it.key), owned(it.value)));
            (show(&batch.header), records.collect())
        });
        segments.insert(base, shown.collect());
    }
    segments
}

fn compare(before: &str, after: &str, from: i64, to: i64) {
    let (_temp, dir) = copy(before);
    let mut log = open(&dir, true);
    assert_eq!(clean(&mut log, from), to);
    let (ours, kafkas) = (segments(&dir), segments(&fixture(after)));
    assert_eq!(ours.keys().collect::<Vec<_>>(), kafkas.keys().collect::<Vec<_>>());
    for (base, kafkas) in &kafkas {
        let mut ours = ours[base].clone();
        // Here the last batch of a segment stays, if only to say where the segment ends.
        if ours.len() == kafkas.len() + 1 {
            let (_, records) = ours.pop().unwrap();
            assert!(records.is_empty(), "segment {base}: {records:?}");
        }
        assert_eq!(&ours, kafkas, "segment {base}");
    }
    let end = log.log_end_offset();
    drop(log);
    // And it opens, with every batch checked and all indexes made anew, to the same.
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "index") {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(open(&dir, false).log_end_offset(), end);
}

#[test]
fn the_first_round_leaves_what_kafkas_leaves() {
    compare("before-1", "after-1", 0, 119);
}

#[test]
fn the_next_round_merges_segments_and_lets_tombstones_go_as_kafkas_does() {
    compare("before-2", "after-2", 119, 198);
}

//! The store over a disk that loses what was not synced: nothing that counted as durable is lost.
//!
//! A failing seed is run again by `replay(SEED, None)`.

#![allow(clippy::print_stdout, reason = "a missing sync tells which history it was missed in")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vltava_log::{Disk, FaultyDisk, LogConfig, SyncKind};
use vltava_metadata::{Image, SnapshotId, checkpoint};
use vltava_quorum::{QuorumState, ReplicaKey};
use vltava_wire::records::metadata::NoOpRecord;
use vltava_wire::records::raft::VotersRecord;
use vltava_wire::{LeaderEpoch, NodeId, Offset, Uuid};

use super::{Found, Store};
use crate::folder::Folder;

const SEEDS: u64 = 150;
const STEPS: usize = 60;
const LOG: &str = "/data/log";

/// What must be there after a crash.
struct Model {
    /// Batches from the log's start on: the offset after each, and its epoch.
    batches: Vec<(Offset, LeaderEpoch)>,
    start: Offset,
    flushed: Offset,
    state: QuorumState,
    /// The latest snapshot that counts as written.
    snapshot: Option<SnapshotId>,
    epoch: LeaderEpoch,
}

impl Model {
    fn end(&self) -> Offset {
        self.batches.last().map_or(self.start, |(end, _)| *end)
    }

    /// Ends of batches from the latest snapshot on: where a log may be cut.
    fn cuts(&self) -> Vec<Offset> {
        let least = self.snapshot.map_or(Offset::ZERO, |id| id.end_offset);
        let ends = self.batches.iter().map(|(end, _)| *end);
        std::iter::once(self.start).chain(ends).filter(|end| *end >= least).collect()
    }

    fn epoch_before(&self, end: Offset) -> LeaderEpoch {
        let batch = self.batches.iter().find(|(batch_end, _)| *batch_end >= end);
        batch.map_or(LeaderEpoch(0), |(_, epoch)| *epoch)
    }
}

fn folder() -> Folder {
    let replica = ReplicaKey::new(NodeId(3001), Uuid(900));
    let lock = tempfile::tempfile().expect("a file");
    Folder::of_parts(PathBuf::from(LOG), "cluster".into(), replica, lock)
}

fn open(disk: &Arc<dyn Disk>) -> Found {
    let config = LogConfig { segment_bytes: 2_000, ..LogConfig::default() };
    let config = LogConfig { retention_ms: -1, retention_bytes: -1, ..config };
    Store::open(Arc::clone(disk), &folder(), config).expect("a store that opens")
}

fn snapshot_bytes(id: SnapshotId) -> Vec<u8> {
    let voters = VotersRecord::default();
    checkpoint::encode(id, &Image::new("cluster".into()), Some(&voters), 0)
}

/// Opens the store again, and checks that it has what the model says.
fn reopen(disk: &Arc<dyn Disk>, model: &mut Model) -> Store {
    let Found { store, shape, state, latest } = open(disk);
    assert_eq!(state, model.state, "the vote");
    let latest = latest.map(|(id, _)| id);
    assert!(latest >= model.snapshot, "{latest:?}, {:?} was written", model.snapshot);
    assert!(store.end() >= model.flushed, "{} of {} flushed", store.end(), model.flushed);
    assert_eq!(shape.end(), store.end());
    // What follows a cut may be gone; whatever is there is what was appended.
    let mut batches = Vec::new();
    let mut next = shape.start();
    assert!(next <= model.start || model.snapshot.is_some_and(|id| id.end_offset == next));
    while next < store.end() {
        let bytes = store.read(next, 1).expect("a batch");
        let batch = vltava_wire::batch::Batch::parse(&bytes).expect("a batch");
        next = batch.header.next_offset();
        let found = (next, batch.header.partition_leader_epoch);
        if next > model.start {
            assert!(model.batches.contains(&found), "{found:?} was never appended");
            batches.push(found);
        }
    }
    (model.batches, model.flushed) = (batches, store.end());
    model.start = model.start.min(model.end());
    model.snapshot = latest;
    store
}

fn step(store: &mut Store, model: &mut Model, random: &mut StdRng) {
    match random.random_range(0..12) {
        0..4 => {
            let records = vec![NoOpRecord::default().into(); random.random_range(1..20)];
            let base = model.end();
            store.append(base, model.epoch, &records).expect("an append");
            model.batches.push((base + records.len() as i64, model.epoch));
        }
        4..7 => {
            if let Some(ticket) = store.begin_flush().expect("a flush") {
                let end = ticket.end_offset();
                store.complete_flush(ticket.sync()).expect("a flush");
                model.flushed = end;
            }
        }
        7 => {
            let cuts = model.cuts();
            let to = cuts[random.random_range(0..cuts.len())];
            store.truncate(to).expect("a cut");
            model.batches.retain(|(end, _)| *end <= to);
            model.flushed = model.flushed.min(to);
            model.epoch = LeaderEpoch(model.epoch.get() + 1);
        }
        8 => {
            model.state = QuorumState {
                epoch: LeaderEpoch(model.state.epoch.get() + 1),
                leader: None,
                voted: Some(ReplicaKey::new(NodeId(3002), Uuid(random.random()))),
            };
            store.write_quorum_state(&model.state).expect("a vote");
        }
        9 | 10 => take_snapshot(store, model, random),
        _ => {
            // The leader sends a snapshot of what is far ahead.
            let end_offset = model.end() + random.random_range(1..50);
            let id = SnapshotId { end_offset, epoch: model.epoch };
            for (index, piece) in snapshot_bytes(id).chunks(100).enumerate() {
                store.write_snapshot(id, index as u64 * 100, piece).expect("a piece");
            }
            store.install_snapshot(id).expect("no error").expect("a whole snapshot");
            model.batches.clear();
            (model.start, model.flushed, model.snapshot) = (end_offset, end_offset, Some(id));
        }
    }
    assert_eq!(store.end(), model.end());
}

fn take_snapshot(store: &mut Store, model: &mut Model, random: &mut StdRng) {
    let known = model.snapshot.map_or(Offset::ZERO, |id| id.end_offset);
    let ends = model.batches.iter().map(|(end, _)| *end);
    let committed: Vec<Offset> = ends.filter(|end| *end > known && *end <= model.flushed).collect();
    if committed.is_empty() {
        return;
    }
    let end_offset = committed[random.random_range(0..committed.len())];
    let id = SnapshotId { end_offset, epoch: model.epoch_before(end_offset) };
    let bytes = snapshot_bytes(id);
    store.snapshot_writer().write(id, &bytes).expect("a snapshot");
    store.snapshot_written(id, bytes.len() as u64).expect("a snapshot");
    model.snapshot = Some(id);
    if random.random() {
        store.give_up_before_latest().expect("less log");
        model.batches.retain(|(end, _)| *end > end_offset);
        model.start = model.start.max(end_offset);
    }
}

/// Runs one seed: random steps, and now and then the power goes.
fn replay(seed: u64, skipped: Option<SyncKind>) {
    let faulty = FaultyDisk::new(seed);
    faulty.set_short_writes(true);
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    for path in ["/data", LOG] {
        disk.create_folder(Path::new(path)).expect("a folder");
        let parent = Path::new(path).parent().expect("a parent");
        disk.sync_folder(parent, SyncKind::DataFolder).expect("a folder");
    }
    faulty.skip_sync(skipped);
    let mut model = Model {
        batches: Vec::new(),
        start: Offset::ZERO,
        flushed: Offset::ZERO,
        state: QuorumState::default(),
        snapshot: None,
        epoch: LeaderEpoch(1),
    };
    let mut random = StdRng::seed_from_u64(seed);
    let mut store = reopen(&disk, &mut model);
    for _ in 0..STEPS {
        if random.random_range(0..8) == 0 {
            drop(store);
            faulty.crash();
            store = reopen(&disk, &mut model);
        } else {
            step(&mut store, &mut model, &mut random);
        }
    }
}

#[test]
fn power_cuts_cost_nothing_that_was_durable() {
    for seed in 0..SEEDS {
        let outcome = catch_unwind(AssertUnwindSafe(|| replay(seed, None)));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_sync_that_is_left_out_is_found() {
    let kinds = [
        SyncKind::LogFlush,
        SyncKind::QuorumState,
        SyncKind::QuorumStateFolder,
        SyncKind::MetadataSnapshot,
        SyncKind::MetadataSnapshotFolder,
        SyncKind::OffsetCheckpoint,
    ];
    for kind in kinds {
        let is_found = |seed| catch_unwind(AssertUnwindSafe(|| replay(seed, Some(kind)))).is_err();
        let seed = (0..SEEDS).find(|seed| is_found(*seed));
        let seed = seed.unwrap_or_else(|| panic!("nobody misses {kind:?}"));
        println!("left out {kind:?}: history {seed}");
    }
}

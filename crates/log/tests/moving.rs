//! A log moves from one folder to another while it goes on, and the power goes at any time.
//!
//! Whatever happens, a start finds the old log, or the new one, or both with the same records:
//! never none, never one that lacks what was committed; and producers, leader epochs and aborted
//! transactions are those of the records, and of those that were deleted.
//!
//! A failing history prints its seed; `VLTAVA_SEED=S` runs that one alone.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a failure tells its seed")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vltava_log::checkpoint::{self, Offsets, RECOVERY_POINTS};
use vltava_log::{
    AppendOptions, AppendOrigin, Disk, FaultyDisk, FutureLog, Log, LogConfig, OpenOptions, Slice,
    SyncKind, Verification,
};
use vltava_wire::batch::{BatchBuilder, Batches, ControlRecord};
use vltava_wire::records::raft::EndTxnMarker;
use vltava_wire::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId};

/// Histories run by default; each takes a few milliseconds.
const HISTORIES: u64 = 150;
/// The steps of a history.
const STEPS: usize = 120;
/// Logs in which the power is cut at every change of a move.
const CUT_LOGS: u64 = 3;
/// How many changes a move makes at least, or there was nothing to try.
const CUTS_MIN: u64 = 20;
/// Within how many histories a missing fsync must be noticed.
const HISTORIES_TO_NOTICE: u64 = 200;

/// The producer that writes in transactions.
const TRANSACTIONAL: i64 = 3;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What was appended, by offset: producer, sequence (−1: a marker) and epoch. What is deleted stays
/// here, as producers are known by it.
type Model = BTreeMap<i64, (i64, i32, i32)>;

struct World {
    random: Random,
    faulty: FaultyDisk,
    disk: Arc<dyn Disk>,
    config: LogConfig,
    /// Where the log lies: 0 or 1.
    lies: usize,
    log: Option<Log>,
    future: Option<FutureLog>,
    /// The least offset that the log was cut at since the copy last looked.
    cut: Option<Offset>,
    model: Model,
    committed: i64,
    epoch: i32,
    moves: usize,
    random_name: u64,
}

const DIRS: [&str; 2] = ["/a", "/b"];

fn folder(dir: usize) -> PathBuf {
    Path::new(DIRS[dir]).join("t-0")
}

fn write_point(disk: &Arc<dyn Disk>, dir: usize, point: Offset) -> Result<(), String> {
    let offsets = Offsets::from([(("t".to_owned(), PartitionId(0)), point)]);
    checkpoint::write_offsets(disk, Path::new(DIRS[dir]), RECOVERY_POINTS, &offsets).map_err(text)
}

fn read_point(disk: &Arc<dyn Disk>, dir: usize) -> Result<Option<Offset>, String> {
    let read = checkpoint::read_offsets(disk, Path::new(DIRS[dir]), RECOVERY_POINTS);
    Ok(read.map_err(text)?.values().next().copied())
}

/// Lowers what is noted, as the owner of a log does before that is cut.
fn lower(disk: &Arc<dyn Disk>, dir: usize, offset: Offset) -> Result<(), vltava_log::DiskError> {
    let noted = read_point(disk, dir).expect("readable");
    if noted.is_some_and(|noted| noted > offset) {
        let offsets = Offsets::from([(("t".to_owned(), PartitionId(0)), offset)]);
        let path = Path::new(DIRS[dir]);
        match checkpoint::write_offsets(disk, path, RECOVERY_POINTS, &offsets) {
            Err(checkpoint::CheckpointError::Disk(error)) => return Err(error),
            written => written.expect("writing does not parse"),
        }
    }
    Ok(())
}

impl World {
    fn new(seed: u64) -> Result<Self, String> {
        let faulty = FaultyDisk::new(seed ^ 0xd15c);
        let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
        for dir in DIRS {
            vltava_log::disk::make_folder(&disk, Path::new(dir), SyncKind::DataFolder)
                .map_err(text)?;
        }
        let mut random = Random(seed);
        let config = LogConfig {
            segment_bytes: [400, 1000, 4000][random.below(3) as usize],
            segment_ms: i64::MAX,
            index_interval_bytes: [0, 300][random.below(2) as usize],
            producer_snapshot_interval_bytes: [300, 1 << 30][random.below(2) as usize],
            producer_id_expiration_ms: i64::MAX,
            retention_ms: -1,
            timestamp_after_max_ms: i64::MAX,
            ..LogConfig::default()
        };
        let mut world = Self {
            random,
            faulty,
            disk,
            config,
            lies: 0,
            log: None,
            future: None,
            cut: None,
            model: Model::new(),
            committed: 0,
            epoch: 1,
            moves: 0,
            random_name: 0,
        };
        let opened = world.open_folder(0)?;
        world.log = Some(opened);
        Ok(world)
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("it is open between steps")
    }

    fn open_folder(&self, dir: usize) -> Result<Log, String> {
        let options = OpenOptions {
            recovery_point: read_point(&self.disk, dir)?.unwrap_or(Offset::ZERO),
            clean_shutdown: false,
            log_start_offset: Offset::ZERO,
            now_ms: 0,
        };
        let opened = Log::open(Arc::clone(&self.disk), folder(dir), self.config, options);
        opened.map(|(log, _)| log).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("opening: {error} ({source:?})")
        })
    }

    fn last_sequence(&self, producer: i64) -> i32 {
        let of =
            self.model.values().rev().filter(|(id, sequence, _)| *id == producer && *sequence >= 0);
        of.map(|(_, sequence, _)| *sequence).next().unwrap_or(-1)
    }

    fn append(&mut self) -> Result<(), String> {
        let offset = self.log().log_end_offset();
        let producer = self.random.below(TRANSACTIONAL as u64 + 1) as i64;
        let builder = BatchBuilder::new(offset);
        let open = self.log().producers().any(|it| it.current_txn_first_offset.is_some());
        let (origin, batch) = if producer == TRANSACTIONAL && open {
            let mut builder = builder.control().transactional();
            builder = builder.producer(ProducerId(producer), ProducerEpoch(0), -1);
            let marker = EndTxnMarker { coordinator_epoch: 1 };
            builder.append_control_record(0, &ControlRecord::Abort(marker));
            self.model.insert(offset.0, (producer, -1, self.epoch));
            (AppendOrigin::TransactionMarker { version: 0 }, builder.build())
        } else {
            let sequence = self.last_sequence(producer) + 1;
            let mut builder = builder.producer(ProducerId(producer), ProducerEpoch(0), sequence);
            if producer == TRANSACTIONAL {
                builder = builder.transactional();
            }
            let value = vec![producer as u8; self.random.below(80) as usize];
            builder.append(0, None, Some(&value), &[]);
            self.model.insert(offset.0, (producer, sequence, self.epoch));
            (AppendOrigin::Client, builder.build())
        };
        let (leader_epoch, verification) = (LeaderEpoch(self.epoch), Verification::NotRequired);
        let options = AppendOptions { leader_epoch, origin, verification, now_ms: 0 };
        let mut batch = batch;
        self.log().append_as_leader(&mut batch, options).map_err(text)?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        self.committed = self.log().flush().map_err(text)?.0;
        let committed = Offset(self.committed);
        self.log().note_high_watermark(committed);
        if self.random.one_in(2) {
            write_point(&self.disk, self.lies, committed)?;
        }
        Ok(())
    }

    /// Another leader, that has what is committed and not all of the rest.
    fn elect(&mut self) -> Result<(), String> {
        let end = self.log().log_end_offset().0;
        let to = self.committed + self.random.below((end - self.committed + 1) as u64) as i64;
        let (disk, dir) = (Arc::clone(&self.disk), self.lies);
        let cut = self.log().truncate_to(Offset(to), &mut |at| lower(&disk, dir, at));
        cut.map_err(text)?;
        let to = self.log().log_end_offset();
        self.forget_from(to);
        self.cut = Some(self.cut.map_or(to, |cut| cut.min(to)));
        self.epoch += 1;
        let epoch = LeaderEpoch(self.epoch);
        self.log().begin_leader_epoch(epoch).map_err(text)
    }

    fn forget_from(&mut self, end: Offset) {
        self.model.split_off(&end.0);
    }

    /// Moves the start, and deletes what lies before.
    fn delete(&mut self) -> Result<(), String> {
        let start = self.log().log_start_offset().0;
        let room = (self.committed - start).max(0) as u64;
        let offset = start + self.random.below(room / 2 + 1) as i64;
        let committed = Offset(self.committed);
        self.log().advance_log_start_offset(Offset(offset)).map_err(text)?;
        self.log().delete_old_segments(0, committed).map_err(text)?;
        Ok(())
    }

    fn locate(&mut self, from: Offset) -> Result<Option<Slice>, String> {
        let max = 1 + self.random.below(600) as usize;
        let end = self.log().log_end_offset();
        let at = from.max(self.log().log_start_offset());
        if at >= end {
            return Ok(None);
        }
        self.log().locate(at, max, end, true).map_err(text)
    }

    fn begin_move(&mut self) -> Result<(), String> {
        let start = self.log().log_start_offset();
        let begins = self.locate(start)?.map_or(start, |it| it.base_offset().min(start));
        self.random_name += 1;
        let name = format!("t-0.{:032x}-future", self.random_name);
        let path = Path::new(DIRS[1 - self.lies]).join(name);
        let disk = Arc::clone(&self.disk);
        self.cut = None;
        self.future =
            Some(FutureLog::open(disk, path, self.config, (begins, 0), &|| true).map_err(text)?);
        Ok(())
    }

    /// A piece; whether the copy has all by now.
    fn copy(&mut self) -> Result<bool, String> {
        let Some(mut future) = self.future.take() else { return Ok(false) };
        let (disk, to) = (Arc::clone(&self.disk), 1 - self.lies);
        let lower = &mut |at| lower(&disk, to, at);
        if let Some(cut) = self.cut.take().filter(|cut| *cut < future.end()) {
            future.cut(cut, lower).map_err(text)?;
        }
        let start = self.log().log_start_offset();
        let slice = self.locate(future.end())?;
        if start > future.end() {
            let begins = slice.as_ref().map_or(start, |it| it.base_offset().min(start));
            future.begin_at(begins, lower).map_err(text)?;
        }
        let is_level = slice.is_none();
        if let Some(slice) = slice {
            future.append(&slice.read().map_err(text)?, 0).map_err(text)?;
        }
        future.advance_start(start, 0).map_err(text)?;
        self.future = Some(future);
        Ok(is_level)
    }

    /// Copies what is missing, and lets the copy take over.
    fn finish(&mut self) -> Result<(), String> {
        if self.future.is_none() {
            return Ok(());
        }
        while !self.copy()? {}
        let to = 1 - self.lies;
        let mut future = self.future.take().expect("it is being copied");
        let flushed = future.flush().map_err(text)?;
        write_point(&self.disk, to, flushed)?;
        let current = self.log.take().expect("it is open");
        future.complete(&current, 0).map_err(text)?;
        let log = future.take_over(folder(to)).map_err(text)?;
        let aside = Path::new(DIRS[self.lies]).join("t-0.gone-delete");
        self.disk.rename(&folder(self.lies), &aside).map_err(text)?;
        let path = Path::new(DIRS[self.lies]);
        self.disk.sync_folder(path, SyncKind::AsideFolder).map_err(text)?;
        drop(current);
        self.remove(&aside)?;
        let forgotten = Offsets::new();
        checkpoint::write_offsets(&self.disk, path, RECOVERY_POINTS, &forgotten).map_err(text)?;
        (self.lies, self.log) = (to, Some(log));
        self.committed = self.log().log_end_offset().0;
        let committed = Offset(self.committed);
        self.log().note_high_watermark(committed);
        self.moves += 1;
        self.check()
    }

    fn remove(&self, folder: &Path) -> Result<(), String> {
        for entry in self.disk.list(folder).map_err(text)? {
            self.disk.remove_file(&folder.join(entry.name)).map_err(text)?;
        }
        self.disk.remove_folder(folder).map_err(text)
    }

    fn crash(&mut self) -> Result<(), String> {
        (self.log, self.future) = (None, None);
        self.faulty.crash();
        self.start()
    }

    /// What a broker does at a start: it opens what has the name of a log, uses what reaches
    /// furthest, and goes on with a copy, or removes it.
    fn start(&mut self) -> Result<(), String> {
        let (mut logs, mut futures) = (Vec::new(), Vec::new());
        for (dir, path) in DIRS.iter().enumerate() {
            for entry in self.disk.list(Path::new(path)).map_err(text)? {
                let found = Path::new(path).join(&entry.name);
                if entry.name == "t-0" {
                    logs.push((dir, self.open_folder(dir)?));
                } else if entry.name.ends_with("-future") {
                    futures.push((dir, found));
                } else if entry.is_folder {
                    self.remove(&found)?;
                }
            }
        }
        logs.sort_by_key(|(_, log)| (log.latest_epoch(), log.log_end_offset()));
        let (lies, log) = logs.pop().ok_or("neither the old log is there nor the new one")?;
        for (dir, surplus) in logs {
            drop(surplus);
            self.remove(&folder(dir))?;
            let forgotten = Offsets::new();
            let path = Path::new(DIRS[dir]);
            checkpoint::write_offsets(&self.disk, path, RECOVERY_POINTS, &forgotten)
                .map_err(text)?;
        }
        (self.lies, self.log) = (lies, Some(log));
        for (dir, path) in futures {
            if dir == lies || self.future.is_some() || self.random.one_in(3) {
                self.remove(&path)?;
                continue;
            }
            let disk = Arc::clone(&self.disk);
            let opened = FutureLog::open(disk, path, self.config, (Offset::ZERO, 0), &|| true);
            let mut future = opened.map_err(text)?;
            let current = self.log.as_ref().expect("it was found");
            future.reconcile(current, &mut |_| Ok(())).map_err(text)?;
            (self.future, self.cut) = (Some(future), None);
        }
        let end = self.log().log_end_offset();
        if end.0 < self.committed {
            return Err(format!("ends at {end}, committed up to {}", self.committed));
        }
        self.forget_from(end);
        self.check()
    }

    fn check(&mut self) -> Result<(), String> {
        let log = self.log.as_ref().expect("it is open");
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let mut at = start;
        while let Some(slice) = log.locate(at, 1 << 20, end, true).map_err(text)? {
            for batch in Batches::new(&slice.read().map_err(text)?) {
                let header = batch.map_err(text)?.header;
                let found = (header.producer_id.0, header.base_sequence);
                let told = self.model.get(&header.base_offset.0);
                let expected = told.map(|(producer, sequence, _)| (*producer, *sequence));
                if expected != Some(found) {
                    return Err(format!("{found:?} at {}, not {told:?}", header.base_offset));
                }
                at = header.next_offset();
            }
        }
        if at != end {
            return Err(format!("readable up to {at} of {end}"));
        }
        // The start itself is not noted here, and may be found lower than it was.
        let known_from = log.epochs().first().map_or(end, |first| first.start_offset.max(start));
        for (offset, (_, _, epoch)) in self.model.range(known_from.0..end.0) {
            if log.epoch_at(Offset(*offset)) != Some(LeaderEpoch(*epoch)) {
                return Err(format!(
                    "the epoch at {offset} is {:?}",
                    log.epoch_at(Offset(*offset))
                ));
            }
        }
        let known: BTreeMap<i64, i32> =
            log.producers().map(|it| (it.producer_id.0, it.last_sequence())).collect();
        for producer in 0..=TRANSACTIONAL {
            let expected = self.last_sequence(producer);
            let found = known.get(&producer).copied().unwrap_or(-1);
            if found != expected {
                return Err(format!("producer {producer} is at {found}, not {expected}"));
            }
        }
        self.check_aborted(log)
    }

    /// Every transaction of which there are records is known to be aborted, and no other is.
    fn check_aborted(&self, log: &Log) -> Result<(), String> {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let aborted = log.aborted_transactions(start, end).map_err(text)?;
        let found: Vec<i64> = aborted.iter().map(|it| it.last_offset.0).collect();
        let of = |range| self.model.range(range).filter(|(_, it)| it.0 == TRANSACTIONAL);
        for (marker, _) in of(start.0..end.0).filter(|(_, it)| it.1 < 0) {
            let has_records = of(start.0..*marker).next_back().is_some_and(|(_, it)| it.1 >= 0);
            if has_records && !found.contains(marker) {
                return Err(format!("the transaction that ends at {marker} is not aborted"));
            }
        }
        let is_marker = |at: &&i64| self.model.get(at).is_some_and(|it| it.1 < 0);
        match found.iter().find(|at| **at >= start.0 && **at < end.0 && !is_marker(at)) {
            Some(at) => Err(format!("there is no marker at {at}")),
            None => Ok(()),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..40 => (0..=self.random.below(5)).try_for_each(|_| self.append()),
            40..52 => self.commit(),
            52..56 => self.elect(),
            56..60 => self.delete(),
            60..66 if self.future.is_none() => self.begin_move(),
            60..84 => self.copy().map(|_| ()),
            84..92 => self.finish(),
            92..94 => self.check(),
            _ => self.crash(),
        }
    }
}

fn run(seed: u64, skipped: Option<SyncKind>) -> Result<usize, String> {
    let mut world = World::new(seed)?;
    world.faulty.skip_sync(skipped);
    for step in 0..STEPS {
        world.step().map_err(|what| format!("step {step}: {what}"))?;
    }
    world.crash().map_err(|what| format!("at the end: {what}"))?;
    Ok(world.moves)
}

fn given() -> Option<u64> {
    let value = std::env::var("VLTAVA_SEED").ok()?;
    Some(value.parse().expect("VLTAVA_SEED is a number"))
}

#[test]
fn a_log_that_moves_survives_every_history() {
    let seeds = given().map_or(0..HISTORIES, |seed| seed..seed + 1);
    let mut moves = 0;
    for seed in seeds.clone() {
        match catch_unwind(AssertUnwindSafe(|| run(seed, None))) {
            Ok(Ok(moved)) => moves += moved,
            Ok(Err(what)) => panic!("seed {seed}: {what}"),
            Err(panic) => {
                eprintln!("seed {seed} panicked");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(moves as u64 > seeds.end - seeds.start, "only {moves} moves were completed");
}

/// A log that has just begun to move.
fn prepared(seed: u64) -> Result<World, String> {
    let mut world = World::new(seed)?;
    for round in 0..3 {
        (0..12).try_for_each(|_| world.append())?;
        world.commit()?;
        if round == 1 {
            world.elect()?;
            world.delete()?;
        }
    }
    world.append()?;
    Ok(world)
}

/// Whether the power went before the log had moved.
fn cut_at(seed: u64, cut_after: u64) -> Result<bool, String> {
    let mut world = prepared(seed)?;
    world.random = Random(seed ^ cut_after << 32);
    world.faulty.reseed(seed ^ cut_after << 32);
    world.faulty.cut_power_after(cut_after);
    let moved = world.begin_move().and_then(|()| world.finish());
    if !world.faulty.switch_on() {
        return moved.map(|()| false);
    }
    // The power goes again while it starts, and then once more.
    for _ in 0..2 {
        (world.log, world.future) = (None, None);
        world.faulty.cut_power_after(world.random.below(25));
        let started = world.start();
        if !world.faulty.switch_on() {
            started?;
        }
    }
    world.crash()?;
    // And it goes on as if nothing had been.
    if world.future.is_none() {
        world.begin_move()?;
    }
    (0..5).try_for_each(|_| world.append())?;
    world.finish()?;
    (0..5).try_for_each(|_| world.append())?;
    world.commit()?;
    world.crash()?;
    Ok(true)
}

#[test]
fn the_power_may_go_at_every_change_that_a_move_makes() {
    for seed in given().map_or(0..CUT_LOGS, |seed| seed..seed + 1) {
        let mut cut_after = 0;
        while cut_at(seed, cut_after)
            .unwrap_or_else(|what| panic!("seed {seed}, cut after {cut_after}: {what}"))
        {
            cut_after += 1;
        }
        assert!(cut_after >= CUTS_MIN, "it had moved after {cut_after} changes");
    }
}

/// What is synced of a move alone. That the old folder has lost its name needs no sync for this: of
/// two logs the one that reaches further is used.
const KINDS: [SyncKind; 1] = [SyncKind::MovedFolder];

#[test]
fn each_fsync_of_a_move_is_missed_when_it_is_left_out() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let is_missed = |kind, seed: &u64| {
        // What a missing fsync breaks may also break an assumption of the log's code.
        let outcome = catch_unwind(AssertUnwindSafe(|| run(*seed, Some(kind))));
        !matches!(outcome, Ok(Ok(_)))
    };
    let noticed: Vec<_> = KINDS
        .into_iter()
        .map(|kind| (kind, (0..HISTORIES_TO_NOTICE).find(|seed| is_missed(kind, seed))))
        .collect();
    std::panic::set_hook(hook);
    for (kind, seed) in &noticed {
        let seed = seed.map_or("no history".to_owned(), |seed| format!("history {seed}"));
        println!("left out {kind:?}: {seed}");
    }
    let unnoticed: Vec<_> = noticed.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(unnoticed.is_empty(), "left out without being missed: {unnoticed:?}");
}

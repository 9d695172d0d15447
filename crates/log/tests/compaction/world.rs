//! A log with its owner: what is appended, and the checkpoints beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use vltava_log::checkpoint::{self, Offsets};
use vltava_log::{
    AppendOptions, AppendOrigin, Disk, FaultyDisk, Log, LogConfig, OpenOptions, SyncKind,
    Verification,
};
use vltava_wire::batch::{BatchBuilder, BatchHeader, ControlRecord};
use vltava_wire::compression::Compression;
use vltava_wire::records::raft::EndTxnMarker;
use vltava_wire::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId};

use crate::model::{Event, Model, Sent, Step, Told};
use crate::random::Random;

const LOG_DIR: &str = "/data";
const DIR: &str = "/data/t-0";

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Producers from here on are idempotent.
const IDEMPOTENT: i64 = 2;
/// Producers from here on write in transactions.
const TRANSACTIONAL: i64 = 5;

/// The leader's epoch: it never changes here.
const EPOCH: LeaderEpoch = LeaderEpoch(3);

pub struct World {
    pub random: Random,
    pub faulty: FaultyDisk,
    disk: Arc<dyn Disk>,
    pub config: LogConfig,
    pub log: Option<Log>,
    pub model: Model,
    pub now_ms: i64,
    /// How many keys there are.
    pub keys: u64,
    /// Memory of the rounds, in bytes.
    pub map_bytes: usize,
    /// Whether the log is also opened without snapshots.
    pub may_forget: bool,
}

impl World {
    pub fn new(seed: u64) -> Result<Self, String> {
        let faulty = FaultyDisk::new(seed ^ 0x5eed);
        let mut random = Random(seed);
        faulty.set_short_writes(random.one_in(2));
        let delete_retention_ms = random.of(&[0, 3000, 20_000]);
        let config = LogConfig {
            segment_bytes: random.of(&[700, 1500, 4000]),
            segment_ms: i64::MAX,
            index_interval_bytes: random.of(&[0, 200, 1000]),
            producer_snapshot_interval_bytes: random.of(&[500, 1 << 30]),
            producer_id_expiration_ms: i64::MAX,
            retention_ms: -1,
            timestamp_after_max_ms: i64::MAX,
            compact: true,
            min_compaction_lag_ms: random.of(&[0, 0, 1000]),
            delete_retention_ms,
            ..LogConfig::default()
        };
        let mut world = Self {
            keys: random.of(&[2, 8, 40]),
            map_bytes: random.of(&[300, 1 << 16]),
            may_forget: true,
            random,
            disk: Arc::new(faulty.clone()),
            faulty,
            config,
            log: None,
            model: Model { delete_retention_ms, ..Model::default() },
            now_ms: 1_000_000,
        };
        world.open(false)?;
        Ok(world)
    }

    pub fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open between steps")
    }

    /// Appends a batch of a random producer, or of none.
    pub fn append(&mut self) -> Result<(), String> {
        let base = self.log().log_end_offset().0;
        let producer = self.random.below(8) as i64;
        if producer >= TRANSACTIONAL && self.model.is_open(producer) && self.random.one_in(2) {
            return self.end_transaction(producer);
        }
        let codec = self.random.of(&[Compression::None, Compression::None, Compression::Snappy]);
        let mut builder = BatchBuilder::new(Offset(base)).compression(codec);
        if producer >= IDEMPOTENT {
            // A transaction is ended by the epoch that began it.
            let restarts = producer < TRANSACTIONAL && self.random.one_in(20);
            let (epoch, sequence) = match self.model.producers().get(&producer) {
                None => (0, 0),
                Some((epoch, _)) if restarts => (epoch + 1, 0),
                Some((epoch, last)) => (*epoch, last + 1),
            };
            builder = builder.producer(ProducerId(producer), ProducerEpoch(epoch), sequence);
        }
        if producer >= TRANSACTIONAL {
            builder = builder.transactional();
        }
        for _ in 0..=self.random.below(4) {
            let key = format!("key-{}", self.random.below(self.keys)).into_bytes();
            let size = self.random.below(60) as usize;
            let value = Some(vec![self.random.below(256) as u8; size]);
            let value = value.filter(|_| !self.random.one_in(6));
            let offset = builder.next_offset().0;
            let timestamp = self.now_ms;
            builder.append(timestamp, Some(&key), value.as_deref(), &[]);
            self.model.records.insert(offset, Told { key, value, timestamp });
        }
        let mut batch = builder.build();
        let header = BatchHeader::parse(&batch).map_err(text)?;
        self.append_batch(&mut batch, AppendOrigin::Client)?;
        if header.is_transactional() {
            let (offset, step) = (header.last_offset().0, Step::Wrote(base));
            self.model.happened(Event { producer, offset, step });
        }
        if header.has_producer_id() {
            self.model.sent.push(Sent {
                producer: header.producer_id.0,
                epoch: header.producer_epoch.0,
                last_sequence: header.last_sequence(),
                last_offset: header.last_offset().0,
                may_be_gone: false,
            });
            self.retry(&batch)?;
        }
        Ok(())
    }

    /// Ends all transactions that are open.
    pub fn end_transactions(&mut self) -> Result<(), String> {
        let open: Vec<_> = (TRANSACTIONAL..8).filter(|id| self.model.is_open(*id)).collect();
        open.into_iter().try_for_each(|producer| self.end_transaction(producer))
    }

    /// Appends the marker that ends a producer's transaction.
    fn end_transaction(&mut self, producer: i64) -> Result<(), String> {
        let offset = self.log().log_end_offset().0;
        let builder = BatchBuilder::new(Offset(offset)).control().transactional();
        let mut builder = builder.producer(ProducerId(producer), ProducerEpoch(0), -1);
        let (marker, commits) = (EndTxnMarker { coordinator_epoch: 1 }, self.random.one_in(2));
        let record = match commits {
            true => ControlRecord::Commit(marker),
            false => ControlRecord::Abort(marker),
        };
        builder.append_control_record(self.now_ms, &record);
        let origin = AppendOrigin::TransactionMarker { version: 0 };
        self.append_batch(&mut builder.build(), origin)?;
        self.model.happened(Event { producer, offset, step: Step::Ended(commits) });
        Ok(())
    }

    fn options(&self, origin: AppendOrigin) -> AppendOptions {
        let (verification, now_ms) = (Verification::NotRequired, self.now_ms);
        AppendOptions { leader_epoch: EPOCH, origin, verification, now_ms }
    }

    fn append_batch(&mut self, batch: &mut BytesMut, origin: AppendOrigin) -> Result<(), String> {
        let options = self.options(origin);
        let end = self.log().log_end_offset();
        let info = self.log().append_as_leader(batch, options).map_err(text)?;
        if (info.base_offset, info.is_duplicate) != (end, false) {
            return Err(format!("appended at {end}: {info:?}"));
        }
        self.model.end = self.log().log_end_offset().0;
        Ok(())
    }

    /// A retry is told from a new batch.
    fn retry(&mut self, batch: &BytesMut) -> Result<(), String> {
        if !self.random.one_in(4) {
            return Ok(());
        }
        let options = self.options(AppendOrigin::Client);
        let info = self.log().append_as_leader(&mut batch.clone(), options).map_err(text)?;
        if info.is_duplicate { Ok(()) } else { Err(format!("a retry was appended: {info:?}")) }
    }

    /// Flushes, and counts what was flushed as committed.
    pub fn commit(&mut self) -> Result<(), String> {
        let flushed = self.log().flush().map_err(text)?;
        self.model.committed = self.model.committed.max(flushed.0);
        self.log().note_high_watermark(flushed);
        Ok(())
    }

    /// Cuts the log where it is not committed.
    pub fn truncate(&mut self) -> Result<(), String> {
        let (committed, end) = (self.model.committed, self.model.end);
        let offset = committed + self.random.below((end - committed + 1) as u64) as i64;
        let mut lower = |point| write(&self.disk, checkpoint::RECOVERY_POINTS, point);
        let log = self.log.as_mut().expect("it is open");
        log.truncate_to(Offset(offset), &mut lower).map_err(text)?;
        let end = log.log_end_offset().0;
        if end > offset || end < committed {
            return Err(format!("cut at {offset}: ends at {end}"));
        }
        self.model.truncate(end);
        Ok(())
    }

    /// Moves the start of the log.
    pub fn advance(&mut self) -> Result<(), String> {
        let (start, committed) = (self.model.start, self.model.committed);
        let offset = start + self.random.below((committed - start + 1) as u64 / 3 + 1) as i64;
        self.log().advance_log_start_offset(Offset(offset)).map_err(text)?;
        self.model.start = offset;
        self.write(checkpoint::LOG_STARTS, offset)
    }

    /// Retention by time, as with `compact,delete`.
    pub fn retain(&mut self) -> Result<(), String> {
        let config = self.config;
        let now_ms = self.now_ms;
        let committed = Offset(self.model.committed);
        self.log().set_config(LogConfig { retention_ms: 6000, ..config });
        self.log().delete_old_segments(now_ms, committed).map_err(text)?;
        self.log().set_config(config);
        self.model.start = self.log().log_start_offset().0;
        self.model.end = self.log().log_end_offset().0;
        Ok(())
    }

    /// Persists up to where the log is durable.
    pub fn persist(&mut self) -> Result<(), String> {
        let flushed = self.log().flushed_offset().0;
        self.write(checkpoint::RECOVERY_POINTS, flushed)
    }

    pub fn write(&self, name: &str, offset: i64) -> Result<(), String> {
        write(&self.disk, name, Offset(offset)).map_err(text)
    }

    pub fn read(&self, name: &str) -> Result<Option<i64>, String> {
        let offsets = checkpoint::read_offsets(&self.disk, Path::new(LOG_DIR), name);
        Ok(offsets.map_err(text)?.values().next().map(|offset| offset.0))
    }

    pub fn close(&mut self) -> Result<(), String> {
        let end = self.log.take().expect("it is open").close().map_err(text)?;
        self.model.committed = end.0;
        self.write(checkpoint::RECOVERY_POINTS, end.0)?;
        self.open(true)
    }

    /// Cuts the power, and opens what is left.
    pub fn crash(&mut self) -> Result<(), String> {
        self.log = None;
        self.faulty.crash();
        self.open(false)
    }

    /// Opens the log, and checks what it holds.
    pub fn open(&mut self, clean_shutdown: bool) -> Result<(), String> {
        if self.may_forget && self.model.tells_producers() && self.random.one_in(3) {
            self.open_without_snapshots()?;
        }
        let log = self.open_log(clean_shutdown)?;
        let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
        if end < self.model.committed || end > self.model.end {
            return Err(format!("ends at {end}, committed {}", self.model.committed));
        }
        self.model.truncate(end);
        // The start of a log is not durable by itself.
        self.model.start = start;
        self.log = Some(log);
        self.check()?;
        self.check_files()?;
        self.check_stable()?;
        self.check_producers(0)
    }

    fn open_log(&self, clean_shutdown: bool) -> Result<Log, String> {
        let options = OpenOptions {
            recovery_point: Offset(self.read(checkpoint::RECOVERY_POINTS)?.unwrap_or(0)),
            clean_shutdown,
            log_start_offset: Offset(self.read(checkpoint::LOG_STARTS)?.unwrap_or(0)),
            now_ms: self.now_ms,
        };
        let opened = Log::open(Arc::clone(&self.disk), PathBuf::from(DIR), self.config, options);
        opened.map(|(log, _)| log).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("opening: {error} ({source:?})")
        })
    }

    /// What is committed tells by itself of each producer, without the snapshots that only save
    /// time and keep what was deleted.
    fn open_without_snapshots(&mut self) -> Result<(), String> {
        let rename = |from: &str, to: &str| -> Result<(), String> {
            let entries = self.disk.list(Path::new(DIR)).unwrap_or_default();
            for entry in entries {
                let Some(stem) = entry.name.strip_suffix(from) else { continue };
                let to = Path::new(DIR).join(format!("{stem}{to}"));
                self.disk.rename(&Path::new(DIR).join(&entry.name), &to).map_err(text)?;
            }
            Ok(())
        };
        rename(".snapshot", ".aside")?;
        let log = self.open_log(false)?;
        self.model.truncate(log.log_end_offset().0);
        self.log = Some(log);
        self.check_producers(self.first_base()?)?;
        self.log = None;
        rename(".aside", ".snapshot")?;
        let synced = self.disk.sync_folder(Path::new(DIR), SyncKind::TruncateFolder);
        synced.map_err(text)
    }

    /// No transaction is open that has ended, and none has ended that is open.
    fn check_stable(&self) -> Result<(), String> {
        let log = self.log.as_ref().expect("it is open");
        let committed = self.model.committed;
        let Some(first) = self.model.first_open() else { return Ok(()) };
        if first.is_some_and(|first| first < self.first_base().unwrap_or(0)) {
            return Ok(());
        }
        let expected = first.unwrap_or(committed).max(self.model.start).min(committed);
        match log.last_stable_offset(Offset(committed)).0 {
            stable if stable == expected => Ok(()),
            stable => Err(format!("stable up to {stable}, not {expected}")),
        }
    }

    pub fn check(&mut self) -> Result<(), String> {
        let Self { model, log, .. } = self;
        model.check(log.as_ref().expect("it is open"))
    }

    /// Nothing of a round is left behind by a start.
    fn check_files(&self) -> Result<(), String> {
        let entries = self.disk.list(Path::new(DIR)).map_err(text)?;
        let left = entries.iter().find(|entry| {
            [".cleaned", ".swap", ".deleted"].iter().any(|ending| entry.name.ends_with(ending))
        });
        left.map_or(Ok(()), |entry| Err(format!("{} is left", entry.name)))
    }

    /// Producers are known as they were, if something of them is at or after `from`.
    fn check_producers(&self, from: i64) -> Result<(), String> {
        let log = self.log.as_ref().expect("it is open");
        let known: BTreeMap<i64, (i16, i32)> = log
            .producers()
            .map(|it| (it.producer_id.0, (it.epoch.0, it.last_sequence())))
            .collect();
        for sent in &self.model.sent {
            let expected = self.model.producers()[&sent.producer];
            let is_last = (sent.epoch, sent.last_sequence) == expected;
            if !is_last || sent.last_offset < from {
                continue;
            }
            if known.get(&sent.producer) != Some(&expected) {
                let known = known.get(&sent.producer);
                return Err(format!("{sent:?} is the last of its producer, not {known:?}"));
            }
        }
        Ok(())
    }

    fn first_base(&self) -> Result<i64, String> {
        let entries = self.disk.list(Path::new(DIR)).map_err(text)?;
        let bases = entries.iter().filter_map(|it| it.name.strip_suffix(".log")?.parse().ok());
        Ok(bases.min().unwrap_or(0))
    }
}

fn write(disk: &Arc<dyn Disk>, name: &str, offset: Offset) -> Result<(), vltava_log::DiskError> {
    let offsets = Offsets::from([(("t".to_owned(), PartitionId(0)), offset)]);
    match checkpoint::write_offsets(disk, Path::new(LOG_DIR), name, &offsets) {
        Err(checkpoint::CheckpointError::Disk(error)) => Err(error),
        Err(error) => panic!("writing does not parse: {error}"),
        Ok(()) => Ok(()),
    }
}

//! One random history of a log.

use bytes::BytesMut;
use vltava_log::{
    AppendError, AppendOptions, AppendOrigin, FaultyDisk, Log, LogConfig, SyncKind, Verification,
    checkpoint,
};
use vltava_wire::batch::{BatchBuilder, ControlRecord};
use vltava_wire::records::raft::EndTxnMarker;
use vltava_wire::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::model::Model;
use crate::owner::Owner;

/// The steps of a history.
const STEPS: usize = 120;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn between(&mut self, from: Offset, to: Offset) -> Offset {
        from + self.below((to - from + 1) as u64) as i64
    }
}

struct History {
    random: Random,
    owner: Owner,
    config: LogConfig,
    log: Option<Log>,
    model: Model,
    epoch: i32,
    now_ms: i64,
    /// The log start that the owner has persisted.
    start_persisted: Offset,
    /// Records are only appended and flushed, so that one segment grows far.
    calm: bool,
    /// Whether to tell each step.
    trace: bool,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Runs the history of that seed; `skipped` is the fsync that is left out.
pub fn run(seed: u64, skipped: Option<SyncKind>) -> Result<(), String> {
    let faulty = FaultyDisk::new(seed ^ 0x5eed);
    faulty.skip_sync(skipped);
    let mut random = Random(seed);
    faulty.set_short_writes(random.one_in(2));
    let calm = random.one_in(4);
    let config = LogConfig {
        segment_bytes: if calm { 1 << 20 } else { [1500, 4000, 40_000][random.below(3) as usize] },
        segment_ms: if random.one_in(3) { 3000 } else { i64::MAX },
        index_interval_bytes: [0, 200, 1000][random.below(3) as usize],
        producer_snapshot_interval_bytes: [500, 3000, 1 << 30][random.below(3) as usize],
        producer_id_expiration_ms: i64::MAX,
        retention_ms: -1,
        timestamp_after_max_ms: i64::MAX,
        ..LogConfig::default()
    };
    let mut history = History {
        random,
        owner: Owner::new(faulty),
        config,
        log: None,
        model: Model::default(),
        epoch: 0,
        now_ms: 1_000_000,
        start_persisted: Offset::ZERO,
        calm,
        trace: std::env::var("VLTAVA_SEED").is_ok(),
    };
    history.reopen()?;
    for step in 0..STEPS {
        history.step().map_err(|what| format!("step {step}: {what}"))?;
    }
    history.crash()
}

impl History {
    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open between steps")
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{}", what());
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now_ms += self.random.below(300) as i64;
        match self.random.below(100) {
            // What would cut the segment, or seal its indexes.
            74..91 if self.calm => self.persist()?,
            0..40 => self.append_as_leader()?,
            40..50 => self.append_as_follower()?,
            50..68 => self.flush()?,
            68..74 => self.persist()?,
            74..79 => self.truncate()?,
            79 => self.start_at()?,
            80..83 => self.advance()?,
            83..86 => self.retain()?,
            86..88 => self.fill_disk()?,
            88..91 => self.close()?,
            91..94 => self.crash()?,
            94 => self.fail_flush()?,
            _ => self.look()?,
        }
        let Self { model, log, .. } = self;
        let log = log.as_ref().expect("the log is open between steps");
        model.log_end = log.log_end_offset();
        if self.random.one_in(4) { model.check(log) } else { Ok(()) }
    }

    fn options(&self, origin: AppendOrigin) -> AppendOptions {
        AppendOptions {
            leader_epoch: LeaderEpoch(self.epoch),
            origin,
            verification: Verification::NotRequired,
            now_ms: self.now_ms,
        }
    }

    /// A batch of any kind, and who appends such.
    fn any_batch(&mut self, base: Offset) -> (BytesMut, AppendOrigin) {
        let builder = BatchBuilder::new(base).partition_leader_epoch(LeaderEpoch(self.epoch));
        if self.random.one_in(2) {
            return self.transactional(builder);
        }
        let builder = self.builder(builder);
        (self.batch(builder), AppendOrigin::Client)
    }

    /// A batch of a transaction, or the marker that ends one; seldom a marker that ends none.
    fn transactional(&mut self, builder: BatchBuilder) -> (BytesMut, AppendOrigin) {
        let id = 11 + self.random.below(3) as i64;
        let known = self.model.producers().get(&id).copied();
        let (epoch, last, _) = known.unwrap_or((0, -1, -1));
        let is_open = self.model.transactions().open.values().any(|open| *open == id);
        let builder = builder.transactional();
        if !self.random.one_in(if is_open { 3 } else { 20 }) {
            let builder = builder.producer(ProducerId(id), ProducerEpoch(epoch), last + 1);
            return (self.batch(builder), AppendOrigin::Client);
        }
        let version = [0, 2][self.random.below(2) as usize];
        let epoch = if version == 2 { epoch + 1 } else { epoch };
        let mut builder = builder.control().producer(ProducerId(id), ProducerEpoch(epoch), -1);
        let marker = EndTxnMarker { coordinator_epoch: 1 };
        let record = match self.random.one_in(3) {
            true => ControlRecord::Commit(marker),
            false => ControlRecord::Abort(marker),
        };
        builder.append_control_record(self.now_ms, &record);
        (builder.build(), AppendOrigin::TransactionMarker { version })
    }

    fn builder(&mut self, builder: BatchBuilder) -> BatchBuilder {
        if self.random.one_in(2) {
            return builder;
        }
        let id = 1 + self.random.below(3) as i64;
        let (epoch, sequence) = match self.model.producers().get(&id) {
            None => (0, 0),
            Some((epoch, _, _)) if self.random.one_in(10) => (epoch + 1, 0),
            Some((epoch, last, _)) => (*epoch, last + 1),
        };
        builder.producer(ProducerId(id), ProducerEpoch(epoch), sequence)
    }

    fn batch(&mut self, mut builder: BatchBuilder) -> BytesMut {
        for _ in 0..=self.random.below(3) {
            let value = vec![self.random.below(256) as u8; self.random.below(200) as usize];
            let timestamp = self.now_ms - self.random.below(500) as i64;
            builder.append(timestamp, None, Some(&value), &[]);
        }
        builder.build()
    }

    fn append_as_leader(&mut self) -> Result<(), String> {
        if self.random.one_in(12) {
            self.epoch += 1 + self.random.below(2) as i32;
        }
        // Large segments are to grow so far that their indexes are written meanwhile.
        let batches_max = if self.calm { 40 } else { 8 };
        for _ in 0..=self.random.below(batches_max) {
            let (mut batch, origin) = self.any_batch(Offset::ZERO);
            let options = self.options(origin);
            let end = self.log().log_end_offset();
            let info = self.log().append_as_leader(&mut batch, options).map_err(text)?;
            if (info.base_offset, info.is_duplicate) != (end, false) {
                return Err(format!("appended at {end}: {info:?}"));
            }
            self.tell(|| format!("leader {} to {}", info.base_offset, info.last_offset));
            self.model.push(&batch);
            self.repeat(&batch, options)?;
        }
        Ok(())
    }

    /// A retry of a batch is told from a new one.
    fn repeat(&mut self, batch: &BytesMut, options: AppendOptions) -> Result<(), String> {
        let header = vltava_wire::batch::BatchHeader::parse(batch).map_err(text)?;
        if header.is_control() || !header.has_producer_id() || !self.random.one_in(4) {
            return Ok(());
        }
        let info = self.log().append_as_leader(&mut batch.clone(), options).map_err(text)?;
        if (info.base_offset, info.is_duplicate) != (header.base_offset, true) {
            return Err(format!("{header:?} again: {info:?}"));
        }
        Ok(())
    }

    fn append_as_follower(&mut self) -> Result<(), String> {
        let mut base = self.log().log_end_offset();
        let mut bytes = BytesMut::new();
        let mut id_used = false;
        for _ in 0..=self.random.below(3) {
            if self.random.one_in(5) {
                base = base + 1 + self.random.below(5) as i64;
            }
            if self.random.one_in(12) {
                self.epoch += 1;
            }
            // One producer's batches in one append would need its state in between.
            let epoch = LeaderEpoch(self.epoch);
            let batch = match id_used {
                true => self.batch(BatchBuilder::new(base).partition_leader_epoch(epoch)),
                false => self.any_batch(base).0,
            };
            id_used = true;
            let header = vltava_wire::batch::BatchHeader::parse(&batch).map_err(text)?;
            base = header.next_offset();
            bytes.extend_from_slice(&batch);
        }
        let (now_ms, epoch) = (self.now_ms, LeaderEpoch(self.epoch));
        let whole = bytes.len();
        if self.random.one_in(3) {
            let next = self.batch(BatchBuilder::new(base));
            bytes.extend_from_slice(&next[..next.len() / 2]);
        }
        let info = self.log().append_as_follower(&bytes, epoch, now_ms).map_err(text)?;
        self.tell(|| format!("follower {info:?}"));
        if info.is_none_or(|info| info.bytes != whole) {
            return Err(format!("{whole} bytes: {info:?}"));
        }
        self.model.push(&bytes[..whole]);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        let Some(ticket) = self.log().begin_flush().map_err(text)? else { return Ok(()) };
        let mut promised = ticket.end_offset();
        // Whatever happens beside a flush, it promises what was there when it began, or less.
        match self.random.below(6) {
            0 => self.append_as_leader()?,
            1 if !self.calm => {
                self.truncate()?;
                promised = promised.min(self.log().flushed_offset());
            }
            _ => {}
        }
        let flushed = self.log().complete_flush(ticket.sync()).map_err(text)?;
        self.tell(|| format!("flushed {flushed}"));
        if flushed < promised || flushed > self.log().log_end_offset() {
            return Err(format!("flushed {flushed}, promised {promised}"));
        }
        self.model.flushed = self.model.flushed.max(flushed);
        Ok(())
    }

    fn persist(&mut self) -> Result<(), String> {
        let flushed = self.log().flushed_offset();
        self.tell(|| format!("persist {flushed}, start {}", self.model.start));
        self.owner.write(checkpoint::RECOVERY_POINTS, flushed).map_err(text)?;
        if self.random.one_in(2) {
            self.start_persisted = self.model.start;
            self.owner.write(checkpoint::LOG_STARTS, self.start_persisted).map_err(text)?;
        }
        Ok(())
    }

    fn truncate(&mut self) -> Result<(), String> {
        let end = self.log().log_end_offset();
        let back = Offset((end.0 - self.random.below(30) as i64).max(self.model.start.0));
        let offset = if self.random.one_in(4) { self.model.start } else { back };
        self.tell(|| format!("truncate to {offset}"));
        let owner = self.owner.clone();
        let mut lower = |point| owner.write(checkpoint::RECOVERY_POINTS, point);
        self.log().truncate_to(offset, &mut lower).map_err(text)?;
        // The log may end in a gap, where a segment starts, which the model does not know.
        let new_end = self.log().log_end_offset();
        self.model.truncate(offset, new_end);
        if new_end > offset.min(end) || new_end < self.model.end() {
            return Err(format!("truncated to {offset}: ends at {new_end}"));
        }
        if self.start_persisted > self.model.start {
            self.start_persisted = self.model.start;
            self.owner.write(checkpoint::LOG_STARTS, self.model.start).map_err(text)?;
        }
        self.epoch += 1;
        Ok(())
    }

    fn start_at(&mut self) -> Result<(), String> {
        let end = self.log().log_end_offset();
        let offset = end + self.random.below(100) as i64;
        self.tell(|| format!("start at {offset}"));
        let owner = self.owner.clone();
        let mut lower = |point| owner.write(checkpoint::RECOVERY_POINTS, point);
        self.log().truncate_fully_and_start_at(offset, &mut lower).map_err(text)?;
        self.model.start_at(offset);
        Ok(())
    }

    fn advance(&mut self) -> Result<(), String> {
        let (start, flushed) = (self.model.start, self.model.flushed);
        if flushed <= start {
            return Ok(());
        }
        let offset = self.random.between(start, flushed);
        self.tell(|| format!("advance to {offset}"));
        self.log().advance_log_start_offset(offset).map_err(text)?;
        self.model.start = offset;
        self.model.start_max = self.model.start_max.max(offset);
        Ok(())
    }

    fn retain(&mut self) -> Result<(), String> {
        let flushed = self.model.flushed;
        let bound = self.random.below(20_000) as i64;
        let now_ms = self.now_ms;
        let mut config = self.config;
        config.retention_bytes = if self.random.one_in(2) { bound } else { -1 };
        config.retention_ms = if self.random.one_in(3) { 5000 } else { -1 };
        self.log().set_config(config);
        let deleted = self.log().delete_old_segments(now_ms, flushed).map_err(text)?;
        let config = self.config;
        self.log().set_config(config);
        let start = self.log().log_start_offset();
        self.tell(|| format!("retention {deleted:?}, starts at {start}"));
        if start < self.model.start || start > flushed.max(self.model.start) {
            return Err(format!("starts at {start}, was {}", self.model.start));
        }
        if deleted.segments > 0 {
            let base = self.owner.bases()?[0];
            self.model.deleted_to = Offset(base);
        }
        self.model.start = start;
        self.model.start_max = self.model.start_max.max(start);
        let flushed = self.log().flushed_offset();
        self.model.flushed = self.model.flushed.max(flushed);
        Ok(())
    }

    fn fill_disk(&mut self) -> Result<(), String> {
        let room = self.random.below(400);
        self.owner.faulty.fill_up(room);
        for _ in 0..4 {
            let (mut batch, origin) = self.any_batch(Offset::ZERO);
            let options = self.options(origin);
            match self.log().append_as_leader(&mut batch, options) {
                Ok(_) => self.model.push(&batch),
                Err(AppendError::Write(error)) if error.is_full() => {}
                Err(error) => return Err(format!("on a full disk: {error}")),
            }
            let Self { model, log, .. } = self;
            model.check(log.as_ref().expect("it is open"))?;
        }
        self.owner.faulty.set_capacity(u64::MAX);
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        self.tell(|| "close".to_owned());
        let log = self.log.take().expect("it is open");
        self.owner.close(log)?;
        self.model.flushed = self.model.end();
        if self.random.one_in(2) {
            self.owner.faulty.crash();
        }
        self.reopen()
    }

    fn crash(&mut self) -> Result<(), String> {
        self.tell(|| "crash".to_owned());
        self.log = None;
        self.owner.faulty.crash();
        self.reopen()
    }

    /// An fsync fails: nothing is promised, nothing more is taken, and only a restart helps.
    fn fail_flush(&mut self) -> Result<(), String> {
        let Some(ticket) = self.log().begin_flush().map_err(text)? else { return Ok(()) };
        self.tell(|| "a flush fails".to_owned());
        self.owner.faulty.fail_sync(SyncKind::LogFlush, 0);
        let log = self.log();
        if log.complete_flush(ticket.sync()).is_ok() || log.flush().is_ok() {
            return Err("a failed fsync was passed over".to_owned());
        }
        self.crash()
    }

    fn reopen(&mut self) -> Result<(), String> {
        let opened = self.owner.open(self.config, self.now_ms)?;
        self.tell(|| format!("opened {:?} {:?}", opened.options, opened.report));
        self.model.reopened(&opened.log, self.start_persisted)?;
        self.model.check(&opened.log)?;
        self.model.check_indexes(&self.owner)?;
        // Epochs that were lost with their records are not used again.
        self.epoch += 1;
        self.log = Some(opened.log);
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        let (start, end) = (self.model.start, self.log().log_end_offset());
        for _ in 0..4 {
            let offset = Offset(self.random.between(start, end + 2).0 - 1);
            let max_bytes = [0, 100, 300, 1000, 100_000][self.random.below(5) as usize];
            let upper_bound =
                if self.random.one_in(2) { end } else { self.random.between(start, end) };
            let min_one = self.random.one_in(2);
            let timestamp = self.now_ms - self.random.below(20_000) as i64;
            let Self { model, log, .. } = self;
            let log = log.as_ref().expect("it is open");
            model.check_locate(log, (offset, max_bytes, upper_bound, min_one))?;
            model.check_timestamp(log, timestamp)?;
            model.check_aborted(log, offset.max(start), upper_bound)?;
        }
        Ok(())
    }
}

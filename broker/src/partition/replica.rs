//! The replica of one partition that this broker holds: its log, its role, its high watermark.
//!
//! One lock guards all of it and is held briefly: nothing waits under it, and syncs are done
//! without it ([`Flush`]). What can be done with a replica is in [`super::append`],
//! [`super::read`] and [`super::role`].

use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard, RwLock};
use vltava_log::{Log, LogError};
use vltava_wire::{BrokerEpoch, LeaderEpoch, NodeId, Offset, Str, Uuid};

use super::cleaning::Cleaning;
use super::dirs::LogDir;
use super::epoch::{EpochCheck, check_epoch};
use super::failure::PartitionError;
use super::flusher::Flush;
use super::moving::Moves;
use super::settings::{FlushPolicy, Settings};
use super::surroundings::{News, Surroundings};
use super::waiter::{Mark, Waiters, Wake};
use super::watermark::{Progress, effective_min_in_sync};
use crate::replication::isr::{Isr, LeaderLog, LeaderOffsets};
use crate::replication::throttle::Throttled;

/// How many of the latest bytes count as in the page cache, so that reading them does not stall.
const HOT_BYTES: usize = 4 << 20;

/// Which partition it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    /// The topic's name.
    pub topic: Str,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The index within the topic.
    pub index: i32,
}

impl std::fmt::Display for PartitionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// The log, if it can be used.
#[derive(Debug)]
pub(super) enum Storage {
    Online(Box<Log>),
    /// Why it cannot: a failed disk, or corruption that may not be cut away.
    Offline(Arc<str>),
}

/// A leader's part.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) epoch: LeaderEpoch,
    /// Where the log ended when the epoch began.
    pub(super) epoch_start: Offset,
    pub(super) isr: Isr,
    /// The least log start of the live replicas, as far as known.
    pub(super) low_watermark: Offset,
}

/// What this broker is to the partition.
#[derive(Debug)]
pub(super) enum Role {
    /// The metadata log has not said it yet.
    Unassigned,
    Leader(Leading),
    Follower {
        leader: NodeId,
        epoch: LeaderEpoch,
    },
}

/// Where a partition stands with the flushers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushing {
    Idle,
    Queued,
    /// A sync runs; `again`: more was appended meanwhile.
    Running {
        again: bool,
    },
}

/// The latest bytes, in two generations of [`HOT_BYTES`].
#[derive(Clone, Copy, Debug)]
struct Hot {
    from: Offset,
    next: Offset,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) storage: Storage,
    pub(super) role: Role,
    pub(super) high_watermark: Offset,
    pub(super) settings: Settings,
    /// Whether its log may be opened again: it was not open in this run, nor found to be lost.
    pub(super) may_reopen: bool,
    flushing: Flushing,
    /// Since when something is to be flushed, where the topic flushes by time.
    dirty_since: Option<Instant>,
    hot: Hot,
    /// The least offset that the log was cut at since the mover last looked.
    pub(super) cut: Option<Offset>,
    /// Who is to be woken once the lock is given up: each wants it first of all.
    woken: Vec<Wake>,
    /// Whether a flush is to be queued then: a flusher begins with this lock.
    flushes: bool,
}

/// The state under its lock. Giving it up wakes those who wait for what was done under it, the
/// flushers among them.
pub(super) struct Locked<'a> {
    partition: &'a Partition,
    state: Option<MutexGuard<'a, State>>,
}

impl std::ops::Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_ref().expect("held until it is dropped")
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("held until it is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let woken = std::mem::take(&mut self.woken);
        let flushes = std::mem::take(&mut self.flushes);
        self.state = None;
        if flushes {
            self.partition.around.flushes.push(self.partition.this());
        }
        woken.iter().for_each(|wake| wake.notify_one());
    }
}

/// The replica of one partition.
#[derive(Debug)]
pub struct Partition {
    /// Which partition it is.
    pub name: PartitionName,
    /// Changed under the lock of the state alone.
    dir: RwLock<Arc<LogDir>>,
    pub(super) around: Arc<Surroundings>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) cleaning: Cleaning,
    pub(super) moves: Moves,
    /// Whether its topic has it throttled (KIP-73).
    pub(super) throttled: Throttled,
    state: Mutex<State>,
    me: Weak<Self>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("me", &self.me).finish_non_exhaustive()
    }
}

/// How far a replica has come, for checkpoints, reports and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first offset.
    pub log_start: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The offset after the last record.
    pub log_end: Offset,
    /// Everything below is durable.
    pub flushed: Offset,
    /// Bytes of records.
    pub size: u64,
}

impl State {
    /// The log, if it can be used.
    pub(super) fn log(&mut self) -> Result<&mut Log, PartitionError> {
        match &mut self.storage {
            Storage::Online(log) => Ok(log),
            Storage::Offline(reason) => Err(PartitionError::Offline(Arc::clone(reason))),
        }
    }

    /// The leader's part, and the log.
    pub(super) fn leading(&mut self) -> Result<(&mut Leading, &mut Log), PartitionError> {
        match (&mut self.role, &mut self.storage) {
            (Role::Leader(leading), Storage::Online(log)) => Ok((leading, log)),
            (Role::Leader(_), Storage::Offline(reason)) => {
                Err(PartitionError::Offline(Arc::clone(reason)))
            }
            _ => Err(PartitionError::NotLeader),
        }
    }

    /// The leader epoch; −1 if it is not known.
    pub(super) fn epoch(&self) -> LeaderEpoch {
        match &self.role {
            Role::Unassigned => LeaderEpoch::UNKNOWN,
            Role::Leader(leading) => leading.epoch,
            Role::Follower { epoch, .. } => *epoch,
        }
    }

    /// Refuses requests of another leader epoch.
    pub(super) fn check_epoch(&self, requested: LeaderEpoch) -> Result<(), PartitionError> {
        let current = self.epoch();
        match check_epoch(requested, current) {
            EpochCheck::Current => Ok(()),
            EpochCheck::Fenced => Err(PartitionError::FencedLeaderEpoch { current }),
            EpochCheck::Unknown => Err(PartitionError::UnknownLeaderEpoch { current }),
        }
    }

    /// How many replicas must be in sync.
    pub(super) fn min_in_sync(&self) -> usize {
        let replicas = match &self.role {
            Role::Leader(leading) => leading.isr.replicas(),
            _ => 1,
        };
        effective_min_in_sync(self.settings.min_insync_replicas, replicas)
    }

    /// The leader's log as the ISR machine sees it.
    pub(super) fn leader_log(&self) -> LeaderLog {
        let end = match &self.storage {
            Storage::Online(log) => log.log_end_offset(),
            Storage::Offline(_) => self.high_watermark,
        };
        LeaderLog { end, high_watermark: self.high_watermark }
    }

    /// The offset that this replica vouches for.
    pub(super) fn durable(&self) -> Option<Offset> {
        let Storage::Online(log) = &self.storage else { return None };
        Some(match self.settings.flush {
            FlushPolicy::Each => log.flushed_offset(),
            FlushPolicy::After { .. } => log.log_end_offset(),
        })
    }

    /// Whether records from `offset` on are most likely in the page cache.
    pub(super) fn is_hot(&self, offset: Offset) -> bool {
        offset >= self.hot.from
    }

    /// Notes an append.
    pub(super) fn note_append(&mut self, base_offset: Offset, bytes: usize) {
        self.hot.bytes += bytes;
        if self.hot.bytes >= HOT_BYTES {
            self.hot = Hot { from: self.hot.next, next: base_offset, bytes };
        }
        self.dirty_since.get_or_insert_with(Instant::now);
    }

    /// Notes that the log was cut, or begins anew, at its end.
    pub(super) fn note_truncation(&mut self, end: Offset) {
        self.high_watermark = self.high_watermark.min(end);
        self.cut = Some(self.cut.map_or(end, |cut| cut.min(end)));
        self.hot = Hot { from: end.min(self.hot.from), next: end.min(self.hot.next), bytes: 0 };
    }
}

impl Partition {
    /// A replica with that log (or the reason why it has none), in no role yet.
    ///
    /// `high_watermark` is what was last known of it; it is held within the log.
    pub fn new(
        name: PartitionName,
        dir: Arc<LogDir>,
        around: Arc<Surroundings>,
        log: Result<Log, Arc<str>>,
        high_watermark: Offset,
        settings: Settings,
    ) -> Arc<Self> {
        let (storage, high_watermark) = match log {
            Ok(log) => {
                let within = high_watermark.max(log.log_start_offset()).min(log.log_end_offset());
                (Storage::Online(Box::new(log)), within)
            }
            Err(reason) => (Storage::Offline(reason), high_watermark),
        };
        let end = match &storage {
            Storage::Online(log) => log.log_end_offset(),
            Storage::Offline(_) => high_watermark,
        };
        let state = State {
            may_reopen: matches!(storage, Storage::Offline(_)),
            storage,
            role: Role::Unassigned,
            high_watermark,
            settings,
            flushing: Flushing::Idle,
            dirty_since: None,
            hot: Hot { from: end, next: end, bytes: 0 },
            cut: None,
            woken: Vec::new(),
            flushes: false,
        };
        Arc::new_cyclic(|me| Self {
            name,
            dir: RwLock::new(dir),
            around,
            waiters: Arc::default(),
            cleaning: Cleaning::default(),
            moves: Moves::default(),
            throttled: Throttled::default(),
            state: Mutex::new(state),
            me: Weak::clone(me),
        })
    }

    /// The log directory that it lies in.
    pub fn dir(&self) -> Arc<LogDir> {
        Arc::clone(&self.dir.read())
    }

    /// Puts a log into the place of the one that there is, which it is a whole copy of, in another
    /// directory.
    pub(super) fn settle_in(&self, state: &mut State, dir: Arc<LogDir>, log: Log) {
        let flushed = log.flushed_offset();
        state.storage = Storage::Online(Box::new(log));
        *self.dir.write() = dir;
        self.reached(state, Mark::Flushed, flushed);
        self.advance_high_watermark(state, Instant::now());
    }

    pub(super) fn state(&self) -> Locked<'_> {
        Locked { partition: self, state: Some(self.state.lock()) }
    }

    /// Has those woken who wait for a mark, once the lock is given up.
    pub(super) fn reached(&self, state: &mut State, mark: Mark, offset: Offset) {
        state.woken.extend(self.waiters.reached(mark, offset));
    }

    pub(super) fn this(&self) -> Arc<Self> {
        self.me.upgrade().expect("a method runs on a partition that lives")
    }

    /// How far it has come; `None` while it is offline.
    pub fn position(&self) -> Option<Position> {
        let state = self.state();
        let Storage::Online(log) = &state.storage else { return None };
        Some(Position {
            log_start: log.log_start_offset(),
            high_watermark: state.high_watermark,
            log_end: log.log_end_offset(),
            flushed: log.flushed_offset(),
            size: log.size(),
        })
    }

    /// The settings.
    pub fn settings(&self) -> Settings {
        self.state().settings
    }

    /// Why it is offline, if it is.
    pub fn offline_reason(&self) -> Option<Arc<str>> {
        match &self.state().storage {
            Storage::Online(_) => None,
            Storage::Offline(reason) => Some(Arc::clone(reason)),
        }
    }

    /// Raises the high watermark as far as the replicas allow, if this broker leads.
    pub(super) fn advance_high_watermark(&self, state: &mut State, now: Instant) {
        let min_in_sync = state.min_in_sync();
        let Some(durable) = state.durable() else { return };
        let end = state.leader_log().end;
        let Role::Leader(leading) = &state.role else { return };
        let peers = &self.around.peers;
        let is_active = |node, epoch| {
            let is_current = || epoch == BrokerEpoch(-1) || peers.epoch(node) == Some(epoch);
            peers.is_active(node) && is_current()
        };
        let own = LeaderOffsets { end, durable };
        let progress = Progress {
            current: state.high_watermark,
            acknowledged: leading.isr.acknowledged(own, now, is_active),
            in_sync: leading.isr.members().len(),
            min_in_sync,
        };
        let high_watermark = progress.high_watermark();
        self.raise_high_watermark(state, high_watermark);
    }

    /// Takes over a high watermark that is not lower than before: what follows from it is stable
    /// by now, and whoever waits for either is woken.
    pub(super) fn raise_high_watermark(&self, state: &mut State, high_watermark: Offset) {
        if high_watermark <= state.high_watermark {
            return;
        }
        state.high_watermark = high_watermark;
        let stable = match state.log() {
            Ok(log) => {
                log.note_high_watermark(high_watermark);
                log.last_stable_offset(high_watermark)
            }
            Err(_) => high_watermark,
        };
        self.reached(state, Mark::HighWatermark, high_watermark);
        self.reached(state, Mark::LastStable, stable);
    }

    /// What follows from an append, whoever appended: waiting fetches are woken and a flush is
    /// queued, as the topic wants it.
    pub(super) fn after_append(&self, state: &mut State) {
        let Ok(log) = state.log() else { return };
        let (end, flushed) = (log.log_end_offset(), log.flushed_offset());
        self.reached(state, Mark::LogEnd, end);
        match state.settings.flush {
            FlushPolicy::Each => self.queue_flush(state),
            FlushPolicy::After { records, .. } => {
                if end - flushed >= records {
                    self.queue_flush(state);
                }
                self.advance_high_watermark(state, Instant::now());
            }
        }
    }

    /// Has what was appended synced; it is queued at most once.
    pub(super) fn queue_flush(&self, state: &mut State) {
        match &mut state.flushing {
            Flushing::Idle => {
                state.flushing = Flushing::Queued;
                state.flushes = true;
            }
            Flushing::Queued => {}
            Flushing::Running { again } => *again = true,
        }
    }

    /// Queues a flush of what should have been flushed by now: the oldest record has waited for
    /// `flush.ms`, or a flush was not completed as the disk was full.
    pub fn flush_if_due(&self, now: Instant) {
        let mut state = self.state();
        let waited = state.dirty_since.map(|since| now.saturating_duration_since(since));
        let is_due = match state.settings.flush {
            FlushPolicy::Each => {
                state.log().is_ok_and(|it| it.flushed_offset() < it.log_end_offset())
            }
            FlushPolicy::After { ms, .. } => {
                waited.is_some_and(|waited| waited.as_millis() >= ms.max(0) as u128)
            }
        };
        if is_due {
            self.queue_flush(&mut state);
        }
    }

    /// Takes the log out of use after an error that leaves it unusable; others only pass.
    pub(super) fn note_failure(&self, state: &mut State, error: &PartitionError) {
        let PartitionError::Log(error) = error else { return };
        let Storage::Online(log) = &state.storage else { return };
        let is_dir_failure = log.failure().is_some();
        let is_lost = matches!(**error, LogError::Corrupt { .. } | LogError::RecordsMissing { .. });
        if !is_dir_failure && !is_lost {
            return;
        }
        let reason: Arc<str> = vltava_net::error_chain(&**error).into();
        tracing::error!(partition = %self.name, %reason, "the log is taken offline");
        if is_dir_failure {
            self.fail_dir(&self.dir(), &reason);
        }
        if !is_dir_failure {
            self.around.tell(News::LogLost);
        }
        self.set_offline(state, reason);
    }

    /// Takes a directory out of use, and tells of it once.
    pub(super) fn fail_dir(&self, dir: &LogDir, reason: &str) {
        self.around.fail_dir(dir, reason);
    }

    pub(super) fn set_offline(&self, state: &mut State, reason: Arc<str>) {
        if matches!(state.storage, Storage::Online(_)) {
            state.storage = Storage::Offline(reason);
        }
        self.waiters.wake_all();
    }

    /// Passes a result on, and takes the log out of use if it says that the log cannot be used.
    pub(super) fn noting<T, E: Into<PartitionError>>(
        &self,
        state: &mut State,
        result: Result<T, E>,
    ) -> Result<T, PartitionError> {
        result.map_err(|error| {
            let error = error.into();
            self.note_failure(state, &error);
            error
        })
    }
}

impl Flush for Partition {
    fn flush(&self) -> bool {
        let (ticket, dir) = {
            let mut state = self.state();
            state.flushing = Flushing::Running { again: false };
            state.dirty_since = None;
            let ticket = match state.log() {
                Ok(log) => {
                    let ticket = log.begin_flush();
                    self.noting(&mut state, ticket).ok().flatten()
                }
                Err(_) => None,
            };
            (ticket, self.dir())
        };
        let result = ticket.map(|ticket| {
            let start = Instant::now();
            let result = ticket.sync();
            self.around.syncs.observe(start.elapsed().as_secs_f64());
            result
        });
        let mut state = self.state();
        // What was synced may have moved meanwhile, and the log that is here now was durable then.
        let is_still_here = Arc::ptr_eq(&dir, &self.dir());
        match (result, state.log()) {
            (Some(result), Ok(log)) if is_still_here => {
                let completed = log.complete_flush(result);
                // A failure is logged, and takes the log offline, where it is noted.
                let _ = self.noting(&mut state, completed);
            }
            (Some(result), _) => {
                if let Some(error) = result.error().filter(|error| error.is_sync_failure()) {
                    self.fail_dir(&dir, &vltava_net::error_chain(error));
                }
            }
            _ => {}
        }
        let again = state.flushing == Flushing::Running { again: true };
        state.flushing = if again { Flushing::Queued } else { Flushing::Idle };
        if let Ok(log) = state.log() {
            let flushed = log.flushed_offset();
            self.reached(&mut state, Mark::Flushed, flushed);
            self.advance_high_watermark(&mut state, Instant::now());
        }
        again
    }
}

//! A replica that moves to another log directory of its broker (KIP-113): a copy of its log grows
//! in a folder called `…-future`, and takes the log's place once it has all of it.
//!
//! The copy is made in pieces, each found under the replica's lock and read and written without
//! it. When little is missing, the coordinator is told of the new directory; once the metadata log
//! says the same, the last piece is copied under the lock, and the folders change their names:
//! first the copy's, durably, then the old one's. So a failed directory is never taken for one
//! that holds nothing of the replica, and every crash leaves the old log, or the new one, or both
//! with the same records.
//!
//! The log is not compacted while it moves: what the cleaner has removed would be missing from the
//! copy in one place and be there in another.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use vltava_log::checkpoint::CheckpointError;
use vltava_log::{AppendError, DiskError, FutureLog, LogError, Slice, SyncKind, TakeOverError};
use vltava_wire::{Offset, Uuid};

use super::dirs::LogDir;
use super::failure::PartitionError;
use super::opening;
use super::replica::{Partition, Position, State, Storage};
use super::surroundings::wall_clock_ms;
use crate::replication::throttle::HELD_BACK_FOR;

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes that may be missing when the copy takes over: they are copied under the lock, within a
/// few milliseconds.
const LAST_BYTES: usize = 2 << 20;

/// How often the copy looks for more without the lock before it takes over.
const CATCH_UPS_MAX: usize = 8;

/// How long a copy that has all there is waits for more, or for the coordinator.
const LEVEL_WAIT: Duration = Duration::from_millis(50);

/// How long a copy waits for room on its disk.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// How often a copy that does not fit the log is begun anew.
const RESTARTS_MAX: u32 = 5;

/// Why a replica does not move.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    /// The log that is copied cannot be used.
    #[error("the replica cannot be read")]
    Current(#[source] PartitionError),
    /// What was found in it cannot be read.
    #[error("the records cannot be read")]
    Read(#[source] DiskError),
    /// The folder of the copy cannot be made.
    #[error("the copy cannot be made: {0}")]
    Make(Arc<str>),
    /// The copy cannot be opened, cut or synced.
    #[error("the copy cannot be written")]
    Write(#[source] LogError),
    /// The copy does not take what the log has, again and again.
    #[error("the copy does not fit the log")]
    Unfit(#[source] AppendError),
    /// What is known of the log cannot be noted in its new directory.
    #[error("what is known of the log cannot be noted")]
    Note(#[source] CheckpointError),
}

impl MoveError {
    /// Whether the directory that the replica moves to cannot be used any more: an fsync failed.
    fn is_of_target(&self) -> bool {
        match self {
            Self::Write(LogError::Failed { .. }) => true,
            Self::Write(LogError::Disk(error)) | Self::Note(CheckpointError::Disk(error)) => {
                error.is_sync_failure()
            }
            _ => false,
        }
    }
}

/// What is to be done with a move next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to copy.
    More,
    /// Nothing, for so long.
    Wait(Duration),
    /// It is over.
    Done,
}

/// What becomes of the copy when a move ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// It is removed.
    Removed,
    /// It stays for the next start.
    Kept,
}

#[derive(Debug)]
struct Copying {
    folder: PathBuf,
    future: FutureLog,
    restarts: u32,
}

#[derive(Debug)]
enum Stage {
    /// Nothing is open yet; an earlier run has left that folder.
    Begun {
        left: Option<PathBuf>,
    },
    Copying(Box<Copying>),
    Over,
}

/// A replica's move to another directory.
#[derive(Debug)]
pub struct Moving {
    to: Arc<LogDir>,
    end: AtomicI64,
    size: AtomicU64,
    /// The copy has had all that there was, durably: the coordinator is to know where it lies.
    is_ready: AtomicBool,
    is_over: AtomicBool,
    stage: Mutex<Stage>,
}

/// What is read of the log for its copy at a time.
struct Piece {
    /// Where the log was cut since the last piece.
    cut: Option<Offset>,
    start: Offset,
    end: Offset,
    slice: Option<Slice>,
}

impl Piece {
    /// Where a log with nothing of it begins: with the first batch, whether that is before the
    /// first offset or behind it.
    fn begins_at(&self) -> Offset {
        self.slice.as_ref().map_or(self.start, |slice| slice.base_offset().min(self.start))
    }
}

/// The move of a replica, if it moves.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Held by who begins or ends a move.
    changing: Mutex<()>,
    current: Mutex<Option<Arc<Moving>>>,
    /// The replica is given away: it moves no more.
    is_closed: AtomicBool,
}

impl Moves {
    /// Lets no move begin any more.
    pub(super) fn close(&self) {
        let _alone = self.changing.lock();
        self.is_closed.store(true, Ordering::Release);
    }
}

impl Moving {
    fn new(to: Arc<LogDir>, start: Offset, left: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            to,
            end: AtomicI64::new(start.get()),
            size: AtomicU64::new(0),
            is_ready: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            stage: Mutex::new(Stage::Begun { left }),
        })
    }

    /// The directory that the replica moves to.
    pub fn to(&self) -> &Arc<LogDir> {
        &self.to
    }

    /// Up to where records are copied.
    pub fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Bytes of records that are copied.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Whether the copy has had all that there was: the coordinator is to be told of its
    /// directory, and it takes over once that is known.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    fn note(&self, future: &FutureLog) {
        self.end.store(future.end().get(), Ordering::Release);
        self.size.store(future.size(), Ordering::Release);
    }

    /// Ends it, and waits until nothing of it runs any more.
    fn end_early(&self, name: impl std::fmt::Display, leftover: Leftover) {
        self.is_over.store(true, Ordering::Release);
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Over);
        let folder = match stage {
            Stage::Begun { left } => left,
            Stage::Copying(copying) => Some(copying.folder),
            Stage::Over => None,
        };
        let Some(folder) = folder else { return };
        tracing::info!(partition = %name, folder = %folder.display(), ?leftover, "moves no more");
        if leftover == Leftover::Removed {
            super::leaving::remove_folder(Arc::clone(&self.to), &folder);
        }
    }
}

impl Partition {
    /// The move to another directory, if one runs.
    pub fn moving(&self) -> Option<Arc<Moving>> {
        self.moves.current.lock().clone()
    }

    /// Begins a move to a directory, with the folder that an earlier run has left there; a move to
    /// another one ends. `None` if there is nothing to begin: it lies there, or is on its way.
    ///
    /// Removes a folder: call it where that does not stall others.
    ///
    /// # Errors
    /// `Offline`, also once the replica is given away.
    pub fn begin_move(
        &self,
        to: &Arc<LogDir>,
        left: Option<PathBuf>,
    ) -> Result<Option<Arc<Moving>>, PartitionError> {
        let _alone = self.moves.changing.lock();
        if self.moving().is_some_and(|it| Arc::ptr_eq(&it.to, to)) {
            return Ok(None);
        }
        self.drop_move(Leftover::Removed);
        if Arc::ptr_eq(&self.dir(), to) {
            return Ok(None);
        }
        if self.moves.is_closed.load(Ordering::Acquire) {
            return Err(PartitionError::Offline("the replica is given away".into()));
        }
        let start = self.state().log()?.log_start_offset();
        self.cleaning.pause();
        let moving = Moving::new(Arc::clone(to), start, left);
        *self.moves.current.lock() = Some(Arc::clone(&moving));
        Ok(Some(moving))
    }

    /// Ends the move that runs, if one does; its copy is touched no more once this returns. The
    /// replica must not be locked.
    pub fn end_move(&self, leftover: Leftover) {
        let _alone = self.moves.changing.lock();
        self.drop_move(leftover);
    }

    fn drop_move(&self, leftover: Leftover) {
        let moving = self.moves.current.lock().take();
        let Some(moving) = moving else { return };
        moving.end_early(&self.name, leftover);
        self.cleaning.resume();
    }

    /// Ends a move that cannot go on, unless it is over.
    fn give_move_up(&self, moving: &Moving) {
        let _alone = self.moves.changing.lock();
        if self.moving().is_some_and(|it| std::ptr::eq(&*it, moving)) {
            let is_kept = moving.to.failure().is_some() || self.offline_reason().is_some();
            self.drop_move(if is_kept { Leftover::Kept } else { Leftover::Removed });
        }
    }

    /// Goes on with a move: one piece, or what is to be done instead. `registered` says which
    /// directory the metadata log has the replica in. Reads, writes and syncs.
    pub fn step_move(&self, moving: &Moving, registered: &dyn Fn() -> Uuid) -> Next {
        let mut stage = moving.stage.lock();
        if moving.is_over.load(Ordering::Acquire) {
            return Next::Done;
        }
        let stepped = match &mut *stage {
            Stage::Begun { left } => {
                let opened = self.open_future(moving, left);
                opened.map(|copying| {
                    moving.note(&copying.future);
                    *stage = Stage::Copying(Box::new(copying));
                    Next::More
                })
            }
            Stage::Copying(copying) => {
                let copied = self.copy_piece(moving, copying);
                moving.note(&copying.future);
                match copied {
                    Ok(None) if registered() == moving.to.id() => {
                        self.finish_move(moving, &mut stage)
                    }
                    Ok(None) => Ok(Next::Wait(LEVEL_WAIT)),
                    Ok(Some(next)) => Ok(next),
                    Err(error) => Err(error),
                }
            }
            Stage::Over => Ok(Next::Done),
        };
        drop(stage);
        stepped.unwrap_or_else(|error| {
            if let MoveError::Write(LogError::GivenUp { .. }) = error {
                return Next::Done;
            }
            let reason = vltava_net::error_chain(&error);
            tracing::error!(partition = %self.name, %reason, "a replica stays where it is");
            if error.is_of_target() {
                self.fail_dir(&moving.to, &reason);
            }
            self.give_move_up(moving);
            Next::Done
        })
    }

    fn open_future(
        &self,
        moving: &Moving,
        left: &mut Option<PathBuf>,
    ) -> Result<Copying, MoveError> {
        let (to, name) = (&moving.to, &self.name);
        let place = to.folder(&name.topic, name.index);
        if to.disk().list(&place).is_ok() {
            return Err(MoveError::Make(format!("{} is there already", place.display()).into()));
        }
        let is_left = left.is_some();
        let new = || to.future_folder(&name.topic, name.index, rand::random());
        let folder = left.get_or_insert_with(new).clone();
        // What is noted there is of another log of that name.
        to.forget(std::slice::from_ref(name)).map_err(MoveError::Note)?;
        vltava_log::disk::make_folder(to.disk(), &folder, SyncKind::LogFolder)
            .map_err(|error| MoveError::Write(error.into()))?;
        opening::adopt(to, &folder, name.topic_id).map_err(MoveError::Make)?;
        self.state().cut = None;
        let piece = self.piece(Offset(i64::MIN)).map_err(MoveError::Current)?;
        let start = if is_left { Offset::ZERO } else { piece.begins_at() };
        let config = self.settings().log;
        let disk = Arc::clone(to.disk());
        // All that an earlier run has copied is read, and who ends the move waits for this.
        let goes_on = || !moving.is_over.load(Ordering::Acquire);
        let begins = (start, wall_clock_ms());
        let opened = FutureLog::open(disk, folder.clone(), config, begins, &goes_on);
        let mut future = opened.map_err(MoveError::Write)?;
        if is_left {
            let mut state = self.state();
            state.cut = None;
            let current = state.log().map_err(MoveError::Current)?;
            let reconciled = future.reconcile(current, &mut |_| Ok(()));
            reconciled.map_err(MoveError::Write)?;
        }
        tracing::info!(
            partition = %name, folder = %folder.display(), from = %future.end(),
            "moves to another log directory"
        );
        Ok(Copying { folder, future, restarts: 0 })
    }

    fn piece(&self, from: Offset) -> Result<Piece, PartitionError> {
        let mut state = self.state();
        let cut = state.cut.take();
        let log = state.log()?;
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let at = from.max(start);
        let located = match cut.is_some_and(|cut| cut < from) || at >= end {
            true => Ok(None),
            false => log.locate(at, PIECE_BYTES, end, true),
        };
        let slice = self.noting(&mut state, located)?;
        Ok(Piece { cut, start, end, slice })
    }

    /// Copies a piece; `None` once there is nothing more, and all of it is durable.
    fn copy_piece(
        &self,
        moving: &Moving,
        copying: &mut Copying,
    ) -> Result<Option<Next>, MoveError> {
        if self.around.throttles.moves.is_exceeded(Instant::now()) {
            return Ok(Some(Next::Wait(HELD_BACK_FOR)));
        }
        let future = &mut copying.future;
        let lower = &mut |offset| moving.to.lower_recovery_point(&self.name, offset);
        let piece = self.piece(future.end()).map_err(MoveError::Current)?;
        if let Some(cut) = piece.cut.filter(|cut| *cut < future.end()) {
            future.cut(cut, lower).map_err(MoveError::Write)?;
            return Ok(Some(Next::More));
        }
        let is_empty = future.start() == future.end();
        if piece.start > future.end() || is_empty && piece.begins_at() < future.start() {
            future.begin_at(piece.begins_at(), lower).map_err(MoveError::Write)?;
        }
        let Some(slice) = &piece.slice else { return self.level(moving, future, piece.start) };
        if !moving.to.has_room(slice.len()) {
            return Ok(Some(Next::Wait(FULL_WAIT)));
        }
        let bytes = match slice.read() {
            Ok(bytes) => bytes,
            // It was cut while it was read.
            Err(_) if self.state().cut.is_some() => return Ok(Some(Next::More)),
            Err(error) => return Err(MoveError::Read(error)),
        };
        match future.append(&bytes, wall_clock_ms()) {
            Ok(()) => {}
            Err(AppendError::Write(error)) if error.is_full() => {
                moving.to.note_full();
                return Ok(Some(Next::Wait(FULL_WAIT)));
            }
            Err(AppendError::Write(error)) => return Err(MoveError::Write(error.into())),
            Err(AppendError::Log(error)) => return Err(MoveError::Write(error)),
            Err(_) if self.state().cut.is_some() => return Ok(Some(Next::More)),
            Err(error) if copying.restarts >= RESTARTS_MAX => return Err(MoveError::Unfit(error)),
            Err(error) => {
                let reason = vltava_net::error_chain(&error);
                tracing::warn!(partition = %self.name, %reason, "its copy is begun anew");
                copying.restarts += 1;
                future.begin_at(piece.begins_at(), lower).map_err(MoveError::Write)?;
                return Ok(Some(Next::More));
            }
        }
        self.around.throttles.moves.record(bytes.len(), Instant::now());
        if future.end() >= piece.end {
            return self.level(moving, future, piece.start);
        }
        future.advance_start(piece.start, wall_clock_ms()).map_err(MoveError::Write)?;
        Ok(Some(Next::More))
    }

    /// The copy has all that there was a moment ago: it becomes durable, and ready.
    fn level(
        &self,
        moving: &Moving,
        future: &mut FutureLog,
        start: Offset,
    ) -> Result<Option<Next>, MoveError> {
        future.advance_start(start, wall_clock_ms()).map_err(MoveError::Write)?;
        future.flush().map_err(MoveError::Write)?;
        moving.is_ready.store(true, Ordering::Release);
        Ok(None)
    }

    /// Notes in the new directory what it is about to get, and catches up once more.
    fn prepare(&self, moving: &Moving, copying: &mut Copying) -> Result<Next, MoveError> {
        let future = &copying.future;
        let (log_start, end, size) = (future.start(), future.end(), future.size());
        let high_watermark = self.state().high_watermark.min(end);
        let at = Position { log_start, high_watermark, log_end: end, flushed: end, size };
        moving.to.expect(&self.name, &at).map_err(MoveError::Note)?;
        for _ in 0..CATCH_UPS_MAX {
            match self.copy_piece(moving, copying)? {
                None => return Ok(Next::Done),
                Some(Next::More) => {}
                Some(next) => return Ok(next),
            }
        }
        Ok(Next::More)
    }

    /// Lets the copy take the place of the log, if little enough is missing.
    fn finish_move(&self, moving: &Moving, stage: &mut Stage) -> Result<Next, MoveError> {
        let Stage::Copying(copying) = stage else { return Ok(Next::Done) };
        match self.prepare(moving, copying)? {
            Next::Done => {}
            next => return Ok(next),
        }
        let (from, folder) = (self.dir(), moving.to.folder(&self.name.topic, self.name.index));
        let mut state = self.state();
        if !self.copy_rest(&mut state, &mut copying.future)? {
            return Ok(Next::More);
        }
        if let Some(cleaned) = from.cleaned_up_to(&self.name) {
            let noted = moving.to.note_cleaned(&self.name, cleaned, || true);
            noted.map_err(|error| MoveError::Write(error.into()))?;
        }
        let settings = state.settings;
        let current = state.log().map_err(MoveError::Current)?;
        match copying.future.complete(current, wall_clock_ms()) {
            Ok(()) => {}
            Err(TakeOverError::Log(LogError::Disk(error))) if error.is_full() => {
                moving.to.note_full();
                return Ok(Next::Wait(FULL_WAIT));
            }
            Err(TakeOverError::Log(error)) => return Err(MoveError::Write(error)),
            Err(TakeOverError::Behind { .. }) => return Ok(Next::More),
        }
        let Stage::Copying(copying) = std::mem::replace(stage, Stage::Over) else {
            return Ok(Next::Done);
        };
        let mut log = copying.future.take_over(folder).map_err(|error| {
            // Its folder may have either name by now: nobody is to use it in this run.
            self.fail_dir(&moving.to, &vltava_net::error_chain(&error));
            MoveError::Write(error)
        })?;
        log.set_config(settings.log);
        let old = from.folder(&self.name.topic, self.name.index);
        self.settle_in(&mut state, Arc::clone(&moving.to), log);
        // Under the lock: what is appended from now on must not be missing from a log that a
        // power cut brings back.
        let aside = from.mark_deleted(&old, rand::random());
        drop(state);
        self.leave_dir(&from, aside);
        moving.is_over.store(true, Ordering::Release);
        *self.moves.current.lock() = None;
        self.cleaning.forget_failure();
        self.cleaning.resume();
        tracing::info!(partition = %self.name, dir = %moving.to.path().display(), "has moved");
        Ok(Next::Done)
    }

    /// Copies what is missing while nothing can be appended; `false` if that is too much, or the
    /// log was cut meanwhile.
    fn copy_rest(&self, state: &mut State, future: &mut FutureLog) -> Result<bool, MoveError> {
        let mut left = LAST_BYTES;
        loop {
            let is_cut = state.cut.is_some_and(|cut| cut < future.end());
            let Storage::Online(log) = &state.storage else { return Ok(false) };
            let (at, end) = (future.end(), log.log_end_offset());
            if is_cut || at < log.log_start_offset() {
                return Ok(false);
            }
            if at >= end {
                return Ok(true);
            }
            let located = log.locate(at, left, end, left == LAST_BYTES);
            let located = self.noting(state, located).map_err(MoveError::Current)?;
            let Some(slice) = located else { return Ok(false) };
            let bytes = slice.read().map_err(MoveError::Read)?;
            if future.append(&bytes, wall_clock_ms()).is_err() || future.end() == at {
                // The next piece says why.
                return Ok(false);
            }
            left = left.saturating_sub(bytes.len());
        }
    }

    /// Forgets a log in the directory that it has left, and removes its folder.
    fn leave_dir(&self, from: &Arc<LogDir>, aside: Result<PathBuf, super::dirs::DirError>) {
        let forgotten = from.forget(std::slice::from_ref(&self.name));
        let reason = match (&aside, &forgotten) {
            (Err(error), _) => Some(vltava_net::error_chain(error)),
            (_, Err(error)) => Some(vltava_net::error_chain(error)),
            _ => None,
        };
        if let Some(reason) = reason {
            tracing::error!(partition = %self.name, %reason, "the directory that it left");
        }
        match aside {
            Ok(folder) => super::leaving::remove_in_background(vec![(Arc::clone(from), folder)]),
            // A log that it does not let go of would be found there at the next start.
            Err(error) => self.fail_dir(from, &vltava_net::error_chain(&error)),
        }
    }
}

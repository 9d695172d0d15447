//! Moving a log to another folder, on another disk perhaps, while it goes on (KIP-113).
//!
//! A [`FutureLog`] is a copy that grows by what is read from the log that it copies, the *current*
//! one. When it has all of it, it takes the place of the current one: it takes over what that
//! knows beyond its records, becomes durable as a whole, and only then gets the name of a log. The
//! owner sees to it that nothing is appended meanwhile, and gives the current folder up after
//! that.
//!
//! *Invariant:* a folder that has the name of a log holds all records of it. Between the two names
//! a crash leaves two folders with the same records; before, the current one alone counts.

use std::path::PathBuf;
use std::sync::Arc;

use vltava_wire::{LeaderEpoch, Offset};

use crate::config::LogConfig;
use crate::disk::{Disk, SyncKind};
use crate::error::{AppendError, LogError};
use crate::log::{Log, LowerRecoveryPoint, OpenOptions};

/// A copy of a log that is to take its place.
#[derive(Debug)]
pub struct FutureLog {
    log: Log,
}

/// Why a copy cannot take the place of the log that it copies.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// It does not have all records.
    #[error("the copy ends at {copied}, the log at {end}")]
    Behind {
        /// Where the copy ends.
        copied: Offset,
        /// Where the log ends.
        end: Offset,
    },
    /// The disk failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl FutureLog {
    /// Opens the copy in a folder that is there, whatever a crash has left of it; an empty one
    /// begins at `start`. Nothing that it held counts as durable: all of it is checked, for as long
    /// as `goes_on` says, which is asked before each segment.
    ///
    /// # Errors
    /// The disk's; [`LogError::GivenUp`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        config: LogConfig,
        (start, now_ms): (Offset, i64),
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Self, LogError> {
        // What is below the start of the current log is all that retention may take.
        let config = LogConfig { retention_ms: -1, retention_bytes: -1, ..config };
        let recovery_point = Offset::ZERO;
        let options =
            OpenOptions { recovery_point, clean_shutdown: false, log_start_offset: start, now_ms };
        let (log, _) = Log::open_while(disk, dir, config, options, goes_on)?;
        Ok(Self { log })
    }

    /// Where it ends: from there on it is to be copied.
    pub fn end(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// Where it begins.
    pub fn start(&self) -> Offset {
        self.log.log_start_offset()
    }

    /// Bytes of records.
    pub fn size(&self) -> u64 {
        self.log.size()
    }

    /// Why its disk cannot be used any more, if so.
    pub fn failure(&self) -> Option<&str> {
        self.log.failure()
    }

    /// Cuts what an earlier run has copied and the current log does not have (any more), as a
    /// follower does: at the largest epoch that both have (KIP-101).
    ///
    /// # Errors
    /// The disk's, or the owner's.
    pub fn reconcile(
        &mut self,
        current: &Log,
        lower: &mut LowerRecoveryPoint<'_>,
    ) -> Result<(), LogError> {
        if self.log.first_base_offset() > current.log_start_offset() {
            // The current one's start was not durable, and what lies before counts again.
            return self.begin_at(current.log_start_offset(), lower);
        }
        if self.end() > current.log_end_offset() {
            self.cut(current.log_end_offset(), lower)?;
        }
        while let Some(own) = self.log.latest_epoch() {
            let Some((epoch, end)) = current.end_offset_for_epoch(own) else {
                return self.begin_at(current.log_start_offset(), lower);
            };
            if epoch == own {
                return self.cut(end, lower);
            }
            // The current log does not know the latest epoch: the one before may be shared.
            let start = self.log.epochs().last().map_or(self.start(), |last| last.start_offset);
            self.cut(start, lower)?;
        }
        Ok(())
    }

    /// Appends what was read from the current log where this one ends.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append(&mut self, batches: &[u8], now_ms: i64) -> Result<(), AppendError> {
        self.log.append_as_follower(batches, LeaderEpoch(i32::MAX), now_ms).map(|_| ())
    }

    /// Removes what the current log has not any more, which was cut there.
    ///
    /// # Errors
    /// The disk's, or the owner's.
    pub fn cut(
        &mut self,
        offset: Offset,
        lower: &mut LowerRecoveryPoint<'_>,
    ) -> Result<(), LogError> {
        self.log.truncate_to(offset, lower)
    }

    /// Gives up all records and begins anew at an offset.
    ///
    /// # Errors
    /// The disk's, or the owner's.
    pub fn begin_at(
        &mut self,
        offset: Offset,
        lower: &mut LowerRecoveryPoint<'_>,
    ) -> Result<(), LogError> {
        self.log.truncate_fully_and_start_at(offset, lower)
    }

    /// Follows the start of the current log, and deletes what lies before.
    ///
    /// # Errors
    /// The disk's.
    pub fn advance_start(&mut self, offset: Offset, now_ms: i64) -> Result<(), LogError> {
        if self.log.advance_log_start_offset(offset.min(self.end()))? {
            self.log.delete_old_segments(now_ms, offset)?;
        }
        Ok(())
    }

    /// Makes what was copied durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn flush(&mut self) -> Result<Offset, LogError> {
        self.log.flush()
    }

    /// Takes over what the current log knows beyond its records, of which this one has all, and
    /// makes all of it durable. Nothing may change the current log until
    /// [`take_over`](Self::take_over) returns; after a failure both go on.
    ///
    /// # Errors
    /// [`TakeOverError::Behind`]; the disk's.
    pub fn complete(&mut self, current: &Log, now_ms: i64) -> Result<(), TakeOverError> {
        let (copied, end) = (self.end(), current.log_end_offset());
        if copied != end {
            return Err(TakeOverError::Behind { copied, end });
        }
        self.log.adopt(current);
        Ok(self.log.persist(now_ms)?)
    }

    /// Takes the place of the current log, once it is complete: its folder gets the name `folder`.
    /// Afterwards nothing may be appended to the current one.
    ///
    /// # Errors
    /// The disk's. Which name the folder has is not known then.
    pub fn take_over(mut self, folder: PathBuf) -> Result<Log, LogError> {
        let named = self.log.rename_folder(folder, SyncKind::MovedFolder);
        named.map_err(|error| self.log.fail(error))?;
        Ok(self.log)
    }
}

//! Cleaning the log of one replica: what a round may touch, and how it is kept from a log that is
//! cut or given away meanwhile.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use vltava_log::{CleanError, CleanRound, Cleanable, CleanedSegment, SwapOutcome};

use super::failure::PartitionError;
use super::replica::Partition;

#[derive(Debug, Default)]
struct Stage {
    runs: bool,
    /// No round is to begin: the replica moves.
    is_paused: bool,
    /// The log is not what it was when the round began.
    is_disturbed: bool,
    /// Why the log is cleaned no more.
    failure: Option<Arc<str>>,
}

/// Where a replica stands with the cleaners.
#[derive(Debug, Default)]
pub(super) struct Cleaning {
    stage: Mutex<Stage>,
    ended: Condvar,
}

/// A round that runs; it has ended once this is dropped.
#[derive(Debug)]
pub(super) struct Running<'a>(&'a Cleaning);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.stage.lock().runs = false;
        self.0.ended.notify_all();
    }
}

impl Cleaning {
    /// Begins a round, unless one runs or the log is cleaned no more.
    pub(super) fn begin(&self) -> Option<Running<'_>> {
        let mut stage = self.stage.lock();
        if stage.runs || stage.is_paused || stage.failure.is_some() {
            return None;
        }
        (stage.runs, stage.is_disturbed) = (true, false);
        Some(Running(self))
    }

    /// Whether a round must end: what it has read is not what the log holds now.
    pub(super) fn is_disturbed(&self) -> bool {
        self.stage.lock().is_disturbed
    }

    /// The log is about to be cut: a round that runs comes to nothing.
    pub(super) fn disturb(&self) {
        self.stage.lock().is_disturbed = true;
    }

    /// The log is about to be given away: returns once no round touches its folder any more. The
    /// replica must not be locked, as the round may wait for that.
    pub(super) fn end(&self) {
        let mut stage = self.stage.lock();
        stage.is_disturbed = true;
        while stage.runs {
            self.ended.wait(&mut stage);
        }
    }

    /// Ends the round that runs, as [`end`](Self::end), and lets none begin until
    /// [`resume`](Self::resume).
    pub(super) fn pause(&self) {
        self.stage.lock().is_paused = true;
        self.end();
    }

    /// Rounds may begin again.
    pub(super) fn resume(&self) {
        self.stage.lock().is_paused = false;
    }

    /// The log is cleaned no more, until it is opened anew.
    pub(super) fn give_up(&self, reason: &str) {
        self.stage.lock().failure = Some(reason.into());
    }

    /// The replica has got another log.
    pub(super) fn forget_failure(&self) {
        self.stage.lock().failure = None;
    }

    fn is_possible(&self) -> bool {
        let stage = self.stage.lock();
        !stage.runs && !stage.is_paused && stage.failure.is_none()
    }
}

impl Partition {
    /// Why its log is cleaned no more, if so: it goes on serving, and grows.
    pub fn uncleanable_reason(&self) -> Option<Arc<str>> {
        self.cleaning.stage.lock().failure.clone()
    }

    /// How dirty its log is, if it is compacted, and whether it should be cleaned by now; `None` if
    /// it is not to be cleaned, or is being cleaned.
    pub fn dirt(&self, now_ms: i64) -> Option<(Cleanable, bool)> {
        if !self.settings().log.compact || !self.cleaning.is_possible() {
            return None;
        }
        let cleaned_up_to = self.dir().cleaned_up_to(&self.name);
        let mut state = self.state();
        let high_watermark = state.high_watermark;
        let min_ratio = state.settings.log.min_cleanable_dirty_ratio;
        let log = state.log().ok()?;
        let extent = log.cleanable(cleaned_up_to, high_watermark, now_ms).ok()?;
        Some((extent, extent.is_due(min_ratio)))
    }

    /// Begins a round over the log; `None` if there is nothing to clean.
    pub(super) fn begin_round(&self, now_ms: i64) -> Result<Option<CleanRound>, PartitionError> {
        let cleaned_up_to = self.dir().cleaned_up_to(&self.name);
        let mut state = self.state();
        let high_watermark = state.high_watermark;
        let log = state.log()?;
        let extent = log.cleanable(cleaned_up_to, high_watermark, now_ms)?;
        if extent.dirty_bytes == 0 {
            return Ok(None);
        }
        Ok(Some(log.begin_clean(extent, now_ms)?))
    }

    /// Puts a cleaned segment in its place. Syncs: call it where that does not stall others.
    pub(super) fn swap_in(&self, cleaned: CleanedSegment) -> Result<SwapOutcome, PartitionError> {
        let mut state = self.state();
        let swapped = match state.log() {
            Ok(log) => log.swap_in(cleaned),
            Err(error) => {
                cleaned.discard();
                return Err(error);
            }
        };
        self.noting(&mut state, swapped)
    }

    /// Notes up to where the log is clean, unless it was cut meanwhile.
    pub(super) fn note_cleaned(&self, round: &CleanRound) -> Result<(), CleanError> {
        let noted = self
            .dir()
            .note_cleaned(&self.name, round.end_offset(), || !self.cleaning.is_disturbed());
        noted.map_err(|error| CleanError::Log(error.into()))
    }
}

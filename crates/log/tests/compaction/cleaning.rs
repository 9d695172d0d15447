//! A round as the owner of a log does it.

use vltava_log::{CleanError, CleanRound, CleanedSegment, Log, OffsetMap, Stopped, SwapOutcome};
use vltava_wire::Offset;

use crate::model::Model;

/// A round under way, and what it works with.
pub struct Round {
    pub round: CleanRound,
    pub map: OffsetMap,
    pub now_ms: i64,
}

/// Begins a round, if there is something to clean.
pub fn begin(
    log: &Log,
    model: &mut Model,
    cleaned_up_to: Option<i64>,
    map_bytes: usize,
    now_ms: i64,
) -> Result<Option<Round>, String> {
    let committed = Offset(model.committed);
    let extent = log
        .cleanable(cleaned_up_to.map(Offset), committed, now_ms)
        .map_err(|error| error.to_string())?;
    if extent.first_uncleanable > committed {
        return Err(format!("{extent:?} beyond what is committed, {committed}"));
    }
    if !extent.is_due(0.0) {
        return Ok(None);
    }
    model.round_begins(extent.first_uncleanable.0, now_ms);
    let round = log.begin_clean(extent, now_ms).map_err(|error| error.to_string())?;
    Ok(Some(Round { round, map: OffsetMap::new(map_bytes, 0.9), now_ms }))
}

impl Round {
    pub fn map_keys(&mut self, left: &mut u64) -> Result<(), CleanError> {
        self.round.map_keys(&mut self.map, &mut |_| step(left))
    }

    pub fn clean_next(&mut self, left: &mut u64) -> Result<Option<CleanedSegment>, CleanError> {
        self.round.clean_next(&self.map, &mut |_| step(left))
    }

    /// All of it at once: the offset up to which the log is clean now.
    pub fn run(&mut self, log: &mut Log) -> Result<i64, CleanError> {
        let mut left = u64::MAX;
        self.map_keys(&mut left)?;
        while let Some(cleaned) = self.clean_next(&mut left)? {
            if log.swap_in(cleaned)? == SwapOutcome::Stale {
                return Err(CleanError::Stopped);
            }
        }
        Ok(self.round.end_offset().0)
    }
}

/// One step of a round that is stopped after so many.
fn step(left: &mut u64) -> Result<(), Stopped> {
    *left = left.checked_sub(1).ok_or(Stopped)?;
    Ok(())
}

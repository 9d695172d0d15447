//! How dirty a log is, and how much of it may be cleaned.

use vltava_wire::Offset;

use crate::error::LogError;
use crate::log::Log;
use crate::segment::Segment;

/// How much of a log may be cleaned, and how dirty it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Everything below was cleaned before.
    pub first_dirty: Offset,
    /// Nothing from here on may be cleaned yet: the start of a segment.
    pub first_uncleanable: Offset,
    /// Bytes that were cleaned before.
    pub clean_bytes: u64,
    /// Bytes that may be cleaned and were not.
    pub dirty_bytes: u64,
    /// How long a record has waited beyond `max.compaction.lag.ms`, in ms; 0 if none has.
    pub overdue_ms: i64,
    /// Whether the offset up to which the log was said to be clean cannot be one of this log: it
    /// counts as dirty from its start on, and the owner should note that.
    pub is_checkpoint_invalid: bool,
}

impl Cleanable {
    /// The share of the bytes that are dirty, 0 to 1: what `min.cleanable.dirty.ratio` is
    /// compared with.
    pub fn ratio(&self) -> f64 {
        match self.total_bytes() {
            0 => 0.0,
            total => self.dirty_bytes as f64 / total as f64,
        }
    }

    /// Bytes of both.
    pub fn total_bytes(&self) -> u64 {
        self.clean_bytes + self.dirty_bytes
    }

    /// Whether the log should be cleaned, `min_ratio` being `min.cleanable.dirty.ratio`.
    pub fn is_due(&self, min_ratio: f64) -> bool {
        self.dirty_bytes > 0 && (self.overdue_ms > 0 || self.ratio() > min_ratio)
    }
}

impl Log {
    /// How dirty the log is: `cleaned_up_to` is what the last round ended with
    /// ([`end_offset`](super::CleanRound::end_offset)), `committed` the high watermark, and
    /// `now_ms` the time in ms since 1970.
    ///
    /// # Errors
    /// [`LogError::Failed`], or a segment that cannot be read.
    pub fn cleanable(
        &self,
        cleaned_up_to: Option<Offset>,
        committed: Offset,
        now_ms: i64,
    ) -> Result<Cleanable, LogError> {
        self.check()?;
        let start = self.log_start_offset();
        let noted = cleaned_up_to.unwrap_or(start);
        let is_checkpoint_invalid = noted < start || noted > self.log_end_offset();
        let first_dirty = if is_checkpoint_invalid { start } else { noted };
        let (active, inactive) = self.segments.split_last().expect("a log has a segment");
        let dirty = match first_dirty < active.base_offset() {
            true => &inactive[holding(inactive, first_dirty)..],
            false => &[],
        };
        let mut bound = self.last_stable_offset(committed).min(active.base_offset());
        let lag_ms = self.config().min_compaction_lag_ms.max(0);
        if lag_ms > 0
            && let Some(young) = dirty.iter().find(|it| it.age_from() > now_ms - lag_ms)
        {
            bound = bound.min(young.base_offset());
        }
        // A segment is cleaned as a whole or not at all.
        let uncleanable = &self.segments[holding(&self.segments, bound.max(first_dirty))];
        let first_uncleanable = uncleanable.base_offset();
        let size = |from: Offset, to: Offset| -> u64 {
            let from = self.segments[holding(&self.segments, from)..].iter();
            from.take_while(|it| it.base_offset() < to).map(Segment::size).sum()
        };
        let dirty_bytes = match first_dirty < first_uncleanable {
            true => size(first_dirty, first_uncleanable),
            false => 0,
        };
        let all = size(Offset::ZERO, first_uncleanable.max(first_dirty));
        Ok(Cleanable {
            first_dirty,
            first_uncleanable,
            clean_bytes: all.saturating_sub(dirty_bytes),
            dirty_bytes,
            overdue_ms: self.overdue_ms(dirty, now_ms)?,
            is_checkpoint_invalid,
        })
    }

    fn overdue_ms(&self, dirty: &[Segment], now_ms: i64) -> Result<i64, LogError> {
        let lag_ms = self.config().max_compaction_lag_ms.max(0);
        let bound = now_ms.saturating_sub(lag_ms);
        if bound <= 0 {
            return Ok(0);
        }
        let mut earliest = i64::MAX;
        for segment in dirty {
            let first = segment.read_first_timestamp(&self.folder)?;
            earliest = earliest.min(first.filter(|time| *time > 0).unwrap_or(i64::MAX));
        }
        Ok((bound.saturating_sub(earliest)).max(0))
    }
}

/// The index of the segment that holds `offset`; of the first one, if it lies before that.
fn holding(segments: &[Segment], offset: Offset) -> usize {
    segments.partition_point(|it| it.base_offset() <= offset).saturating_sub(1)
}

//! Removing records from the start: by age, by size, or because someone asked for it.

use vltava_wire::Offset;

use super::Log;
use crate::disk::SyncKind;
use crate::error::LogError;
use crate::segment::Segment;

/// What retention deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Segments deleted.
    pub segments: usize,
    /// Their records' bytes.
    pub bytes: u64,
}

impl Log {
    /// Makes `offset` the log's first one (DeleteRecords, or the leader's log start); says
    /// whether that changed anything. Segments below go with the next
    /// [`delete_old_segments`](Self::delete_old_segments). The owner persists the log start.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] beyond the log's end; [`LogError::Failed`].
    pub fn advance_log_start_offset(&mut self, offset: Offset) -> Result<bool, LogError> {
        self.check()?;
        let (from, to) = (self.log_start_offset, self.log_end_offset());
        if offset > to {
            let operation = "advancing the log start";
            return Err(LogError::OffsetOutOfRange { operation, offset, from, to });
        }
        if offset <= from {
            return Ok(false);
        }
        self.log_start_offset = offset;
        self.epochs.truncate_from_start(offset);
        self.producers.forget_ended(offset);
        Ok(true)
    }

    /// Deletes segments that retention by time or size, or the log's start, gives up; never one
    /// with records at or above `deletable_up_to` (the high watermark). Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn delete_old_segments(
        &mut self,
        now_ms: i64,
        deletable_up_to: Offset,
    ) -> Result<Retention, LogError> {
        self.check()?;
        let count = self.count_old(now_ms, deletable_up_to);
        if count == 0 {
            return Ok(Retention::default());
        }
        if count == self.segments.len() {
            let end = self.log_end_offset();
            self.roll(end, now_ms).map_err(|error| self.fail_if_sync(error))?;
        }
        let deleted = Retention {
            segments: count,
            bytes: self.segments[..count].iter().map(Segment::size).sum(),
        };
        self.delete_first(count)?;
        Ok(deleted)
    }

    /// How many segments are given up, from the first on.
    fn count_old(&self, now_ms: i64, deletable_up_to: Offset) -> usize {
        let mut surplus = match u64::try_from(self.config.retention_bytes) {
            Ok(kept) => self.size().saturating_sub(kept),
            Err(_) => 0,
        };
        let mut count = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(index + 1);
            let end = next.map_or(segment.next_offset(), Segment::base_offset);
            let is_old = self.config.retention_ms >= 0
                && now_ms.saturating_sub(segment.age_from()) > self.config.retention_ms;
            let is_surplus = self.config.retention_bytes >= 0 && surplus >= segment.size();
            let is_below = end <= self.log_start_offset && next.is_some();
            let is_last_and_empty = next.is_none() && segment.is_empty();
            if end > deletable_up_to
                || is_last_and_empty
                || !(is_old || is_below || is_surplus && !segment.is_empty())
            {
                break;
            }
            surplus = surplus.saturating_sub(segment.size());
            count += 1;
        }
        count
    }

    fn delete_first(&mut self, count: usize) -> Result<(), LogError> {
        let gone: Vec<Offset> = self.segments[..count].iter().map(Segment::base_offset).collect();
        let start = self.segments[count].base_offset();
        let failed = gone.iter().try_for_each(|base| self.folder.give_up_segment(*base));
        failed.map_err(|error| self.fail(error))?;
        let synced = self.folder.volume.sync_folder(&self.folder.dir, SyncKind::RetentionFolder);
        synced.map_err(|error| self.fail(error))?;
        self.segments.drain(..count);
        self.log_start_offset = self.log_start_offset.max(start);
        self.epochs.truncate_from_start(self.log_start_offset);
        self.producers.forget_ended(self.log_start_offset);
        for base in gone {
            // What cannot be removed now is removed when the log is opened.
            _ = self.folder.remove_given_up(base);
        }
        self.prune_snapshots();
        Ok(())
    }
}

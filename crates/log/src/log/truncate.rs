//! Removing records from the end.
//!
//! All of it is durable when it returns: what was cut off cannot come back after a power cut
//! between records that were appended since.

use vltava_wire::Offset;

use super::open::{newest_snapshot, replay};
use super::{Log, corrupt};
use crate::disk::{DiskError, SyncKind};
use crate::error::LogError;
use crate::folder;
use crate::segment::Segment;

/// What persists a lower recovery point for [`Log::truncate_to`].
pub type LowerRecoveryPoint<'a> = dyn FnMut(Offset) -> Result<(), DiskError> + 'a;

impl Log {
    /// Removes all records from `offset` on, durably; a batch that holds it goes as a whole. If
    /// that is below [`flushed_offset`](Self::flushed_offset), `lower_recovery_point` is called
    /// first and must persist the recovery point that it is given (somewhat below `offset`): else
    /// the log would be found shorter than it should be.
    ///
    /// # Errors
    /// The owner's (nothing has changed then), or the disk's (the log has failed then).
    pub fn truncate_to(
        &mut self,
        offset: Offset,
        lower_recovery_point: &mut LowerRecoveryPoint<'_>,
    ) -> Result<(), LogError> {
        self.check()?;
        if offset >= self.log_end_offset() {
            // An epoch without records may contradict what the leader will send.
            self.epochs.truncate_from_end(offset);
            return Ok(());
        }
        if offset < self.segments[0].base_offset() {
            return self.truncate_fully_and_start_at(offset, lower_recovery_point);
        }
        if offset < self.flushed_offset {
            // The log may end before the offset: a batch that holds it goes as a whole, and
            // there may have been a gap before that. It will not end before the segment starts.
            let at = self.segments.partition_point(|segment| segment.base_offset() <= offset);
            lower_recovery_point(self.segments[at - 1].base_offset())?;
        }
        self.truncations += 1;
        self.remove_from(offset).map_err(|error| self.fail(error))
    }

    fn remove_from(&mut self, offset: Offset) -> Result<(), LogError> {
        // The last one first, so that a crash leaves no gap.
        while self.segments.len() > 1 && self.active().base_offset() > offset {
            let segment = self.segments.pop().expect("there is more than one");
            self.folder.remove_segment(segment.base_offset())?;
        }
        let interval = self.config.index_interval_bytes;
        let folder = &self.folder;
        let active = self.segments.last_mut().expect("a log has a segment");
        let base = active.base_offset();
        active.truncate(folder, offset, interval).map_err(|error| corrupt(folder, base, error))?;
        active.activate(folder)?;
        let end = active.next_offset();
        self.log_start_offset = self.log_start_offset.min(end);
        self.flushed_offset = self.flushed_offset.min(end);
        self.epochs.truncate_from_end(end);
        self.remove_snapshots(|snapshot| snapshot > end)?;
        let newest = newest_snapshot(&self.folder, &mut self.snapshots, Offset(i64::MAX));
        let (mut producers, from) = newest?;
        let segments = &mut self.segments;
        self.bytes_since_snapshot = replay(&self.folder, segments, from, &mut producers)?;
        self.producers.replace(producers);
        Ok(())
    }

    /// Removes snapshots of records that are gone, durably: one that came back would be taken
    /// for one of the records that were appended in their place.
    fn remove_snapshots(&mut self, is_gone: impl Fn(Offset) -> bool) -> Result<(), LogError> {
        for &offset in self.snapshots.iter().filter(|offset| is_gone(**offset)) {
            self.folder.volume.remove_file(&self.folder.path(offset, folder::SNAPSHOT))?;
        }
        self.snapshots.retain(|offset| !is_gone(*offset));
        // Older ones may have been removed without a sync, so this is done in any case.
        self.folder.volume.sync_folder(&self.folder.dir, SyncKind::TruncateFolder)?;
        Ok(())
    }

    /// Removes all records, durably; the next one will have `offset`. For
    /// `lower_recovery_point` see [`truncate_to`](Self::truncate_to); here it is called with 0.
    ///
    /// # Errors
    /// The owner's (nothing has changed then), or the disk's (the log has failed then).
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: Offset,
        lower_recovery_point: &mut LowerRecoveryPoint<'_>,
    ) -> Result<(), LogError> {
        self.check()?;
        if self.flushed_offset > Offset::ZERO {
            lower_recovery_point(Offset::ZERO)?;
        }
        self.truncations += 1;
        self.start_at(offset).map_err(|error| self.fail(error))
    }

    fn start_at(&mut self, offset: Offset) -> Result<(), LogError> {
        // Should the epochs outlive the records, a log that starts elsewhere would take them
        // for its own; should the records outlive the epochs, opening finds the epochs in them.
        self.epochs.clear();
        if let Some(epochs) = self.epochs.unwritten() {
            epochs.write()?;
        }
        self.remove_snapshots(|_| true)?;
        let now_ms = self.active().created_ms();
        self.active_mut().close();
        for segment in self.segments.iter().rev() {
            self.folder.remove_segment(segment.base_offset())?;
        }
        let segment = Segment::begin(&self.folder, offset, now_ms)?;
        self.segments = vec![segment];
        self.log_start_offset = offset;
        self.flushed_offset = offset;
        self.producers.clear();
        self.bytes_since_snapshot = 0;
        Ok(())
    }
}

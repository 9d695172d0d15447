//! Ending a segment, and ending a log.

use vltava_wire::Offset;

use super::Log;
use crate::disk::{DiskError, SyncKind};
use crate::error::LogError;
use crate::folder;
use crate::producers::snapshot;
use crate::segment::Segment;

impl Log {
    /// Makes a new segment that starts at `base_offset`. Everything before is durable first.
    /// May be tried again after an error that is no failed fsync.
    pub(super) fn roll(&mut self, base_offset: Offset, now_ms: i64) -> Result<(), DiskError> {
        let end_offset = self.log_end_offset();
        self.sync_all(SyncKind::SegmentRoll)?;
        self.write_snapshot(end_offset)?;
        let segment = Segment::begin(&self.folder, base_offset, now_ms)?;
        self.active_mut().retire();
        self.segments.push(segment);
        self.flushed_offset = end_offset;
        Ok(())
    }

    /// Makes records, indexes and leader epochs durable.
    fn sync_all(&mut self, kind: SyncKind) -> Result<(), DiskError> {
        if let Some(epochs) = self.epochs.unwritten() {
            epochs.write()?;
        }
        let folder = &self.folder;
        let active = self.segments.last_mut().expect("a log has a segment");
        active.sync(folder, kind)?;
        active.seal(folder)
    }

    fn write_snapshot(&mut self, offset: Offset) -> Result<(), DiskError> {
        let path = self.folder.path(offset, folder::SNAPSHOT);
        let bytes = snapshot::encode(&self.producers);
        self.folder.volume.write_file(&path, &bytes, Some(SyncKind::ProducerSnapshot))?;
        self.bytes_since_snapshot = 0;
        self.keep_snapshot(offset);
        Ok(())
    }

    /// Notes the newest snapshot, and removes those that are not needed any more.
    pub(super) fn keep_snapshot(&mut self, newest: Offset) {
        self.snapshots.retain(|&offset| offset < newest);
        self.snapshots.push(newest);
        self.prune_snapshots();
    }

    /// Removes snapshots but the newest one and those at the start of a segment: these let the
    /// log be truncated to it without replaying all of it, and know of records before it that
    /// are deleted.
    pub(crate) fn prune_snapshots(&mut self) {
        let (all, segments) = (std::mem::take(&mut self.snapshots), &self.segments);
        let is_needed = |index: usize| {
            let (offset, Some(&next)) = (all[index], all.get(index + 1)) else { return true };
            // There may be a gap before a segment, so the snapshot may be older than its start.
            let at = segments.partition_point(|segment| segment.base_offset() < offset);
            let is_at_end_before = at == 0 || segments[at - 1].next_offset() <= offset;
            is_at_end_before && segments.get(at).is_some_and(|s| s.base_offset() < next)
        };
        for (index, &offset) in all.iter().enumerate() {
            if is_needed(index) {
                self.snapshots.push(offset);
            } else {
                // One that stays by failure is removed when the log is opened or truncated.
                _ = self.folder.volume.remove_file(&self.folder.path(offset, folder::SNAPSHOT));
            }
        }
    }

    /// Flushes, writes indexes and a snapshot of the producers, so that the next open can be
    /// clean. Returns the log's end, which is its recovery point.
    ///
    /// # Errors
    /// The disk's; the next open must not be clean then.
    pub fn close(mut self) -> Result<Offset, LogError> {
        self.check()?;
        let end_offset = self.log_end_offset();
        self.sync_all(SyncKind::LogFlush)?;
        if self.snapshots.last() != Some(&end_offset) || self.bytes_since_snapshot > 0 {
            self.write_snapshot(end_offset)?;
        }
        self.folder.volume.sync_folder(&self.folder.dir, SyncKind::SegmentFolder)?;
        Ok(end_offset)
    }

    /// Makes all of it durable, with a snapshot of the producers as they are known now at the start
    /// of a segment, where it stays for as long as that does. The log goes on.
    ///
    /// # Errors
    /// The disk's; the log has failed if an fsync did.
    pub(crate) fn persist(&mut self, now_ms: i64) -> Result<(), LogError> {
        let end_offset = self.log_end_offset();
        let persisted = match self.active().is_empty() {
            true => self.persist_empty(end_offset),
            false => self.roll(end_offset, now_ms),
        };
        persisted.map_err(|error| self.fail_if_sync(error))
    }

    fn persist_empty(&mut self, end_offset: Offset) -> Result<(), DiskError> {
        if let Some(epochs) = self.epochs.unwritten() {
            epochs.write()?;
        }
        self.write_snapshot(end_offset)?;
        self.folder.volume.sync_folder(&self.folder.dir, SyncKind::SegmentFolder)?;
        self.flushed_offset = end_offset;
        Ok(())
    }

    /// Removes the log with its folder and all that is in it.
    ///
    /// # Errors
    /// The disk's.
    pub fn delete(self) -> Result<(), LogError> {
        let folder = &self.folder;
        for entry in folder.volume.list(&folder.dir)? {
            if !entry.is_folder {
                folder.volume.remove_file(&folder.dir.join(&entry.name))?;
            }
        }
        folder.volume.remove_folder(&folder.dir)?;
        Ok(())
    }
}

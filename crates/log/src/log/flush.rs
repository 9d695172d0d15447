//! Flushing: many appends made durable by one fsync, which is done without the log's lock.

use vltava_wire::Offset;

use super::Log;
use crate::disk::{DiskError, OpenFile, SyncKind};
use crate::epochs::EpochWrite;
use crate::error::LogError;
use crate::folder;
use crate::producers::snapshot;

/// An fsync to be done without the log's lock. See [`Log::begin_flush`].
#[derive(Debug)]
#[must_use = "nothing is flushed until the ticket is synced and completed"]
pub struct FlushTicket {
    file: OpenFile,
    epochs: Option<EpochWrite>,
    end_offset: Offset,
    truncations: u64,
}

impl FlushTicket {
    /// Does the fsync; takes as long as the disk takes. Hand what it returns to
    /// [`Log::complete_flush`].
    pub fn sync(self) -> FlushResult {
        let written = self.epochs.map_or(Ok(()), |epochs| epochs.write());
        let result = self.file.sync(SyncKind::LogFlush).and(written);
        FlushResult { result, end_offset: self.end_offset, truncations: self.truncations }
    }

    /// Up to where the log is durable once this is done.
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }
}

/// What became of a flush.
#[derive(Debug)]
#[must_use = "the log does not know of the flush until it is told"]
pub struct FlushResult {
    result: Result<(), DiskError>,
    end_offset: Offset,
    truncations: u64,
}

impl FlushResult {
    /// Why it failed, if it did.
    pub fn error(&self) -> Option<&DiskError> {
        self.result.as_ref().err()
    }
}

impl Log {
    /// Starts a flush of all that was appended: `None` if that is durable already. While the
    /// ticket syncs, appends go on, and the next ticket takes what they wrote.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub fn begin_flush(&mut self) -> Result<Option<FlushTicket>, LogError> {
        self.check()?;
        let end_offset = self.log_end_offset();
        if end_offset == self.flushed_offset {
            return Ok(None);
        }
        Ok(Some(FlushTicket {
            file: self.active().file(&self.folder)?,
            epochs: self.epochs.unwritten(),
            end_offset,
            truncations: self.truncations,
        }))
    }

    /// Ends a flush; returns up to where the log is durable.
    ///
    /// # Errors
    /// If an fsync failed: the log has failed with it, for good. [`LogError::Disk`] without
    /// [`Log::failure`] is a disk too full for the list of leader epochs: a later flush may do.
    pub fn complete_flush(&mut self, result: FlushResult) -> Result<Offset, LogError> {
        let FlushResult { result, end_offset, truncations } = result;
        result.map_err(|error| self.fail_if_sync(error))?;
        self.check()?;
        if truncations == self.truncations {
            self.flushed_offset = self.flushed_offset.max(end_offset);
        }
        if self.bytes_since_snapshot >= self.config.producer_snapshot_interval_bytes {
            let taken = self.snapshot_between_segments();
            taken.map_err(|error| self.fail_if_sync(error))?;
        }
        Ok(self.flushed_offset)
    }

    /// Flushes here and now.
    ///
    /// # Errors
    /// As [`complete_flush`](Self::complete_flush).
    pub fn flush(&mut self) -> Result<Offset, LogError> {
        match self.begin_flush()? {
            Some(ticket) => self.complete_flush(ticket.sync()),
            None => Ok(self.flushed_offset),
        }
    }

    /// Takes a snapshot of the producers so that opening after an unclean stop has less to
    /// replay. It is not synced: without it, or torn, there is only more to replay. Fails only if
    /// an fsync does.
    fn snapshot_between_segments(&mut self) -> Result<(), DiskError> {
        let active = self.segments.last_mut().expect("a log has a segment");
        match active.seal_aborted(&self.folder) {
            Err(error) if error.is_sync_failure() => return Err(error),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        let end_offset = self.log_end_offset();
        let path = self.folder.path(end_offset, folder::SNAPSHOT);
        let bytes = snapshot::encode(&self.producers);
        self.bytes_since_snapshot = 0;
        if self.folder.volume.write_file(&path, &bytes, None).is_ok() {
            self.keep_snapshot(end_offset);
        }
        Ok(())
    }
}

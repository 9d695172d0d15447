//! One partition's log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use vltava_wire::{LeaderEpoch, Offset};

use crate::config::LogConfig;
use crate::disk::{Disk, DiskError, OpenFile};
use crate::epochs::EpochEntry;
use crate::error::{AppendError, LogError, ReadError};
use crate::producers::ProducerEntry;

/// What is known from outside when a log is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Everything below was durable once: from the recovery-point checkpoint, or 0.
    pub recovery_point: Offset,
    /// Whether the log was closed before ([`Log::close`]): nothing is scanned then.
    pub clean_shutdown: bool,
    /// From the log-start checkpoint, or 0.
    pub log_start_offset: Offset,
    /// Now, in ms since 1970.
    pub now_ms: i64,
}

/// What opening a log found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments there are.
    pub segments: usize,
    /// Bytes of records whose CRC was checked.
    pub scanned_bytes: u64,
    /// Bytes cut off as they were not whole, valid batches; all above the recovery point.
    pub truncated_bytes: u64,
    /// Segments removed with them.
    pub segments_removed: usize,
    /// Segments whose indexes were made anew.
    pub indexes_rebuilt: usize,
    /// Bytes of batches whose headers were read to know the producers.
    pub producer_replay_bytes: u64,
}

/// Who appends as the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: sequences are checked, control batches refused.
    #[default]
    Client,
    /// A group or transaction coordinator on this broker.
    Coordinator,
    /// The leader of the metadata quorum.
    RaftLeader,
}

/// With what a leader appends.
#[derive(Clone, Copy, Debug)]
pub struct AppendOptions {
    /// The leader's epoch, set in each batch.
    pub leader_epoch: LeaderEpoch,
    /// Who appends.
    pub origin: AppendOrigin,
    /// Now, in ms since 1970.
    pub now_ms: i64,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The time given to the records (ms since 1970), where the topic's timestamps are the
    /// broker's.
    pub log_append_time: Option<i64>,
    /// The log's first offset.
    pub log_start_offset: Offset,
    /// Bytes appended; 0 for a duplicate.
    pub bytes: usize,
    /// The batch was in the log already (an idempotent producer's retry): nothing was appended,
    /// and the offsets are those it has.
    pub is_duplicate: bool,
}

/// Bytes of whole batches in a file. Reading it needs no lock, and works also if the segment is
/// deleted meanwhile.
#[derive(Clone, Debug)]
pub struct Slice {
    file: OpenFile,
    position: u64,
    len: usize,
    base_offset: Offset,
}

impl Slice {
    /// Where it starts in the file, in bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes; never 0.
    #[allow(clippy::len_without_is_empty, reason = "a slice is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The base offset of the first batch; may be less than what was asked for.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// The operating system's file, for `sendfile`; `None` on a disk that has none.
    pub fn as_file(&self) -> Option<&std::fs::File> {
        self.file.as_file()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// The disk's; also if the file is shorter than it was (it was truncated meanwhile).
    pub fn read(&self) -> Result<Bytes, DiskError> {
        unimplemented!()
    }
}

/// The offset of a record, with its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp, in ms since 1970.
    pub timestamp: i64,
    /// The record's offset.
    pub offset: Offset,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
}

/// What retention deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Segments deleted.
    pub segments: usize,
    /// Their records' bytes.
    pub bytes: u64,
}

/// An fsync to be done without the log's lock. See [`Log::begin_flush`].
#[derive(Debug)]
#[must_use = "nothing is flushed until the ticket is synced and completed"]
pub struct FlushTicket {}

impl FlushTicket {
    /// Does the fsync; takes as long as the disk takes. Hand what it returns to
    /// [`Log::complete_flush`].
    pub fn sync(self) -> FlushResult {
        unimplemented!()
    }
}

/// What became of a flush.
#[derive(Debug)]
#[must_use = "the log does not know of the flush until it is told"]
pub struct FlushResult {}

/// One partition's log: a folder of segments.
///
/// Not synchronised: the owner holds a lock around it. Only [`FlushTicket::sync`] and
/// [`Slice::read`] take long, and both are done without it.
#[derive(Debug)]
pub struct Log {}

impl Log {
    /// Opens the log in `dir`, or makes an empty one that starts at `log_start_offset`.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] and [`LogError::RecordsMissing`] if what was durable is not there
    /// any more; [`LogError::Disk`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        config: LogConfig,
        options: OpenOptions,
    ) -> Result<(Self, RecoveryReport), LogError> {
        let _ = (disk, dir, config, options);
        unimplemented!()
    }

    /// The log's folder.
    pub fn dir(&self) -> &Path {
        unimplemented!()
    }

    /// The settings.
    pub fn config(&self) -> &LogConfig {
        unimplemented!()
    }

    /// Changes the settings; they hold from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        let _ = config;
        unimplemented!()
    }

    /// Tells the log that its folder was given another name (before it is deleted, for one).
    pub fn set_dir(&mut self, dir: PathBuf) {
        let _ = dir;
        unimplemented!()
    }

    /// The log's first offset.
    pub fn log_start_offset(&self) -> Offset {
        unimplemented!()
    }

    /// The offset after the log's last record.
    pub fn log_end_offset(&self) -> Offset {
        unimplemented!()
    }

    /// Everything below is durable. The owner persists it as the recovery point now and then.
    pub fn flushed_offset(&self) -> Offset {
        unimplemented!()
    }

    /// Bytes of records.
    pub fn size(&self) -> u64 {
        unimplemented!()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        unimplemented!()
    }

    /// Whether the log has failed; if so, with what.
    pub fn failure(&self) -> Option<&str> {
        unimplemented!()
    }

    /// Checks `batches`, sets their offsets and leader epoch in place, and appends them with one
    /// write.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append_as_leader(
        &mut self,
        batches: &mut [u8],
        options: AppendOptions,
    ) -> Result<AppendInfo, AppendError> {
        let _ = (batches, options);
        unimplemented!()
    }

    /// Appends what a leader sent, byte for byte. A batch that is cut off at the end of
    /// `batches` is left out, and so are batches of epochs beyond `leader_epoch` (the leader's,
    /// as the fetch that brought them said).
    ///
    /// `None` if nothing was left to append.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append_as_follower(
        &mut self,
        batches: &[u8],
        leader_epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Option<AppendInfo>, AppendError> {
        let _ = (batches, leader_epoch, now_ms);
        unimplemented!()
    }

    /// Starts a flush of all that was appended: `None` if that is durable already. While the
    /// ticket syncs, appends go on, and the next ticket takes what they wrote.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub fn begin_flush(&mut self) -> Result<Option<FlushTicket>, LogError> {
        unimplemented!()
    }

    /// Ends a flush; returns up to where the log is durable.
    ///
    /// # Errors
    /// If the fsync failed: the log has failed with it, for good.
    pub fn complete_flush(&mut self, result: FlushResult) -> Result<Offset, LogError> {
        let _ = result;
        unimplemented!()
    }

    /// Flushes here and now.
    ///
    /// # Errors
    /// As [`complete_flush`](Self::complete_flush).
    pub fn flush(&mut self) -> Result<Offset, LogError> {
        unimplemented!()
    }

    /// Finds whole batches from the one that holds `offset` on: at most `max_bytes`, all below
    /// `upper_bound`, in one segment. If the first one is larger than `max_bytes` it is returned
    /// alone if `min_one_batch`. `None`: there is nothing (yet) to read there.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] outside of the log's start and end.
    pub fn locate(
        &self,
        offset: Offset,
        max_bytes: usize,
        upper_bound: Offset,
        min_one_batch: bool,
    ) -> Result<Option<Slice>, ReadError> {
        let _ = (offset, max_bytes, upper_bound, min_one_batch);
        unimplemented!()
    }

    /// The first record whose timestamp is `timestamp` (ms since 1970) or later.
    ///
    /// # Errors
    /// The log has failed, or is corrupt there.
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
    ) -> Result<Option<TimestampOffset>, LogError> {
        let _ = timestamp;
        unimplemented!()
    }

    /// The first record with the log's largest timestamp (KIP-734).
    ///
    /// # Errors
    /// The log has failed, or is corrupt there.
    pub fn max_timestamp(&self) -> Result<Option<TimestampOffset>, LogError> {
        unimplemented!()
    }

    /// The largest epoch not above `epoch` that has records, and where it ends (KIP-101); `None`
    /// if the log knows too little to say.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let _ = epoch;
        unimplemented!()
    }

    /// The latest leader epoch.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        unimplemented!()
    }

    /// The leader epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let _ = offset;
        unimplemented!()
    }

    /// All leader epochs, the oldest first.
    pub fn epochs(&self) -> &[EpochEntry] {
        unimplemented!()
    }

    /// Notes that `epoch` starts at the log's end; a new leader does this before it appends.
    /// Durable with the next flush.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub fn begin_leader_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        let _ = epoch;
        unimplemented!()
    }

    /// Removes all records from `offset` on, durably. If that is below
    /// [`flushed_offset`](Self::flushed_offset), `lower_recovery_point` is called first and must
    /// persist that recovery point: else the log would be found shorter than its recovery point.
    ///
    /// # Errors
    /// The owner's or the disk's; the log has failed then.
    pub fn truncate_to(
        &mut self,
        offset: Offset,
        lower_recovery_point: &mut dyn FnMut(Offset) -> Result<(), DiskError>,
    ) -> Result<(), LogError> {
        let _ = (offset, lower_recovery_point);
        unimplemented!()
    }

    /// Removes all records, durably; the next one will have `offset`. For
    /// `lower_recovery_point` see [`truncate_to`](Self::truncate_to).
    ///
    /// # Errors
    /// The owner's or the disk's; the log has failed then.
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: Offset,
        lower_recovery_point: &mut dyn FnMut(Offset) -> Result<(), DiskError>,
    ) -> Result<(), LogError> {
        let _ = (offset, lower_recovery_point);
        unimplemented!()
    }

    /// Makes `offset` the log's first one (DeleteRecords, or the leader's log start); says
    /// whether that changed anything. Segments below go with the next
    /// [`delete_old_segments`](Self::delete_old_segments). The owner persists the log start.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] beyond the log's end; [`LogError::Failed`].
    pub fn advance_log_start_offset(&mut self, offset: Offset) -> Result<bool, LogError> {
        let _ = offset;
        unimplemented!()
    }

    /// Deletes segments that retention by time or size, or the log's start, gives up; never one
    /// with records at or above `deletable_up_to` (the high watermark).
    ///
    /// # Errors
    /// The disk's.
    pub fn delete_old_segments(
        &mut self,
        now_ms: i64,
        deletable_up_to: Offset,
    ) -> Result<Retention, LogError> {
        let _ = (now_ms, deletable_up_to);
        unimplemented!()
    }

    /// The producers that are known.
    pub fn producers(&self) -> impl Iterator<Item = ProducerEntry> + '_ {
        std::iter::empty()
    }

    /// Forgets the producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now_ms: i64) {
        let _ = now_ms;
        unimplemented!()
    }

    /// Flushes, writes indexes and a snapshot of the producers, so that the next open can be
    /// clean. Returns the log's end, which is its recovery point.
    ///
    /// # Errors
    /// The disk's; the next open must not be clean then.
    pub fn close(self) -> Result<Offset, LogError> {
        unimplemented!()
    }

    /// Removes the log with its folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn delete(self) -> Result<(), LogError> {
        unimplemented!()
    }
}

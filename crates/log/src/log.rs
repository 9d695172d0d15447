//! One partition's log: what it is, and what it says about itself.

mod append;
mod flush;
mod open;
mod read;
mod retention;
mod roll;
mod transactions;
mod truncate;

use std::path::{Path, PathBuf};

use vltava_wire::{LeaderEpoch, Offset};

use crate::config::LogConfig;
use crate::disk::{DiskError, SyncKind};
use crate::epochs::{self, EpochEntry, Epochs};
use crate::error::LogError;
use crate::folder::Folder;
use crate::producers::{ProducerEntry, Producers};
use crate::scan::ScanError;
use crate::segment::Segment;

pub use append::{AppendInfo, AppendOptions, AppendOrigin};
pub use flush::{FlushResult, FlushTicket};
pub use open::{OpenOptions, RecoveryReport};
pub use read::{Slice, TimedBatch, TimestampOffset};
pub use retention::Retention;
pub use truncate::LowerRecoveryPoint;

/// One partition's log: a folder of segments.
///
/// Not synchronised: the owner holds a lock around it. Only [`FlushTicket::sync`] and
/// [`Slice::read`] take long, and both are done without it.
#[derive(Debug)]
pub struct Log {
    pub(crate) folder: Folder,
    config: LogConfig,
    /// Never empty; the last one grows. Each starts at or after the end of the one before it.
    pub(crate) segments: Vec<Segment>,
    /// At most the end; in or before the first segment's last record, or at the end.
    log_start_offset: Offset,
    /// At most the end, and never behind the start of the last segment: a segment is synced
    /// before another one follows it. Epochs of records below it are in their file.
    flushed_offset: Offset,
    /// How often records were removed from the end. A flush that began before says nothing
    /// about the records that came after.
    pub(crate) truncations: u64,
    epochs: Epochs,
    producers: Producers,
    /// Offsets of the snapshots of the producers in the folder, sorted; none beyond the end.
    snapshots: Vec<Offset>,
    /// Bytes appended since the last snapshot.
    bytes_since_snapshot: u64,
    failure: Option<String>,
}

impl Log {
    /// The log's folder.
    pub fn dir(&self) -> &Path {
        &self.folder.dir
    }

    /// The settings.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the settings; they hold from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// Tells the log that its folder was given another name (before it is deleted, for one).
    pub fn set_dir(&mut self, dir: PathBuf) {
        self.epochs.set_path(dir.join(epochs::FILE));
        self.folder.dir = dir;
    }

    /// Gives the folder another name, durably.
    pub(crate) fn rename_folder(&mut self, dir: PathBuf, kind: SyncKind) -> Result<(), DiskError> {
        self.folder.volume.rename(&self.folder.dir, &dir)?;
        let parent = dir.parent().unwrap_or(Path::new(".")).to_owned();
        self.set_dir(dir);
        self.folder.volume.sync_folder(&parent, kind)
    }

    /// The log's first offset.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// The offset after the log's last record.
    pub fn log_end_offset(&self) -> Offset {
        self.active().next_offset()
    }

    /// Everything below is durable. The owner persists it as the recovery point now and then.
    pub fn flushed_offset(&self) -> Offset {
        self.flushed_offset
    }

    /// Bytes of records.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Whether so many bytes more fit the last segment by its size; if not, appending them syncs
    /// it and makes another one, which takes as long as the disk takes.
    pub fn fits_segment(&self, bytes: usize) -> bool {
        let size = self.active().size().saturating_add(bytes as u64);
        size <= u64::from(self.config.segment_bytes)
    }

    /// Whether the log has failed; if so, with what.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The largest epoch not above `epoch` that has records, and where it ends (KIP-101); `None`
    /// if the log knows too little to say.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for(epoch, self.log_end_offset())
    }

    /// The latest leader epoch.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The leader epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.at(offset)
    }

    /// All leader epochs, the oldest first.
    pub fn epochs(&self) -> &[EpochEntry] {
        self.epochs.entries()
    }

    /// Notes that `epoch` starts at the log's end; a new leader does this before it appends. An
    /// epoch that is not newer than the latest changes nothing. Durable with the next flush of
    /// records; without records an epoch means nothing.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub fn begin_leader_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.check()?;
        if self.latest_epoch().is_none_or(|latest| latest < epoch) {
            self.epochs.assign(epoch, self.log_end_offset());
        }
        Ok(())
    }

    /// The producers that are known, in no order.
    pub fn producers(&self) -> impl Iterator<Item = &ProducerEntry> + '_ {
        self.producers.entries()
    }

    /// Forgets the producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now_ms: i64) {
        self.producers.expire(now_ms, self.config.producer_id_expiration_ms);
    }

    /// Takes over what another log knows of the same records: where they start, leader epochs and
    /// producers, of which records may tell no more that are deleted.
    pub(crate) fn adopt(&mut self, other: &Self) {
        self.log_start_offset = other.log_start_offset;
        self.epochs.adopt(&other.epochs);
        self.producers = other.producers.clone();
    }

    /// Where the first segment starts, at or before the log's first offset.
    pub(crate) fn first_base_offset(&self) -> Offset {
        self.segments[0].base_offset()
    }

    fn active(&self) -> &Segment {
        self.segments.last().expect("a log has a segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has a segment")
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        let Some(reason) = &self.failure else { return Ok(()) };
        Err(LogError::Failed { dir: self.folder.dir.clone(), reason: reason.clone() })
    }

    /// Marks the log as failed and returns the error.
    pub(crate) fn fail(&mut self, error: impl Into<LogError>) -> LogError {
        let error = error.into();
        if self.failure.is_none() {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            self.failure = Some(format!("{error}{cause}"));
        }
        error
    }

    /// Marks the log as failed if an fsync failed; other errors leave it as it was.
    fn fail_if_sync(&mut self, error: DiskError) -> LogError {
        if error.is_sync_failure() { self.fail(error) } else { error.into() }
    }
}

// The owner's lock may be of either kind, and flush threads share the log.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Log>();
    is_shared::<FlushTicket>();
    is_shared::<Slice>();
};

/// What a failed walk over a segment's file means, where its records must be right.
pub(crate) fn corrupt(folder: &Folder, base_offset: Offset, error: ScanError) -> LogError {
    match error {
        ScanError::Disk(error) => error.into(),
        ScanError::Invalid { position, reason } => {
            let file = folder.path(base_offset, crate::folder::LOG);
            LogError::Corrupt { file, position, reason }
        }
    }
}

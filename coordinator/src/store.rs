//! The metadata log and its snapshots on disk: everything that the driver persists.
//!
//! *Invariants:* a snapshot is durable before the log that it replaces is dropped, and the log's
//! start is durable before older snapshots are deleted. So at every moment some snapshot and the
//! log after it hold all that is committed. A recovery point on disk is never beyond what was
//! flushed.

mod waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use vltava_log::checkpoint::{self as small_files, CheckpointError as SmallFileError, Offsets};
use vltava_log::disk::{self, OpenMode};
use vltava_log::{
    AppendError, AppendOptions, AppendOrigin, Disk, DiskError, FlushResult, FlushTicket, Log,
    LogConfig, LogError, OpenOptions, ReadError, SmallFile, Verification,
};
use vltava_metadata::{Checkpoint, CheckpointError, MetadataRecord, SnapshotId, checkpoint};
use vltava_quorum::{ControlRecord, LogShape, NotContiguous, QuorumState, rpc};
use vltava_wire::batch::{BatchBuilder, BatchError};
use vltava_wire::{LeaderEpoch, Offset, PartitionId, Str};

use crate::clock::Clock;
use crate::folder::Folder;
use crate::quorum_state::{self, QuorumStateError};
pub(crate) use waiting::WaitingDisk;

/// Bytes that are read at once while the log is walked over.
const WALK_BYTES: usize = 1024 * 1024;

/// The largest batch, in bytes: the largest decision and the room that its framing takes.
const BATCH_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The largest snapshot that is fetched, in bytes. It is held in memory until it is whole.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The most bytes of a snapshot in one answer.
const SNAPSHOT_PIECE_MAX: u32 = 4 * 1024 * 1024;

/// Bytes that may be flushed before the recovery point is written down: what a start has to scan.
const RECOVERY_POINT_BYTES: u64 = 4 * 1024 * 1024;

/// Why something could not be persisted or read back. A coordinator ends with any of them.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be written or read.
    #[error("a file of the metadata log cannot be used")]
    Disk(#[source] DiskError),
    /// A small file could not be written or read.
    #[error("a checkpoint of the metadata log cannot be used")]
    SmallFile(#[source] SmallFileError),
    /// The log cannot be opened, flushed or cut.
    #[error("the metadata log cannot be used")]
    Log(#[source] LogError),
    /// The log took no batch.
    #[error("the metadata log cannot be appended to")]
    Append(#[source] AppendError),
    /// The log cannot be read.
    #[error("the metadata log cannot be read")]
    Read(#[source] ReadError),
    /// A batch in the log is damaged.
    #[error("the metadata log holds a batch that makes no sense")]
    Batch(#[source] BatchError),
    /// The log has a gap.
    #[error("the metadata log has a gap")]
    Gap(#[source] NotContiguous),
    /// The vote is not known.
    #[error("the quorum's state cannot be read")]
    QuorumState(#[source] QuorumStateError),
    /// A snapshot that should be there cannot be read.
    #[error("the snapshot {id} cannot be read")]
    Snapshot {
        /// Which.
        id: SnapshotId,
        /// Why.
        source: CheckpointError,
    },
    /// The log does not start where any snapshot ends.
    #[error("the metadata log starts at {0}, and no snapshot holds what was before")]
    NoSnapshot(Offset),
    /// Part of a snapshot came that does not follow on the one before, or is too much.
    #[error("a snapshot came in pieces that do not fit together")]
    SnapshotPieces,
    /// An append went elsewhere than the quorum's machine says.
    #[error("the quorum appends at {expected}, the log ends at {end}")]
    Offset {
        /// Where the machine says.
        expected: Offset,
        /// Where the log ends.
        end: Offset,
    },
}

/// The log, its snapshots, and the small files beside them.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    cluster_id: Str,
    log: Log,
    /// Snapshots on disk, with their sizes in bytes.
    snapshots: BTreeMap<SnapshotId, u64>,
    /// A snapshot that is being fetched.
    fetched: Option<(SnapshotId, BytesMut)>,
    /// The recovery point as it is on disk, and how many bytes were flushed since.
    recovery_point: Offset,
    unrecorded_bytes: u64,
}

/// What a node starts from.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) store: Store,
    pub(crate) shape: LogShape,
    pub(crate) state: QuorumState,
    /// The latest snapshot, decoded; none in a folder that never had one.
    pub(crate) latest: Option<(SnapshotId, Checkpoint)>,
}

/// Reading a part of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SnapshotPart {
    Bytes { size: u64, bytes: Bytes },
    NotFound,
    OutOfRange { size: u64 },
}

/// A snapshot's id as the quorum names it.
pub(crate) fn quorum_id(id: SnapshotId) -> vltava_quorum::SnapshotId {
    vltava_quorum::SnapshotId { end_offset: id.end_offset, epoch: id.epoch }
}

/// A snapshot's id as files name it.
pub(crate) fn file_id(id: vltava_quorum::SnapshotId) -> SnapshotId {
    SnapshotId { end_offset: id.end_offset, epoch: id.epoch }
}

fn partition() -> (String, PartitionId) {
    (rpc::METADATA_TOPIC.as_str().to_owned(), PartitionId(0))
}

impl Store {
    /// Opens what is in the folder: snapshots, log, vote.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Folder,
        config: LogConfig,
    ) -> Result<Found, StoreError> {
        let snapshots = list_snapshots(&disk, folder)?;
        let known = |name| -> Result<Option<Offset>, StoreError> {
            let offsets = small_files::read_offsets(&disk, &folder.log, name);
            Ok(offsets.map_err(StoreError::SmallFile)?.get(&partition()).copied())
        };
        let recovery_point = known(small_files::RECOVERY_POINTS)?.unwrap_or(Offset::ZERO);
        let options = OpenOptions {
            recovery_point,
            clean_shutdown: false,
            log_start_offset: known(small_files::LOG_STARTS)?.unwrap_or(Offset::ZERO),
            now_ms: Clock::wall_ms(),
        };
        let config = LogConfig {
            max_message_bytes: BATCH_BYTES_MAX,
            timestamp_after_max_ms: i64::MAX,
            ..config
        };
        let (log, report) = Log::open(Arc::clone(&disk), folder.log.clone(), config, options)
            .map_err(StoreError::Log)?;
        if report.truncated_bytes > 0 {
            tracing::info!(bytes = report.truncated_bytes, "cut a torn tail off the metadata log");
        }
        let mut store = Self {
            disk,
            folder: folder.log.clone(),
            cluster_id: folder.cluster_id.clone(),
            log,
            snapshots,
            fetched: None,
            recovery_point,
            unrecorded_bytes: 0,
        };
        let latest = store.latest_snapshot()?;
        let shape = store.shape(latest.as_ref())?;
        let state = store.read_quorum_state()?;
        Ok(Found { store, shape, state, latest })
    }

    fn latest_snapshot(&self) -> Result<Option<(SnapshotId, Checkpoint)>, StoreError> {
        let Some(id) = self.snapshots.keys().next_back().copied() else { return Ok(None) };
        self.load_snapshot(id).map(|checkpoint| Some((id, checkpoint)))
    }

    /// Reads a whole snapshot.
    pub(crate) fn load_snapshot(&self, id: SnapshotId) -> Result<Checkpoint, StoreError> {
        let path = self.folder.join(id.file_name());
        let bytes = disk::read_file(&self.disk, &path).map_err(StoreError::Disk)?;
        checkpoint::decode(id, self.cluster_id.clone(), &bytes.unwrap_or_default())
            .map_err(|source| StoreError::Snapshot { id, source })
    }

    /// The shape of what is on disk. A log that ends before the latest snapshot does is dropped.
    fn shape(&mut self, latest: Option<&(SnapshotId, Checkpoint)>) -> Result<LogShape, StoreError> {
        let mut shape = self.walk()?;
        if let Some((id, checkpoint)) = latest {
            if shape.is_behind(quorum_id(*id)) {
                self.start_log_at(id.end_offset)?;
                return Ok(from_snapshot(*id, checkpoint));
            }
            shape.restore_snapshot(quorum_id(*id));
        }
        Ok(shape)
    }

    /// Walks over the log from the snapshot that it starts at.
    fn walk(&self) -> Result<LogShape, StoreError> {
        let start = self.log.log_start_offset();
        let first = self.snapshots.keys().copied().find(|id| id.end_offset == start);
        let mut shape = match first {
            Some(id) => from_snapshot(id, &self.load_snapshot(id)?),
            None if start == Offset::ZERO => LogShape::empty(),
            // A crash may have left a log that a later snapshot has replaced.
            None if self.snapshots.keys().any(|id| id.end_offset > self.log.log_end_offset()) => {
                return Ok(LogShape::empty());
            }
            None => return Err(StoreError::NoSnapshot(start)),
        };
        let mut next = start;
        while next < self.log.log_end_offset() {
            let bytes = self.read(next, WALK_BYTES)?;
            let records = rpc::records_from_bytes(bytes).map_err(StoreError::Batch)?;
            let Some(last) = records.batches.last() else { break };
            next = last.last_offset.next();
            for batch in &records.batches {
                shape.restore(batch).map_err(StoreError::Gap)?;
            }
        }
        Ok(shape)
    }

    fn read_quorum_state(&self) -> Result<QuorumState, StoreError> {
        let path = self.folder.join(quorum_state::FILE_NAME);
        match disk::read_file(&self.disk, &path).map_err(StoreError::Disk)? {
            Some(content) => quorum_state::decode(&content).map_err(StoreError::QuorumState),
            None => Ok(QuorumState::default()),
        }
    }

    /// Writes the vote; durable when this returns.
    pub(crate) fn write_quorum_state(&self, state: &QuorumState) -> Result<(), StoreError> {
        let path = self.folder.join(quorum_state::FILE_NAME);
        let bytes = quorum_state::encode(state);
        disk::replace_file(&self.disk, &path, &bytes, SmallFile::QuorumState)
            .map_err(StoreError::Disk)
    }

    /// Whole batches from `offset` on: at most `max_bytes`, but one at least; none at the end.
    pub(crate) fn read(&self, offset: Offset, max_bytes: usize) -> Result<Bytes, StoreError> {
        let end = self.log.log_end_offset();
        let slice = self.log.locate(offset, max_bytes, end, true).map_err(StoreError::Read)?;
        slice.map_or(Ok(Bytes::new()), |slice| slice.read().map_err(StoreError::Disk))
    }

    /// The offset after the last record.
    pub(crate) fn end(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// Bytes of the log and its snapshots.
    pub(crate) fn size(&self) -> u64 {
        self.log.size() + self.snapshots.values().sum::<u64>()
    }

    /// Appends records as one batch. Returns its size in bytes.
    pub(crate) fn append(
        &mut self,
        base_offset: Offset,
        epoch: LeaderEpoch,
        records: &[MetadataRecord],
    ) -> Result<usize, StoreError> {
        let now = Clock::wall_ms();
        let batch = vltava_metadata::encode_batch(records, base_offset, epoch, now);
        self.append_batch(base_offset, epoch, batch)
    }

    /// Appends control records as one batch. Returns its size in bytes.
    pub(crate) fn append_control(
        &mut self,
        base_offset: Offset,
        epoch: LeaderEpoch,
        records: &[ControlRecord],
    ) -> Result<usize, StoreError> {
        let now = Clock::wall_ms();
        let mut builder = BatchBuilder::new(base_offset).partition_leader_epoch(epoch).control();
        for record in records {
            builder.append_control_record(now, &rpc::control_record_to_wire(record));
        }
        self.append_batch(base_offset, epoch, builder.build())
    }

    fn append_batch(
        &mut self,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
        mut batch: BytesMut,
    ) -> Result<usize, StoreError> {
        self.check_end(base_offset)?;
        let origin = AppendOrigin::RaftLeader;
        let options = AppendOptions {
            leader_epoch,
            origin,
            verification: Verification::default(),
            now_ms: Clock::wall_ms(),
        };
        let appended =
            self.log.append_as_leader(&mut batch, options).map_err(StoreError::Append)?;
        self.unrecorded_bytes += appended.bytes as u64;
        Ok(appended.bytes)
    }

    /// Appends batches as the leader sent them. Returns their size in bytes.
    pub(crate) fn append_fetched(
        &mut self,
        base_offset: Offset,
        epoch: LeaderEpoch,
        bytes: &[u8],
    ) -> Result<usize, StoreError> {
        self.check_end(base_offset)?;
        let appended = self
            .log
            .append_as_follower(bytes, epoch, Clock::wall_ms())
            .map_err(StoreError::Append)?;
        let bytes = appended.map_or(0, |appended| appended.bytes);
        self.unrecorded_bytes += bytes as u64;
        Ok(bytes)
    }

    fn check_end(&self, expected: Offset) -> Result<(), StoreError> {
        let end = self.end();
        if end == expected { Ok(()) } else { Err(StoreError::Offset { expected, end }) }
    }

    /// Removes the records from `to` on, durably.
    pub(crate) fn truncate(&mut self, to: Offset) -> Result<(), StoreError> {
        let Self { disk, folder, recovery_point, log, .. } = self;
        log.truncate_to(to, &mut |offset| {
            *recovery_point = offset;
            write_offset(disk, folder, small_files::RECOVERY_POINTS, offset)
        })
        .map_err(StoreError::Log)
    }

    /// Drops the log; the next record will have `offset`.
    fn start_log_at(&mut self, offset: Offset) -> Result<(), StoreError> {
        let Self { disk, folder, recovery_point, log, .. } = self;
        log.truncate_fully_and_start_at(offset, &mut |point| {
            *recovery_point = point;
            write_offset(disk, folder, small_files::RECOVERY_POINTS, point)
        })
        .map_err(StoreError::Log)?;
        self.record_start(offset)
    }

    fn record_start(&self, offset: Offset) -> Result<(), StoreError> {
        write_offset(&self.disk, &self.folder, small_files::LOG_STARTS, offset)
            .map_err(StoreError::Disk)
    }

    /// Starts a flush; `None` if all is durable.
    pub(crate) fn begin_flush(&mut self) -> Result<Option<FlushTicket>, StoreError> {
        self.log.begin_flush().map_err(StoreError::Log)
    }

    /// Ends a flush.
    pub(crate) fn complete_flush(&mut self, result: FlushResult) -> Result<(), StoreError> {
        let flushed = self.log.complete_flush(result).map_err(StoreError::Log)?;
        if self.unrecorded_bytes >= RECOVERY_POINT_BYTES {
            self.record_recovery_point(flushed)?;
        }
        Ok(())
    }

    fn record_recovery_point(&mut self, flushed: Offset) -> Result<(), StoreError> {
        if flushed > self.recovery_point {
            write_offset(&self.disk, &self.folder, small_files::RECOVERY_POINTS, flushed)
                .map_err(StoreError::Disk)?;
            self.recovery_point = flushed;
        }
        self.unrecorded_bytes = 0;
        Ok(())
    }

    /// Takes in a part of a snapshot that is being fetched.
    pub(crate) fn write_snapshot(
        &mut self,
        id: SnapshotId,
        position: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if position == 0 {
            self.fetched = Some((id, BytesMut::new()));
        }
        match &mut self.fetched {
            Some((fetching, whole))
                if *fetching == id
                    && whole.len() as u64 == position
                    && position + bytes.len() as u64 <= SNAPSHOT_BYTES_MAX =>
            {
                whole.extend_from_slice(bytes);
                Ok(())
            }
            _ => Err(StoreError::SnapshotPieces),
        }
    }

    /// Puts the snapshot that was fetched in the place of the log. `None` if it cannot be read.
    pub(crate) fn install_snapshot(
        &mut self,
        id: SnapshotId,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let Some((fetched, bytes)) = self.fetched.take().filter(|(fetched, _)| *fetched == id)
        else {
            return Ok(None);
        };
        let checkpoint = match checkpoint::decode(fetched, self.cluster_id.clone(), &bytes) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                tracing::warn!("the snapshot {id} that the leader sent cannot be read: {error}");
                return Ok(None);
            }
        };
        write_snapshot(&self.disk, &self.folder, id, &bytes).map_err(StoreError::Disk)?;
        self.start_log_at(id.end_offset)?;
        self.snapshots.insert(id, bytes.len() as u64);
        self.delete_snapshots_before(id)?;
        Ok(Some(checkpoint))
    }

    /// Reads a part of a snapshot.
    pub(crate) fn read_snapshot(
        &self,
        id: SnapshotId,
        position: u64,
        max_bytes: u32,
    ) -> Result<SnapshotPart, StoreError> {
        let Some(size) = self.snapshots.get(&id).copied() else {
            return Ok(SnapshotPart::NotFound);
        };
        if position >= size {
            return Ok(SnapshotPart::OutOfRange { size });
        }
        let path = self.folder.join(id.file_name());
        let failed =
            |source| StoreError::Disk(DiskError { operation: "read", path: path.clone(), source });
        let file = self.disk.open(&path, OpenMode::Read).map_err(failed)?;
        let wanted = u64::from(max_bytes.min(SNAPSHOT_PIECE_MAX)).min(size - position);
        let mut bytes = vec![0; wanted as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], position + filled as u64).map_err(failed)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(SnapshotPart::Bytes { size, bytes: bytes.into() })
    }

    /// Where snapshots are written, for the thread that writes one.
    pub(crate) fn snapshot_writer(&self) -> SnapshotWriter {
        SnapshotWriter { disk: Arc::clone(&self.disk), folder: self.folder.clone() }
    }

    /// Notes that a snapshot is on disk.
    pub(crate) fn snapshot_written(&mut self, id: SnapshotId, size: u64) -> Result<(), StoreError> {
        self.snapshots.insert(id, size);
        let flushed = self.log.flushed_offset();
        self.record_recovery_point(flushed)
    }

    /// Lets the log start at the latest snapshot, and deletes what is before it. Returns that
    /// snapshot if there was anything to give up.
    pub(crate) fn give_up_before_latest(&mut self) -> Result<Option<SnapshotId>, StoreError> {
        let Some(latest) = self.snapshots.keys().next_back().copied() else { return Ok(None) };
        let advances = latest.end_offset > self.log.log_start_offset()
            && latest.end_offset <= self.log.flushed_offset();
        if !advances {
            return Ok(None);
        }
        self.log.advance_log_start_offset(latest.end_offset).map_err(StoreError::Log)?;
        self.record_start(latest.end_offset)?;
        self.log
            .delete_old_segments(Clock::wall_ms(), latest.end_offset)
            .map_err(StoreError::Log)?;
        self.delete_snapshots_before(latest)?;
        Ok(Some(latest))
    }

    /// Not synced: one that comes back after a power cut is deleted with the next ones.
    fn delete_snapshots_before(&mut self, latest: SnapshotId) -> Result<(), StoreError> {
        let older: Vec<SnapshotId> = self.snapshots.range(..latest).map(|(id, _)| *id).collect();
        for id in older {
            let path = self.folder.join(id.file_name());
            disk::remove_file(&self.disk, &path, None).map_err(StoreError::Disk)?;
            self.snapshots.remove(&id);
        }
        Ok(())
    }

    /// Closes the log in order, so that the next start has nothing to scan.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        let Self { disk, folder, log, .. } = self;
        let end = log.close().map_err(StoreError::Log)?;
        write_offset(&disk, &folder, small_files::RECOVERY_POINTS, end).map_err(StoreError::Disk)
    }
}

/// Writes snapshots, beside the loop.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl SnapshotWriter {
    /// Writes a snapshot; durable when this returns.
    pub(crate) fn write(&self, id: SnapshotId, bytes: &[u8]) -> Result<(), StoreError> {
        write_snapshot(&self.disk, &self.folder, id, bytes).map_err(StoreError::Disk)
    }
}

fn write_snapshot(
    disk: &Arc<dyn Disk>,
    folder: &std::path::Path,
    id: SnapshotId,
    bytes: &[u8],
) -> Result<(), DiskError> {
    disk::replace_file(disk, &folder.join(id.file_name()), bytes, SmallFile::MetadataSnapshot)
}

fn write_offset(
    disk: &Arc<dyn Disk>,
    folder: &std::path::Path,
    name: &str,
    offset: Offset,
) -> Result<(), DiskError> {
    let offsets = Offsets::from([(partition(), offset)]);
    small_files::write_offsets(disk, folder, name, &offsets).map_err(|error| match error {
        SmallFileError::Disk(error) => error,
        malformed => DiskError {
            operation: "write",
            path: folder.join(name),
            source: std::io::Error::other(malformed),
        },
    })
}

fn from_snapshot(id: SnapshotId, checkpoint: &Checkpoint) -> LogShape {
    let voters = checkpoint.voters.as_ref().map(rpc::voters_from_wire).unwrap_or_default();
    LogShape::from_snapshot(quorum_id(id), voters)
}

fn list_snapshots(
    disk: &Arc<dyn Disk>,
    folder: &Folder,
) -> Result<BTreeMap<SnapshotId, u64>, StoreError> {
    let entries = disk.list(&folder.log).map_err(|source| {
        StoreError::Disk(DiskError { operation: "list", path: folder.log.clone(), source })
    })?;
    let snapshots = entries
        .into_iter()
        .filter_map(|entry| SnapshotId::from_file_name(&entry.name).map(|id| (id, entry.len)));
    Ok(snapshots.collect())
}

#[cfg(test)]
mod tests;

//! The log directories: whose they are, what is known of their logs, and how much room is left.

mod cleaned;
pub mod futures;
mod noted;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use vltava_log::checkpoint::{
    self, CheckpointError, HIGH_WATERMARKS, LOG_STARTS, MetaProperties, Offsets, RECOVERY_POINTS,
};
use vltava_log::disk::FolderError;
use vltava_log::{Disk, DiskError, SyncKind};
use vltava_wire::{NodeId, Offset, PartitionId, Uuid};

use self::noted::Noted;
use super::replica::{PartitionName, Position};
use super::room::{Room, Space};

/// The folder of the metadata log, which is no partition of ours.
const METADATA_LOG: &str = "__cluster_metadata-0";

/// What the name of a folder ends with whose partition is deleted.
const DELETED: &str = "-delete";

/// What the name of a folder ends with whose log cannot be used and was fetched anew.
const LOST: &str = "-lost";

/// What the name of a folder ends with whose partition is not assigned here, as in Kafka.
const STRAY: &str = "-stray";

/// Why a log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The folder cannot be made, listed or renamed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another cluster or another node.
    #[error(
        "{} belongs to {what} {found}, not {expected}; point log.dirs elsewhere", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Cluster or node.
        what: &'static str,
        /// Whose it is.
        found: String,
        /// Who asks.
        expected: String,
    },
    /// It holds logs, and nothing says whose.
    #[error("{} holds logs but no meta.properties: whose they are is not known", path.display())]
    Unmarked {
        /// The directory.
        path: PathBuf,
    },
    /// One of its small files cannot be read or written.
    #[error("a checkpoint cannot be used")]
    Checkpoint(#[from] CheckpointError),
}

impl DirError {
    /// Whether it is the disk that fails, rather than somebody's mistake.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Checkpoint(CheckpointError::Disk(_)) => true,
            Self::InUse { .. }
            | Self::Foreign { .. }
            | Self::Unmarked { .. }
            | Self::Checkpoint(CheckpointError::Malformed { .. }) => false,
        }
    }
}

/// Who opens a log directory.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The cluster's id.
    pub cluster_id: String,
    /// This node.
    pub node_id: NodeId,
}

/// What was known of a log when it was last used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastKnown {
    /// Everything below was durable.
    pub recovery_point: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The first offset.
    pub log_start: Offset,
}

/// A partition's folder as it was found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its path.
    pub path: PathBuf,
    /// The topic's name.
    pub topic: String,
    /// The index within the topic.
    pub index: PartitionId,
    /// The topic's id; `None` if the folder does not say.
    pub topic_id: Option<Uuid>,
    /// Whether it holds a copy that was to take the place of another log.
    pub is_future: bool,
}

/// The recovery points on disk, and what became of partitions since they were last collected.
#[derive(Debug)]
struct RecoveryPoints {
    written: Noted,
    /// Partitions that were cut (to there) or deleted since.
    lowered: BTreeMap<(String, PartitionId), Option<Offset>>,
}

/// The checkpoints that only matter for speed and for reports.
#[derive(Debug)]
struct OtherOffsets {
    high_watermarks: Noted,
    log_starts: Noted,
}

/// One log directory.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    id: Uuid,
    disk: Arc<dyn Disk>,
    failure: OnceLock<String>,
    recovery_points: Mutex<RecoveryPoints>,
    other: Mutex<OtherOffsets>,
    /// Up to where compacted logs were cleaned.
    cleaned: Mutex<Noted>,
    room: Room,
    /// The broker epoch of the run that ended in order before this one.
    clean_shutdown: Option<i64>,
    /// Held until the process ends: proof that no other one uses the directory.
    _lock: Option<File>,
}

impl LogDir {
    /// Opens a log directory, and formats it if it is empty. From here on it does not count as
    /// cleanly shut down.
    ///
    /// `new_id` becomes its id if it has none; `room` says how much space is left.
    ///
    /// # Errors
    /// It is in use, foreign, unmarked, or cannot be read or written.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        owner: &Owner,
        new_id: Uuid,
        room: Room,
        lock: Option<File>,
    ) -> Result<Self, DirError> {
        let id = identify(&disk, path, owner, new_id)?;
        let mut clean_shutdown = checkpoint::take_clean_shutdown(&disk, path)?;
        let mut read = |name| {
            let offsets = match checkpoint::read_offsets(&disk, path, name) {
                Err(error @ CheckpointError::Malformed { .. }) => {
                    let error = vltava_net::error_chain(&error);
                    tracing::error!(error, "taken for empty: all logs beside it are scanned");
                    clean_shutdown = None;
                    Offsets::new()
                }
                other => other?,
            };
            Ok::<_, CheckpointError>(Noted::read(name, offsets))
        };
        let recovery_points =
            RecoveryPoints { written: read(RECOVERY_POINTS)?, lowered: BTreeMap::new() };
        let other =
            OtherOffsets { high_watermarks: read(HIGH_WATERMARKS)?, log_starts: read(LOG_STARTS)? };
        let cleaned = Mutex::new(read(checkpoint::CLEANED)?);
        Ok(Self {
            path: path.to_owned(),
            id,
            failure: OnceLock::new(),
            recovery_points: Mutex::new(recovery_points),
            other: Mutex::new(other),
            cleaned,
            room,
            clean_shutdown,
            _lock: lock,
            disk,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id (KIP-858).
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The disk that it lies on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Whether the run before this one ended in order; then its broker epoch, −1 if unknown.
    pub fn clean_shutdown(&self) -> Option<i64> {
        self.clean_shutdown
    }

    /// Free and total bytes of the file system; `None` where that is not known.
    pub fn space(&self) -> Option<Space> {
        self.room.space()
    }

    /// Whether so many bytes can be appended and the headroom is still kept.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.room.take(bytes)
    }

    /// Whether so many bytes could be written and the headroom still be kept. Nothing is taken.
    pub fn could_take(&self, bytes: u64) -> bool {
        self.room.could_take(bytes)
    }

    /// Notes that a write found the disk full.
    pub fn note_full(&self) {
        self.room.note_full();
    }

    /// Takes the directory out of use; `true` if it was not already.
    pub fn fail(&self, reason: &str) -> bool {
        self.failure.set(reason.to_owned()).is_ok()
    }

    /// Why it is out of use, if it is.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// The folder of a partition.
    pub fn folder(&self, topic: &str, index: i32) -> PathBuf {
        self.path.join(format!("{topic}-{index}"))
    }

    /// What is known of a log from the last run.
    pub fn last_known(&self, topic: &str, index: i32) -> LastKnown {
        let key = (topic.to_owned(), PartitionId(index));
        let of = |offsets: &Offsets| offsets.get(&key).copied().unwrap_or(Offset::ZERO);
        let other = self.other.lock();
        LastKnown {
            recovery_point: of(&self.recovery_points.lock().written),
            high_watermark: of(&other.high_watermarks),
            log_start: of(&other.log_starts),
        }
    }

    /// The partitions' folders. Those of deleted partitions are removed.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn scan(&self) -> Result<Vec<Folder>, DirError> {
        let mut folders = Vec::new();
        let entries = self.disk.list(&self.path).map_err(io_error("list", &self.path))?;
        for entry in entries.into_iter().filter(|entry| entry.is_folder) {
            let path = self.path.join(&entry.name);
            if entry.name.ends_with(DELETED) {
                if let Err(error) = self.remove_folder(&path) {
                    tracing::warn!(path = %path.display(), %error, "a deleted log stays");
                }
                continue;
            }
            let future = futures::parse(&entry.name);
            let is_future = future.is_some();
            let Some((topic, index)) = future.or_else(|| parse_folder(&entry.name)) else {
                continue;
            };
            let topic_id = match checkpoint::read_topic_id(&self.disk, &path) {
                Err(error @ CheckpointError::Malformed { .. }) => {
                    let error = vltava_net::error_chain(&error);
                    tracing::error!(error, "the folder does not say which topic it belongs to");
                    None
                }
                other => other?,
            };
            folders.push(Folder { path, topic, index, topic_id, is_future });
        }
        Ok(folders)
    }

    /// Gives a partition's folder a name that says that it is deleted. What is left of it at the
    /// next start is removed then.
    ///
    /// # Errors
    /// The folder cannot be renamed.
    pub fn mark_deleted(&self, folder: &Path, random: u128) -> Result<PathBuf, DirError> {
        self.rename_aside(folder, random, DELETED)
    }

    /// Gives a folder whose log is lost another name, for a person to look at; `None` if there is
    /// no such folder.
    ///
    /// # Errors
    /// The folder cannot be renamed.
    pub fn set_aside_if_there(
        &self,
        folder: &Path,
        random: u128,
    ) -> Result<Option<PathBuf>, DirError> {
        match self.rename_aside(folder, random, LOST) {
            Err(DirError::Io { operation: "rename", source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            renamed => renamed.map(Some),
        }
    }

    /// Renames the folder of a log that is assigned to nobody here, so that it is opened no more,
    /// and kept.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_stray_aside(&self, folder: &Path, random: u128) -> Result<PathBuf, DirError> {
        self.rename_aside(folder, random, STRAY)
    }

    fn rename_aside(&self, folder: &Path, random: u128, ending: &str) -> Result<PathBuf, DirError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        // `NAME.<32 hex digits>-delete` must fit a file name of 255 bytes, as in Kafka.
        let stem: String = name.chars().take(255 - 33 - ending.len()).collect();
        let to = self.path.join(format!("{stem}.{random:032x}{ending}"));
        self.disk.rename(folder, &to).map_err(io_error("rename", folder))?;
        let synced = self.disk.sync_folder(&self.path, SyncKind::AsideFolder);
        synced.map_err(|error| match error {
            FolderError::Open(source) => io_error("open", &self.path)(source),
            FolderError::Sync(source) => io_error("sync", &self.path)(source),
        })?;
        Ok(to)
    }

    /// Removes a folder with the files in it.
    ///
    /// # Errors
    /// What the operating system says of the first thing that cannot be removed.
    pub fn remove_folder(&self, folder: &Path) -> Result<(), DirError> {
        let entries = self.disk.list(folder).map_err(io_error("list", folder))?;
        for entry in entries {
            let path = folder.join(&entry.name);
            if entry.is_folder {
                self.remove_folder(&path)?;
            } else {
                self.disk.remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        self.disk.remove_folder(folder).map_err(io_error("remove", folder))
    }

    /// Persists that a log is not durable, and not clean, beyond `offset`, before it is cut there.
    ///
    /// # Errors
    /// The checkpoint cannot be written.
    pub fn lower_recovery_point(
        &self,
        name: &PartitionName,
        offset: Offset,
    ) -> Result<(), DiskError> {
        self.lower_cleaned(name, offset)?;
        let key = (name.topic.to_string(), PartitionId(name.index));
        let lower = |offsets: &mut Offsets| {
            if let Some(noted) = offsets.get_mut(&key) {
                *noted = offset.min(*noted);
            }
        };
        let mut points = self.recovery_points.lock();
        let lowest = match points.lowered.get(&key) {
            Some(Some(earlier)) => offset.min(*earlier),
            _ => offset,
        };
        points.lowered.insert(key.clone(), Some(lowest));
        self.change(&mut points.written, lower).map_err(disk_error)?;
        drop(points);
        // A log may be cut below its start, if it begins anew: it would be taken for empty there.
        self.change(&mut self.other.lock().log_starts, lower).map_err(disk_error)
    }

    /// Forgets what is known of partitions that are deleted, before others may take their names.
    ///
    /// # Errors
    /// A checkpoint cannot be written.
    pub fn forget(&self, names: &[PartitionName]) -> Result<(), CheckpointError> {
        let keys: BTreeSet<_> =
            names.iter().map(|it| (it.topic.to_string(), PartitionId(it.index))).collect();
        let forget = |offsets: &mut Offsets| offsets.retain(|noted, _| !keys.contains(noted));
        {
            let mut points = self.recovery_points.lock();
            points.lowered.extend(keys.iter().cloned().map(|key| (key, None)));
            self.change(&mut points.written, forget)?;
        }
        self.forget_cleaned(names)?;
        let mut other = self.other.lock();
        self.change(&mut other.high_watermarks, forget)?;
        self.change(&mut other.log_starts, forget)
    }

    /// Writes the checkpoints of this directory's partitions, as far as they have changed.
    /// `collect` looks at each partition; it is called without a lock of the directory held.
    /// What is known of others stays until they are forgotten.
    ///
    /// # Errors
    /// A checkpoint cannot be written; what was not written is tried again next time.
    pub fn checkpoint(
        &self,
        collect: impl FnOnce() -> Vec<(PartitionName, Position)>,
    ) -> Result<(), CheckpointError> {
        self.recovery_points.lock().lowered.clear();
        let collected = collect();
        let mut points = self.recovery_points.lock();
        let mut other = self.other.lock();
        let (mut flushed, mut high_watermarks, mut log_starts) =
            (Offsets::new(), Offsets::new(), Offsets::new());
        for (name, position) in &collected {
            let key = (name.topic.to_string(), PartitionId(name.index));
            let known = match points.lowered.get(&key) {
                // It was deleted while it was collected.
                Some(None) => continue,
                Some(Some(lowered)) => position.flushed.min(*lowered),
                None => position.flushed,
            };
            flushed.insert(key.clone(), known);
            high_watermarks.insert(key.clone(), position.high_watermark);
            log_starts.insert(key, position.log_start);
        }
        self.change(&mut points.written, |noted| noted.extend(flushed))?;
        self.change(&mut other.high_watermarks, |noted| noted.extend(high_watermarks))?;
        self.change(&mut other.log_starts, |noted| noted.extend(log_starts))
    }

    /// Marks the directory as cleanly shut down: all of its logs were closed and checkpointed.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub fn mark_clean_shutdown(&self, broker_epoch: i64) -> Result<(), CheckpointError> {
        checkpoint::mark_clean_shutdown(&self.disk, &self.path, Some(broker_epoch))
    }

    fn change(
        &self,
        noted: &mut Noted,
        change: impl FnOnce(&mut Offsets),
    ) -> Result<(), CheckpointError> {
        noted.change(&self.disk, &self.path, change)
    }
}

fn disk_error(error: CheckpointError) -> DiskError {
    match error {
        CheckpointError::Disk(error) => error,
        CheckpointError::Malformed { path, reason } => {
            DiskError { operation: "write", path, source: io::Error::other(reason) }
        }
    }
}

fn io_error<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> DirError + 'a {
    move |source| DirError::Io { operation, path: path.to_owned(), source }
}

/// Makes sure that no other process uses a directory, which is made if it is not there.
///
/// # Errors
/// [`DirError::InUse`]; [`DirError::Io`]; it cannot be made.
pub fn lock(disk: &Arc<dyn Disk>, path: &Path) -> Result<File, DirError> {
    vltava_log::disk::make_folder(disk, path, SyncKind::DataFolder)
        .map_err(CheckpointError::Disk)?;
    let file = path.join(".lock");
    let open = File::options().create(true).truncate(false).write(true).open(&file);
    let open = open.map_err(io_error("open", &file))?;
    match open.try_lock() {
        Ok(()) => Ok(open),
        Err(std::fs::TryLockError::WouldBlock) => Err(DirError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => {
            Err(DirError::Io { operation: "lock", path: file, source })
        }
    }
}

/// Finds out whose a directory is; an empty one becomes the owner's.
fn identify(
    disk: &Arc<dyn Disk>,
    path: &Path,
    owner: &Owner,
    new_id: Uuid,
) -> Result<Uuid, DirError> {
    let known = MetaProperties::read(disk, path)?;
    let foreign = |what, found: String, expected: String| {
        Err(DirError::Foreign { path: path.to_owned(), what, found, expected })
    };
    match &known {
        Some(meta) if meta.cluster_id != owner.cluster_id => {
            return foreign("cluster", meta.cluster_id.clone(), owner.cluster_id.clone());
        }
        Some(meta) if meta.node_id != owner.node_id => {
            return foreign("node", meta.node_id.to_string(), owner.node_id.to_string());
        }
        Some(MetaProperties { directory_id: Some(id), .. }) => return Ok(*id),
        Some(_) => {}
        None => {
            let entries = disk.list(path).map_err(io_error("list", path))?;
            let holds_logs = |name: &str| parse_folder(name).is_some() || name == METADATA_LOG;
            if entries.iter().any(|entry| entry.is_folder && holds_logs(&entry.name)) {
                return Err(DirError::Unmarked { path: path.to_owned() });
            }
        }
    }
    let meta = MetaProperties {
        cluster_id: owner.cluster_id.clone(),
        node_id: owner.node_id,
        directory_id: Some(new_id),
    };
    meta.write(disk, path)?;
    Ok(new_id)
}

/// `<topic>-<index>`; `None` for what is no partition's folder.
fn parse_folder(name: &str) -> Option<(String, PartitionId)> {
    if name == METADATA_LOG {
        return None;
    }
    let (topic, index) = name.rsplit_once('-')?;
    if topic.is_empty() || index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((topic.to_owned(), PartitionId(index.parse().ok()?)))
}

#[cfg(test)]
#[path = "dirs/tests.rs"]
mod tests;

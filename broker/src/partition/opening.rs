//! Opening the logs: all that are found at start, in parallel, and new ones as they are assigned.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use vltava_config::{Values, keys};
use vltava_log::checkpoint::{self, CheckpointError};
use vltava_log::{Disk, Log, LogConfig, LogError, OpenOptions, SyncKind};
use vltava_wire::{LeaderEpoch, Offset, Uuid};

use super::dirs::{self, DirError, Folder, LastKnown, LogDir, Owner};
use super::room::{self, Room};
use super::settings::Settings;
use super::surroundings::wall_clock_ms;

/// Why the partitions of this broker cannot be opened at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No log directory is configured, or none works.
    #[error("log.dirs names no directory that can be used")]
    NoDirectory,
    /// A log directory cannot be used.
    #[error("a log directory cannot be used")]
    Dir(#[from] DirError),
    /// The machine gives no more threads.
    #[error("the flusher threads cannot be started")]
    Threads(#[source] std::io::Error),
}

/// A log as it was found at start.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) dir: Arc<LogDir>,
    pub(super) folder: Folder,
    /// The log, or why it cannot be used.
    pub(super) log: Result<Log, Arc<str>>,
    pub(super) high_watermark: Offset,
}

impl Found {
    /// How far it reaches: of two logs of a partition, the one that was used last reaches further,
    /// or both hold the same.
    pub(super) fn reach(&self) -> Option<(Option<LeaderEpoch>, Offset)> {
        let log = self.log.as_ref().ok()?;
        Some((log.latest_epoch(), log.log_end_offset()))
    }
}

/// A copy that was to take the place of a log, as it was found at start.
#[derive(Debug)]
pub(super) struct FoundFuture {
    pub(super) dir: Arc<LogDir>,
    pub(super) folder: Folder,
}

/// All that was found of a partition.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Its log.
    pub(super) log: Option<Found>,
    /// Others, that a crash has left when the replica moved.
    pub(super) surplus: Vec<Found>,
    /// Copies that were to take its place.
    pub(super) futures: Vec<FoundFuture>,
}

/// Logs by topic id and index; those without an id by topic name.
#[derive(Debug, Default)]
pub(super) struct FoundLogs {
    by_id: HashMap<(Uuid, i32), Vec<Found>>,
    by_name: HashMap<(String, i32), Found>,
    futures: HashMap<(Uuid, i32), Vec<FoundFuture>>,
}

impl FoundLogs {
    fn add(&mut self, found: Found) {
        let index = found.folder.index.get();
        if let Some(id) = found.folder.topic_id {
            self.by_id.entry((id, index)).or_default().push(found);
            return;
        }
        let path = found.folder.path.clone();
        let double = self.by_name.insert((found.folder.topic.clone(), index), found);
        if let Some(double) = double {
            tracing::error!(
                used = %path.display(), left = %double.folder.path.display(),
                "two folders hold the same partition"
            );
        }
    }

    /// Takes what was found of a partition that the metadata log has in the directory `registered`.
    pub(super) fn take(
        &mut self,
        topic: &str,
        topic_id: Uuid,
        index: i32,
        registered: Uuid,
    ) -> Taken {
        let mut all = self.by_id.remove(&(topic_id, index)).unwrap_or_default();
        // One that lies where it is registered and cannot be opened reached further than another
        // that is left elsewhere, which would serve without what was acknowledged since.
        all.sort_by_key(|found| {
            let is_registered = found.dir.id() == registered;
            (is_registered && found.log.is_err(), found.reach(), is_registered)
        });
        let log = all.pop().or_else(|| self.by_name.remove(&(topic.to_owned(), index)));
        let futures = self.futures.remove(&(topic_id, index)).unwrap_or_default();
        Taken { log, surplus: all, futures }
    }

    /// Takes the logs of partitions that `is_wanted` does not know, and their copies; those whose
    /// folder does not say which topic it belongs to are left.
    pub(super) fn take_strays(
        &mut self,
        is_wanted: impl Fn(Uuid, i32) -> bool,
    ) -> Vec<(Arc<LogDir>, Folder)> {
        let logs = self.by_id.extract_if(|&(id, index), _| !is_wanted(id, index));
        let logs = logs.flat_map(|(_, all)| all).map(|it| (it.dir, it.folder));
        let futures = self.futures.extract_if(|&(id, index), _| !is_wanted(id, index));
        let futures = futures.flat_map(|(_, all)| all).map(|it| (it.dir, it.folder));
        logs.chain(futures).collect()
    }

    /// All logs that are left.
    pub(super) fn drain(&mut self) -> Vec<Found> {
        let by_id = self.by_id.drain().flat_map(|(_, all)| all);
        by_id.chain(self.by_name.drain().map(|(_, it)| it)).collect()
    }
}

/// Opens all logs of the directories, with so many threads for each.
///
/// # Errors
/// A directory cannot be listed. A log that cannot be opened is no error: it is found offline.
pub(super) fn open_found(
    dirs: &[Arc<LogDir>],
    config: LogConfig,
    threads: usize,
) -> Result<FoundLogs, OpenError> {
    let found = Mutex::new(FoundLogs::default());
    for dir in dirs {
        let (futures, folders): (Vec<_>, Vec<_>) =
            dir.scan()?.into_iter().partition(|folder| folder.is_future);
        for folder in futures {
            // Opened by who goes on with it, as all of it is read then.
            let Some(id) = folder.topic_id else {
                // It has no records: it says whose they are before it has any.
                if let Err(error) = dir.remove_folder(&folder.path) {
                    let error = vltava_net::error_chain(&error);
                    tracing::warn!(folder = %folder.path.display(), error, "it stays");
                }
                continue;
            };
            let mut found = found.lock();
            let of_partition = found.futures.entry((id, folder.index.get())).or_default();
            of_partition.push(FoundFuture { dir: Arc::clone(dir), folder });
        }
        let folders = Mutex::new(folders.into_iter());
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let Some(folder) = folders.lock().next() else { break };
                        let opened = open_one(dir, folder, config);
                        found.lock().add(opened);
                    }
                });
            }
        });
    }
    Ok(found.into_inner())
}

fn open_one(dir: &Arc<LogDir>, folder: Folder, config: LogConfig) -> Found {
    let known = dir.last_known(&folder.topic, folder.index.get());
    let options = open_options(known, dir.clean_shutdown().is_some());
    let log = open_log(dir, &folder.path, config, options).map_err(|error| offline_reason(&error));
    Found { dir: Arc::clone(dir), folder, log, high_watermark: known.high_watermark }
}

fn open_options(known: LastKnown, clean_shutdown: bool) -> OpenOptions {
    OpenOptions {
        recovery_point: known.recovery_point,
        clean_shutdown,
        log_start_offset: known.log_start,
        now_ms: wall_clock_ms(),
    }
}

fn open_log(
    dir: &LogDir,
    folder: &Path,
    config: LogConfig,
    options: OpenOptions,
) -> Result<Log, LogError> {
    let (log, report) = Log::open(Arc::clone(dir.disk()), folder.to_owned(), config, options)?;
    if report.truncated_bytes > 0 {
        tracing::warn!(
            folder = %folder.display(), ?report,
            "an unfinished append was cut off: nobody was told that it is there"
        );
    } else {
        tracing::debug!(folder = %folder.display(), ?report, "opened");
    }
    Ok(log)
}

/// What is in the folder of a partition whose log could not be opened before.
pub(super) enum Again {
    /// Nothing was wrong with the log: descriptors had run out, or room for its indexes.
    Whole(Box<Log>),
    /// Records are lost, or it never became a log of that topic.
    Lost,
    /// It cannot be told yet.
    Unknown(Arc<str>),
}

/// Opens a log once more, of which nothing was read since it could not be opened.
pub(super) fn open_again(
    dir: &LogDir,
    topic: &str,
    topic_id: Uuid,
    index: i32,
    config: LogConfig,
) -> Again {
    let folder = dir.folder(topic, index);
    match checkpoint::read_topic_id(dir.disk(), &folder) {
        Ok(Some(id)) if id == topic_id => {}
        Ok(_) | Err(CheckpointError::Malformed { .. }) => return Again::Lost,
        Err(error) => return Again::Unknown(vltava_net::error_chain(&error).into()),
    }
    // What the mark of a clean shutdown said was for the start.
    let options = open_options(dir.last_known(topic, index), false);
    match open_log(dir, &folder, config, options) {
        Ok(log) => Again::Whole(Box::new(log)),
        Err(LogError::Corrupt { .. } | LogError::RecordsMissing { .. }) => Again::Lost,
        Err(error) => Again::Unknown(offline_reason(&error)),
    }
}

/// Why a log stays offline, with what a person can do about it.
fn offline_reason(error: &LogError) -> Arc<str> {
    let reason = vltava_net::error_chain(error);
    tracing::error!(%reason, "a log cannot be used");
    match error {
        LogError::Corrupt { .. } | LogError::RecordsMissing { .. } => format!(
            "{reason}; it is fetched anew once another replica is in sync. If none has it: bring \
             the disk's content back, or remove the folder to give its records up"
        )
        .into(),
        _ => reason.into(),
    }
}

/// Makes the log of a partition that is new here.
///
/// # Errors
/// Why it cannot be made; the partition is offline then.
pub(super) fn create_log(
    dir: &LogDir,
    topic: &str,
    topic_id: Uuid,
    index: i32,
    config: LogConfig,
) -> Result<Log, Arc<str>> {
    let folder = dir.folder(topic, index);
    let there = checkpoint::read_topic_id(dir.disk(), &folder);
    match there.map_err(|error| Arc::<str>::from(vltava_net::error_chain(&error)))? {
        Some(other) if other != topic_id => {
            let folder = folder.display();
            return Err(format!("{folder} holds a log of another topic, {other}").into());
        }
        _ => {}
    }
    let options = open_options(LastKnown::default(), false);
    // Before there is a segment, which is synced with the folder's names: no log with records is
    // ever without the id of its topic.
    vltava_log::disk::make_folder(dir.disk(), &folder, SyncKind::LogFolder)
        .map_err(|error| Arc::<str>::from(vltava_net::error_chain(&error)))?;
    adopt(dir, &folder, topic_id)?;
    open_log(dir, &folder, config, options).map_err(|error| offline_reason(&error))
}

/// Writes into a folder which topic it belongs to.
///
/// # Errors
/// Why it cannot be written.
pub(super) fn adopt(dir: &LogDir, folder: &Path, topic_id: Uuid) -> Result<(), Arc<str>> {
    checkpoint::write_topic_id(dir.disk(), folder, topic_id)
        .map_err(|error| Arc::from(vltava_net::error_chain(&error)))
}

/// Opens the log directories; those that cannot be used, as their disk has failed, come second.
pub(super) fn open_dirs(
    config: &Values,
    owner: &Owner,
    disk: &Arc<dyn Disk>,
) -> Result<(Vec<Arc<LogDir>>, Vec<PathBuf>), OpenError> {
    let headroom = config.get(keys::VLTAVA_DISK_HEADROOM_BYTES).max(0) as u64;
    let (mut opened, mut unusable) = (Vec::new(), Vec::new());
    let paths = config.log_dirs();
    for path in &paths {
        let open = || {
            let lock = dirs::lock(disk, path)?;
            let room = Room::new(headroom, room::probe(path));
            let new_id = Uuid::from_random(rand::random());
            LogDir::open(Arc::clone(disk), path, owner, new_id, room, Some(lock))
        };
        match open() {
            Ok(dir) => opened.push(Arc::new(dir)),
            // The others go on without it, as they would had it failed later.
            Err(error) if error.is_failure() && paths.len() > 1 => {
                let (path, error) = (path.clone(), vltava_net::error_chain(&error));
                tracing::error!(dir = %path.display(), error, "a log directory is out of use");
                unusable.push(path);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if opened.is_empty() {
        return Err(OpenError::NoDirectory);
    }
    Ok((opened, unusable))
}

pub(super) type ReusedLog = (Arc<LogDir>, Result<vltava_log::Log, Arc<str>>, Offset);

/// Takes a log that was found at start for a partition.
pub(super) fn reuse(found: Found, topic_id: Uuid, settings: Settings) -> ReusedLog {
    let Found { dir, folder, log, high_watermark } = found;
    let log = log.and_then(|mut log| {
        log.set_config(settings.log);
        if folder.topic_id.is_none() {
            if log.log_end_offset() > Offset::ZERO {
                return Err(Arc::from(format!(
                    "{} does not say which topic it belongs to: add partition.metadata, or \
                     remove the folder",
                    folder.path.display()
                )));
            }
            adopt(&dir, &folder.path, topic_id)?;
        }
        Ok(log)
    });
    (dir, log, high_watermark)
}

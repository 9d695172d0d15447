//! Opening the logs: all that are found at start, in parallel, and new ones as they are assigned.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use vltava_log::checkpoint;
use vltava_log::{Log, LogConfig, LogError, OpenOptions, SyncKind};
use vltava_wire::{Offset, Uuid};

use super::dirs::{DirError, Folder, LogDir};
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

/// Logs by topic id and index; those without an id by topic name.
#[derive(Debug, Default)]
pub(super) struct FoundLogs {
    by_id: HashMap<(Uuid, i32), Found>,
    by_name: HashMap<(String, i32), Found>,
}

impl FoundLogs {
    fn add(&mut self, found: Found) {
        let index = found.folder.index.get();
        let path = found.folder.path.clone();
        let double = match found.folder.topic_id {
            Some(id) => self.by_id.insert((id, index), found),
            None => self.by_name.insert((found.folder.topic.clone(), index), found),
        };
        if let Some(double) = double {
            tracing::error!(
                used = %path.display(), left = %double.folder.path.display(),
                "two folders hold the same partition"
            );
        }
    }

    /// Takes a partition's log, if it was found.
    pub(super) fn take(&mut self, topic: &str, topic_id: Uuid, index: i32) -> Option<Found> {
        let found = self.by_id.remove(&(topic_id, index));
        found.or_else(|| self.by_name.remove(&(topic.to_owned(), index)))
    }

    /// Takes the logs of partitions that `is_wanted` does not know; those whose folder does not
    /// say which topic it belongs to are left.
    pub(super) fn take_strays(&mut self, is_wanted: impl Fn(Uuid, i32) -> bool) -> Vec<Found> {
        self.by_id.extract_if(|&(id, index), _| !is_wanted(id, index)).map(|(_, it)| it).collect()
    }

    /// All that is left.
    pub(super) fn drain(&mut self) -> Vec<Found> {
        let by_id = self.by_id.drain().map(|(_, it)| it);
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
        let folders = Mutex::new(dir.scan()?.into_iter());
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
    let index = folder.index.get();
    let known = dir.last_known(&folder.topic, index);
    let options = OpenOptions {
        recovery_point: known.recovery_point,
        clean_shutdown: dir.clean_shutdown().is_some(),
        log_start_offset: known.log_start,
        now_ms: wall_clock_ms(),
    };
    let log = open_log(dir, &folder.path, config, options);
    Found { dir: Arc::clone(dir), folder, log, high_watermark: known.high_watermark }
}

fn open_log(
    dir: &LogDir,
    folder: &Path,
    config: LogConfig,
    options: OpenOptions,
) -> Result<Log, Arc<str>> {
    match Log::open(Arc::clone(dir.disk()), folder.to_owned(), config, options) {
        Ok((log, report)) => {
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
        Err(error) => Err(offline_reason(&error)),
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
    let options = OpenOptions {
        recovery_point: Offset::ZERO,
        clean_shutdown: false,
        log_start_offset: Offset::ZERO,
        now_ms: wall_clock_ms(),
    };
    // Before there is a segment, which is synced with the folder's names: no log with records is
    // ever without the id of its topic.
    vltava_log::disk::make_folder(dir.disk(), &folder, SyncKind::LogFolder)
        .map_err(|error| Arc::<str>::from(vltava_net::error_chain(&error)))?;
    adopt(dir, &folder, topic_id)?;
    open_log(dir, &folder, config, options)
}

/// Writes into a folder which topic it belongs to.
///
/// # Errors
/// Why it cannot be written.
pub(super) fn adopt(dir: &LogDir, folder: &Path, topic_id: Uuid) -> Result<(), Arc<str>> {
    checkpoint::write_topic_id(dir.disk(), folder, topic_id)
        .map_err(|error| Arc::from(vltava_net::error_chain(&error)))
}

//! Which directory replicas are to lie in: what was asked for (AlterReplicaLogDirs), for replicas
//! that are here and for those that are yet to come; and moves that a start finds unfinished.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use vltava_wire::{Str, Uuid};

use super::dirs::LogDir;
use super::dirs::futures::is_too_long;
use super::leaving::{Doomed, delete_folders, remove_folder};
use super::opening::{Found, FoundFuture};
use super::registry::{Partitions, Unavailable};
use super::replica::{Partition, PartitionName};

/// Replicas that are yet to come and whose directory is remembered, at most. Anybody may name
/// topics that never come to be.
const PREFERRED_MAX: usize = 10_000;

/// Why a replica is not moved to a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMoved {
    /// The folder of the copy would have too long a name.
    #[error("the topic's name is too long")]
    NameTooLong,
    /// `log.dirs` names no such directory.
    #[error("no such log directory")]
    UnknownDir,
    /// The directory, or the replica, cannot be used.
    #[error("the log directory, or the replica, is offline")]
    Offline,
    /// The replica is not here (yet): it will lie there once it comes.
    #[error("the replica is not on this broker")]
    NotHere,
    /// There is no such partition.
    #[error("no such partition")]
    Unknown,
}

/// The directories of replicas that are yet to come.
#[derive(Debug, Default)]
pub(super) struct Preferred {
    dirs: Mutex<HashMap<(Str, i32), Arc<LogDir>>>,
}

impl Preferred {
    fn remember(&self, topic: &Str, index: i32, dir: Arc<LogDir>) {
        let mut dirs = self.dirs.lock();
        let key = (topic.clone(), index);
        if dirs.len() < PREFERRED_MAX || dirs.contains_key(&key) {
            dirs.insert(key, dir);
        }
    }

    /// The directory of a replica that is made now, if one was asked for and works.
    pub(super) fn take(&self, topic: &Str, index: i32) -> Option<Arc<LogDir>> {
        let dir = self.dirs.lock().remove(&(topic.clone(), index))?;
        dir.failure().is_none().then_some(dir)
    }
}

impl Partitions {
    /// Moves a replica to the directory of that path, or remembers it for when the replica comes.
    /// What runs already goes on; a replica that is to lie where it lies stays.
    ///
    /// Removes folders: call it where that does not stall others.
    ///
    /// # Errors
    /// See [`NotMoved`].
    pub fn move_replica(&self, topic: &Str, index: i32, path: &str) -> Result<(), NotMoved> {
        if is_too_long(topic, index) {
            return Err(NotMoved::NameTooLong);
        }
        let dir = self.dir_at(path)?;
        let partition = match self.by_name(topic, index) {
            Ok(partition) => partition,
            Err(unavailable) => {
                self.preferred.remember(topic, index, dir);
                return Err(match unavailable {
                    Unavailable::Elsewhere => NotMoved::NotHere,
                    Unavailable::Unknown | Unavailable::UnknownId => NotMoved::Unknown,
                });
            }
        };
        if partition.offline_reason().is_some() {
            return Err(NotMoved::Offline);
        }
        let begun = partition.begin_move(&dir, None).map_err(|_| NotMoved::Offline)?;
        if let Some(moving) = begun {
            self.mover.push(partition, moving);
        }
        // A move that was ready, and has ended, was told of.
        self.assignments.notify_one();
        Ok(())
    }

    fn dir_at(&self, path: &str) -> Result<Arc<LogDir>, NotMoved> {
        let is_it = |own: &Path| {
            own == Path::new(path)
                || std::path::absolute(own).is_ok_and(|own| own == Path::new(path))
        };
        match self.dirs.iter().find(|dir| is_it(dir.path())) {
            Some(dir) if dir.failure().is_none() => Ok(Arc::clone(dir)),
            Some(_) => Err(NotMoved::Offline),
            None if self.unusable_dirs().iter().any(|dir| is_it(dir)) => Err(NotMoved::Offline),
            None => Err(NotMoved::UnknownDir),
        }
    }

    /// Goes on with what was copied of a replica when the broker stopped, and removes what is of
    /// no use.
    ///
    /// What was copied of a log that is compacted may hold what the cleaner has removed since: it
    /// is copied anew.
    pub(super) fn resume_move(&self, partition: &Arc<Partition>, futures: Vec<FoundFuture>) {
        let dir = partition.dir();
        let is_compacted =
            partition.settings().log.compact || dir.cleaned_up_to(&partition.name).is_some();
        for FoundFuture { dir: to, folder } in futures {
            let is_meant = partition.moving().is_none()
                && !Arc::ptr_eq(&to, &dir)
                && partition.offline_reason().is_none();
            let left = (!is_compacted && is_meant).then(|| folder.path.clone());
            if left.is_none() {
                remove_folder(Arc::clone(&to), &folder.path);
            }
            if !is_meant {
                continue;
            }
            if let Ok(Some(moving)) = partition.begin_move(&to, left) {
                self.mover.push(Arc::clone(partition), moving);
            }
        }
    }

    /// Gives up the logs of a partition that another one is used of: a crash has left both when
    /// the replica moved. One that has more records than that is kept aside.
    pub(super) fn give_up(&self, used: &Found, surplus: Vec<Found>, topic_id: Uuid) {
        let mut doomed: Vec<Doomed> = Vec::new();
        for found in surplus {
            let has_less = found.log.is_ok() && found.reach() <= used.reach();
            let Found { dir, folder, log, .. } = found;
            let topic = Str::from(folder.topic);
            let name = PartitionName { topic, topic_id, index: folder.index.get() };
            tracing::warn!(
                partition = %name, used = %used.folder.path.display(),
                left = %folder.path.display(), has_less, "two folders hold the same partition"
            );
            if has_less {
                doomed.push((dir, name, folder.path, log.ok()));
                continue;
            }
            drop(log);
            let aside = dir.set_stray_aside(&folder.path, rand::random());
            let forgotten = dir.forget(std::slice::from_ref(&name));
            if aside.is_err() || forgotten.is_err() {
                tracing::error!(partition = %name, ?aside, ?forgotten, "it stays");
            }
        }
        delete_folders(doomed);
    }
}

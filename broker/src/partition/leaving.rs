//! Partitions that are not held here any more: deleted topics, replicas that moved away, and
//! strays that were found at start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vltava_metadata::{Changes, Image, PartitionRef};
use vltava_net::error_chain;
use vltava_wire::PartitionId;

use super::dirs::LogDir;
use super::registry::{Moves, Partitions};
use super::replica::PartitionName;

impl Partitions {
    /// Deletes what this broker is not to hold any more, before anything of the same name is made.
    pub(super) fn delete_unwanted(
        &self,
        image: &Image,
        changes: &Changes,
        changed: &BTreeSet<PartitionRef>,
        moves: &mut Moves,
    ) {
        let mut unwanted: Vec<_> = {
            let hosted = self.hosted.read();
            let gone = hosted.by_id.iter().filter(|((topic, _), _)| {
                changes.topics_deleted.contains_key(topic) && image.topic_by_id(*topic).is_none()
            });
            gone.map(|(_, partition)| Arc::clone(partition)).collect()
        };
        for partition in changed {
            let registration = image.partition(partition.topic, partition.partition);
            if !registration.is_some_and(|it| it.is_replica(self.me)) {
                unwanted.extend(self.hosted(partition.topic, partition.partition.get()));
            }
        }
        if unwanted.is_empty() {
            return;
        }
        moves.leave.extend(unwanted.iter().cloned());
        self.fetchers.apply(Vec::new(), std::mem::take(&mut moves.leave));
        for partition in &unwanted {
            self.hosted.write().remove(partition.name.topic_id, partition.name.index);
        }
        let folders = unwanted.into_iter().map(|partition| {
            // It may move until it is retired.
            let log = partition.retire();
            let dir = partition.dir();
            let folder = dir.folder(&partition.name.topic, partition.name.index);
            (dir, partition.name.clone(), folder, log)
        });
        delete_folders(folders.collect());
    }

    /// Sets logs aside that were found at start and are of topics, or assignments, that are gone.
    ///
    /// They are kept, as Kafka keeps them: a quorum that lost its own data must not take the
    /// records with it.
    pub(super) fn set_strays_aside(&self, image: &Image) {
        let is_wanted = |topic, index| {
            let registration = image.partition(topic, PartitionId(index));
            registration.is_some_and(|it| it.is_replica(self.me))
        };
        for (dir, folder) in self.found.lock().take_strays(is_wanted) {
            let name = PartitionName {
                topic: folder.topic.into(),
                topic_id: folder.topic_id.unwrap_or_default(),
                index: folder.index.get(),
            };
            let forgotten = dir.forget(std::slice::from_ref(&name));
            let aside = dir.set_stray_aside(&folder.path, rand::random());
            match (forgotten, aside) {
                (Ok(()), Ok(aside)) => tracing::warn!(
                    partition = %name, aside = %aside.display(),
                    "not assigned here any more; its records are kept aside"
                ),
                (Err(error), _) => {
                    tracing::error!(
                        partition = %name, error = error_chain(&error), "a stray stays"
                    );
                }
                (_, Err(error)) => {
                    tracing::error!(
                        partition = %name, error = error_chain(&error), "a stray stays"
                    );
                }
            }
        }
    }
}

pub(super) type Doomed = (Arc<LogDir>, PartitionName, PathBuf, Option<vltava_log::Log>);

/// Renames folders, so that their names are free, forgets their offsets, and has what is in them
/// removed beside everything else.
pub(super) fn delete_folders(doomed: Vec<Doomed>) {
    let mut renamed = Vec::new();
    for (dir, name, folder, log) in doomed {
        drop(log);
        if let Err(error) = dir.forget(std::slice::from_ref(&name)) {
            tracing::error!(partition = %name, error = error_chain(&error), "offsets stay noted");
        }
        match dir.mark_deleted(&folder, rand::random()) {
            Ok(path) => renamed.push((dir, path)),
            Err(error) => {
                tracing::error!(partition = %name, error = error_chain(&error), "a log stays");
            }
        }
    }
    remove_in_background(renamed);
}

/// Gives a folder the name of a deleted one, and has it removed beside everything else.
pub(super) fn remove_folder(dir: Arc<LogDir>, folder: &Path) {
    match dir.mark_deleted(folder, rand::random()) {
        Ok(path) => remove_in_background(vec![(dir, path)]),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), error = error_chain(&error), "it stays");
        }
    }
}

/// Removes folders beside everything else.
pub(super) fn remove_in_background(folders: Vec<(Arc<LogDir>, PathBuf)>) {
    if folders.is_empty() {
        return;
    }
    let remove = move || {
        for (dir, path) in folders {
            if let Err(error) = dir.remove_folder(&path) {
                tracing::warn!(error = error_chain(&error), "removed at the next start");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("remover".to_owned()).spawn(remove) {
        tracing::warn!(%error, "deleted logs are removed at the next start");
    }
}

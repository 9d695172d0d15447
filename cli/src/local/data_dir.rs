//! The data folder: which file is where, and who may change it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::CliError;
use crate::local::node_name::NodeName;

/// How long a command waits for another one that changes the cluster. `up` of a large cluster may
/// take longer: then it is better to say so than to wait.
const LOCK_WAIT: Duration = Duration::from_secs(20);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// The folder of a cluster on this machine.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

/// The right to change the cluster, until it is dropped.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataDir {
    /// The folder at a path, whether it is there or not.
    pub fn new(root: &Path) -> Self {
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that says which cluster this is and where its nodes listen.
    pub(crate) fn cluster_file(&self) -> PathBuf {
        self.root.join("cluster.properties")
    }

    /// The manifest as `up` was given it last.
    pub(crate) fn manifest_file(&self) -> PathBuf {
        self.root.join("manifest.yaml")
    }

    /// What the cluster has of that manifest, if it refused a part.
    pub(crate) fn applied_file(&self) -> PathBuf {
        self.root.join("applied.yaml")
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The folder of a node.
    pub(crate) fn node(&self, name: NodeName) -> PathBuf {
        self.root.join(name.to_string())
    }

    /// A node's settings.
    pub(crate) fn config_file(&self, name: NodeName) -> PathBuf {
        self.node(name).join(format!("{}.properties", name.kind()))
    }

    /// What a node prints.
    pub(crate) fn log_file(&self, name: NodeName) -> PathBuf {
        self.node(name).join("node.log")
    }

    /// Which process runs a node.
    pub(crate) fn pid_file(&self, name: NodeName) -> PathBuf {
        self.node(name).join("node.pid")
    }

    /// What a node stores.
    pub(crate) fn data(&self, name: NodeName) -> PathBuf {
        self.node(name).join("data")
    }

    /// Whether a cluster has been made here.
    pub fn has_cluster(&self) -> bool {
        self.cluster_file().exists()
    }

    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// [`CliError::Refused`] if it holds something else, [`CliError::WriteFile`] if it cannot be
    /// made.
    pub(crate) fn create(&self) -> Result<(), CliError> {
        if self.root.to_str().is_none_or(|root| root.contains(',')) {
            return Err(CliError::Refused(format!(
                "{} cannot be a data folder, as nodes read a comma in log.dirs as two folders; \
                 choose another --data-dir",
                self.root.display()
            )));
        }
        if !self.has_cluster() && !self.is_unused() {
            return Err(CliError::Refused(format!(
                "{} holds something else than a cluster; choose another --data-dir",
                self.root.display()
            )));
        }
        make_folder(&self.root)
    }

    /// Whether there is nothing in the folder but what a command that failed early leaves behind.
    fn is_unused(&self) -> bool {
        match fs::read_dir(&self.root) {
            Ok(mut entries) => entries.all(|entry| {
                entry.is_ok_and(|entry| {
                    entry.file_name() == "lock" || entry.path() == next_of(&self.cluster_file())
                })
            }),
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Removes the folder again if no cluster was made in it.
    pub(crate) fn remove_unused(&self) {
        if !self.has_cluster() && self.is_unused() {
            // What is left behind harms nobody.
            let _ = fs::remove_file(self.lock_file());
            let _ = fs::remove_file(next_of(&self.cluster_file()));
            let _ = fs::remove_dir(&self.root);
        }
    }

    /// Removes all that is in the folder, and the folder itself unless something is mounted there.
    /// The lock's file goes last: who waits for it, or comes now, begins anew.
    ///
    /// # Errors
    /// [`CliError::RemoveData`] with what could not be removed.
    pub(crate) fn remove(&self, lock: DataLock) -> Result<(), CliError> {
        let root = &self.root;
        let failed = |path: PathBuf| move |source| CliError::RemoveData { path, source };
        for entry in fs::read_dir(root).map_err(failed(root.clone()))? {
            let entry = entry.map_err(failed(root.clone()))?;
            let path = entry.path();
            if path == self.lock_file() {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed =
                if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(failed(path))?;
        }
        fs::remove_file(self.lock_file()).map_err(failed(self.lock_file()))?;
        let removed = fs::remove_dir(root);
        drop(lock);
        match removed.as_ref().map_err(io::Error::kind) {
            // Something is mounted there, or it is a link: what was in it is gone.
            Err(ErrorKind::ResourceBusy | ErrorKind::NotADirectory) => Ok(()),
            // Another command makes a cluster there already.
            Err(ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) if self.has_begun() => Ok(()),
            _ => removed.map_err(failed(root.clone())),
        }
    }

    fn has_begun(&self) -> bool {
        self.lock_file().exists() || self.has_cluster()
    }

    /// Makes the folder if it is not there, and waits until no other command changes the cluster.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`CliError::Busy`] if another goes on changing it.
    pub(crate) async fn create_locked(&self) -> Result<DataLock, CliError> {
        loop {
            self.create()?;
            match self.lock().await {
                // It was removed in between.
                Err(CliError::NoCluster { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    /// Waits until no other command changes the cluster. What was read before may have changed.
    ///
    /// # Errors
    /// [`CliError::NoCluster`] if the folder is gone then, [`CliError::Busy`] if another goes on
    /// changing it.
    pub(crate) async fn lock(&self) -> Result<DataLock, CliError> {
        let path = self.lock_file();
        let failed = |source| CliError::WriteFile { path: path.clone(), source };
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            let file = match File::options().create(true).truncate(false).write(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(CliError::NoCluster { path: self.root.clone(), remote: false });
                }
                opened => opened.map_err(failed)?,
            };
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                        tokio::time::sleep(LOCK_RETRY).await;
                    }
                    Err(TryLockError::WouldBlock) => {
                        return Err(CliError::Busy { path: self.root.clone() });
                    }
                    Err(TryLockError::Error(source)) => return Err(failed(source)),
                }
            }
            // Who had the lock may have removed its file: then this one excludes nobody.
            if is_at(&file, &path).map_err(failed)? {
                return Ok(DataLock { _file: file });
            }
        }
    }
}

/// Whether an open file is the one at a path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a file is written as before it takes its place.
fn next_of(path: &Path) -> PathBuf {
    path.with_extension("next")
}

/// Replaces a file whole: whoever reads it sees the old text or the new one, also after a crash.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::WriteFile { path: path.to_owned(), source };
    let next = next_of(path);
    let mut file = File::create(&next).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&next, path).map_err(failed)?;
    sync(path.parent().unwrap_or(path)).map_err(failed)
}

/// Makes a folder and those above it, durably, where they are not there.
pub(crate) fn make_folder(path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_folder(parent)?;
    let made = match fs::create_dir(path) {
        // Another command was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    made.and_then(|()| sync(parent))
        .map_err(|source| CliError::WriteFile { path: path.to_owned(), source })
}

/// Brings what a folder holds to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use tempfile::TempDir;

    use super::*;

    fn is_locked(dir: &DataDir) -> bool {
        let file = File::options().write(true).open(dir.lock_file()).expect("it is there");
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Lets a command wait for the lock.
    fn waits<T>(command: std::pin::Pin<&mut impl Future<Output = T>>) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(command.poll(&mut context), Poll::Pending), "the lock is taken");
    }

    #[tokio::test]
    async fn who_waits_while_the_folder_is_removed_makes_it_anew_and_excludes_others() {
        let folder = TempDir::new().expect("a folder can be made");
        let dir = DataDir::new(&folder.path().join("data"));
        let down = dir.create_locked().await.expect("nobody has it");
        let mut up = std::pin::pin!(dir.create_locked());
        waits(up.as_mut());
        dir.remove(down).expect("it can be removed");
        assert!(!dir.root().exists());
        let _lock = up.await.expect("the folder is made anew");
        assert!(is_locked(&dir));
    }

    #[tokio::test]
    async fn who_waits_for_a_cluster_that_is_removed_finds_none() {
        let folder = TempDir::new().expect("a folder can be made");
        let dir = DataDir::new(&folder.path().join("data"));
        let down = dir.create_locked().await.expect("nobody has it");
        let mut stop = std::pin::pin!(dir.lock());
        waits(stop.as_mut());
        dir.remove(down).expect("it can be removed");
        assert!(matches!(stop.await, Err(CliError::NoCluster { .. })));
        assert!(!dir.root().exists());
    }
}

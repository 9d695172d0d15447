//! The data folder: which file is where, and who may change it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
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
            Err(error) => error.kind() == io::ErrorKind::NotFound,
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

    /// Waits until no other command changes the cluster.
    ///
    /// # Errors
    /// [`CliError::Busy`] if one goes on doing so.
    pub(crate) async fn lock(&self) -> Result<DataLock, CliError> {
        let path = self.lock_file();
        let failed = |source| CliError::WriteFile { path: path.clone(), source };
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(DataLock { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(LOCK_RETRY).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(CliError::Busy { path: self.root.clone() });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
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
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    made.and_then(|()| sync(parent))
        .map_err(|source| CliError::WriteFile { path: path.to_owned(), source })
}

/// Brings what a folder holds to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

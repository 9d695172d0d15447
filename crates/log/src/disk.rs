//! The one home of fsync, rename, directory fsync and short writes.
//!
//! [`Disk`] and [`DiskFile`] are what a disk can do, as small as it gets: [`RealDisk`] does it,
//! [`FaultyDisk`] models what a power cut makes of it. What the rest of the crate uses is
//! [`Volume`] and [`OpenFile`], which hold the policy:
//!
//! - a write is whole or an error; a read of fewer bytes than asked for is the end of the file;
//! - a file is replaced by writing a new one beside it, fsync, rename, fsync of the folder;
//! - a failed fsync fails the file for good: the kernel reports it once and then calls the
//!   pages clean, so a second fsync would "succeed" without the bytes being anywhere.
//!
//! Each fsync names what it is for ([`SyncKind`]), so that a test can leave out one of them and
//! show that it is missed.

mod faulty;
#[cfg(feature = "power-cut")]
mod platter;
mod real;
mod sync_kind;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use faulty::FaultyDisk;
pub use real::RealDisk;
pub use sync_kind::{SmallFile, SyncKind};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must be there; it is only read.
    Read,
    /// It must be there.
    Write,
    /// It is made if it is not there.
    Create,
    /// It is made, or emptied if it is there.
    Replace,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// The name within the folder.
    pub name: String,
    /// Bytes, of a file.
    pub len: u64,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

/// An open file. Dropping it closes it.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes at `position`; 0 at the end of the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `position` and says how many.
    ///
    /// # Errors
    /// What the operating system says; `StorageFull` when there is no space.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;

    /// Returns once all that was written is on the platter (fdatasync).
    ///
    /// # Errors
    /// What the operating system says; what was written may be lost then.
    fn sync_data(&self, kind: SyncKind) -> io::Result<()>;

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn size(&self) -> io::Result<u64>;

    /// The operating system's file, where there is one: for `sendfile`.
    fn as_file(&self) -> Option<&File>;
}

/// A disk: files in folders.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, or what else the operating system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, in the place of one that is there, and returns once its name is on the
    /// platter (fsync of the folder).
    ///
    /// # Errors
    /// What the operating system says; but for a failed fsync no file was made.
    fn create_synced(&self, path: &Path, kind: SyncKind) -> Result<Arc<dyn DiskFile>, FolderError>;

    /// What a folder holds, in no order.
    ///
    /// # Errors
    /// `NotFound`, or what else the operating system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>>;

    /// Makes a folder; its parent must be there.
    ///
    /// # Errors
    /// `AlreadyExists`, or what else the operating system says.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file or a folder another name, replacing a file that has it.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, or what else the operating system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;

    /// Returns once all names of a folder are on the platter (fsync of the folder).
    ///
    /// # Errors
    /// What the operating system says, and to which of the two steps.
    fn sync_folder(&self, folder: &Path, kind: SyncKind) -> Result<(), FolderError>;
}

/// Why it is not known that the names of a folder are on the platter.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder, or a file that was to be made in it, cannot be opened, as when descriptors have
    /// run out: nothing is lost, and it can be tried again.
    #[error("cannot open the folder, or a file in it")]
    Open(#[source] io::Error),
    /// The fsync failed: names may be lost.
    #[error("cannot sync the folder")]
    Sync(#[source] io::Error),
}

impl FolderError {
    fn at(self, opened: &Path, folder: &Path) -> DiskError {
        match self {
            Self::Open(source) => at("open", opened)(source),
            Self::Sync(source) => at(SYNC_FOLDER, folder)(source),
        }
    }
}

impl From<io::Error> for FolderError {
    fn from(error: io::Error) -> Self {
        Self::Sync(error)
    }
}

/// What was tried on a disk, where, and what the operating system said.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct DiskError {
    /// What was tried.
    pub operation: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// Whether it is for want of room (`ENOSPC`, `EDQUOT`) that something was not done.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl DiskError {
    /// Whether the disk is full: it may have room again later.
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }

    /// Whether an fsync failed: what was written may be lost, and the kernel will not say so
    /// again.
    pub fn is_sync_failure(&self) -> bool {
        self.operation == SYNC || self.operation == SYNC_FOLDER
    }

    /// Whether there is no such file or folder.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

const SYNC: &str = "sync";
const SYNC_FOLDER: &str = "sync folder";

fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError { operation, path: path.to_owned(), source }
}

/// Replaces a small file durably: once this returns, a power cut leaves the new content; before,
/// the old or the new one, never a mixture.
///
/// Only one caller at a time for each path.
///
/// # Errors
/// The step that failed; the old content is still there unless it was the last fsync.
pub fn replace_file(
    disk: &Arc<dyn Disk>,
    path: &Path,
    bytes: &[u8],
    what: SmallFile,
) -> Result<(), DiskError> {
    Volume::new(Arc::clone(disk)).replace_file(path, bytes, what)
}

/// Writes a small file that may be lost or torn by a power cut.
///
/// # Errors
/// The step that failed.
pub fn write_file(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    Volume::new(Arc::clone(disk)).write_file(path, bytes, None)
}

/// Removes a small file, if it is there; durably, if its folder is to be synced.
///
/// # Errors
/// The step that failed.
pub fn remove_file(
    disk: &Arc<dyn Disk>,
    path: &Path,
    folder: Option<SyncKind>,
) -> Result<(), DiskError> {
    let volume = Volume::new(Arc::clone(disk));
    match folder {
        Some(kind) if volume.remove_file(path)? => volume.sync_folder(parent(path), kind),
        Some(_) => Ok(()),
        None => volume.remove_file(path).map(|_| ()),
    }
}

/// Makes a folder and those above it, durably, where they are not there.
///
/// # Errors
/// The step that failed.
pub fn make_folder(disk: &Arc<dyn Disk>, path: &Path, kind: SyncKind) -> Result<(), DiskError> {
    Volume::new(Arc::clone(disk)).create_folder(path, kind).map(|_| ())
}

/// The content of a small file; `None` if there is none.
///
/// # Errors
/// The step that failed.
pub fn read_file(disk: &Arc<dyn Disk>, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    Volume::new(Arc::clone(disk)).read_file(path)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A disk, with the policy of this crate.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    disk: Arc<dyn Disk>,
}

impl Volume {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    pub(crate) fn open(&self, path: &Path, mode: OpenMode) -> Result<OpenFile, DiskError> {
        let file = self.disk.open(path, mode).map_err(at("open", path))?;
        Ok(OpenFile::new(file, path))
    }

    /// Makes an empty file whose name is durable; there is none after an error that is no failed
    /// fsync.
    pub(crate) fn create_synced(&self, path: &Path, kind: SyncKind) -> Result<OpenFile, DiskError> {
        let made = self.disk.create_synced(path, kind);
        Ok(OpenFile::new(made.map_err(|error| error.at(path, parent(path)))?, path))
    }

    /// The file, or `None` if it is not there.
    pub(crate) fn open_if_there(
        &self,
        path: &Path,
        mode: OpenMode,
    ) -> Result<Option<OpenFile>, DiskError> {
        match self.open(path, mode) {
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    pub(crate) fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(file) = self.open_if_there(path, OpenMode::Read)? else { return Ok(None) };
        let mut bytes = vec![0; file.size()? as usize];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Writes a file whose folder is synced later; without a kind it is not synced, as its
    /// loss would only cost time.
    pub(crate) fn write_file(
        &self,
        path: &Path,
        bytes: &[u8],
        kind: Option<SyncKind>,
    ) -> Result<(), DiskError> {
        let file = self.open(path, OpenMode::Replace)?;
        file.write_all_at(bytes, 0)?;
        kind.map_or(Ok(()), |kind| file.sync(kind))
    }

    pub(crate) fn replace_file(
        &self,
        path: &Path,
        bytes: &[u8],
        what: SmallFile,
    ) -> Result<(), DiskError> {
        let (file_kind, folder_kind) = what.syncs();
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let beside = PathBuf::from(beside);
        self.write_file(&beside, bytes, Some(file_kind))?;
        self.rename(&beside, path)?;
        folder_kind.map_or(Ok(()), |kind| self.sync_folder(parent(path), kind))
    }

    /// What a folder holds; nothing, if it is not there.
    pub(crate) fn list(&self, folder: &Path) -> Result<Vec<FolderEntry>, DiskError> {
        match self.disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(at("list", folder)),
        }
    }

    /// Makes a folder and those above it, durably; says whether it was not there before.
    pub(crate) fn create_folder(&self, folder: &Path, kind: SyncKind) -> Result<bool, DiskError> {
        match self.disk.create_folder(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_folder(parent(folder), kind)?;
                self.disk.create_folder(folder).map_err(at("create folder", folder))?;
            }
            Err(error) => return Err(at("create folder", folder)(error)),
        }
        self.sync_folder(parent(folder), kind)?;
        Ok(true)
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to).map_err(at("rename", from))
    }

    /// Removes a file; says whether it was there.
    pub(crate) fn remove_file(&self, path: &Path) -> Result<bool, DiskError> {
        match self.disk.remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(at("remove", path)(error)),
        }
    }

    pub(crate) fn remove_folder(&self, folder: &Path) -> Result<(), DiskError> {
        self.disk.remove_folder(folder).map_err(at("remove folder", folder))
    }

    pub(crate) fn sync_folder(&self, folder: &Path, kind: SyncKind) -> Result<(), DiskError> {
        self.disk.sync_folder(folder, kind).map_err(|error| error.at(folder, folder))
    }
}

#[derive(Debug)]
struct FileState {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Held while an fsync runs. The kernel tells a failed writeback to one fsync of an open
    /// file only, so a second one that runs beside it could succeed without the bytes being on
    /// the platter; one after the other, the second sees what became of the first.
    sync_failed: Mutex<bool>,
}

/// An open file, shared by all who hold a clone.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile(Arc<FileState>);

/// An [`OpenFile`] that does not keep the file open.
#[derive(Clone, Debug, Default)]
pub(crate) struct WeakFile(std::sync::Weak<FileState>);

impl WeakFile {
    pub(crate) fn upgrade(&self) -> Option<OpenFile> {
        self.0.upgrade().map(OpenFile)
    }
}

impl OpenFile {
    fn new(file: Arc<dyn DiskFile>, path: &Path) -> Self {
        Self(Arc::new(FileState { file, path: path.to_owned(), sync_failed: Mutex::new(false) }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn downgrade(&self) -> WeakFile {
        WeakFile(Arc::downgrade(&self.0))
    }

    pub(crate) fn as_file(&self) -> Option<&File> {
        self.0.file.as_file()
    }

    pub(crate) fn size(&self) -> Result<u64, DiskError> {
        self.0.file.size().map_err(at("stat", self.path()))
    }

    /// Fills `buffer` from `position`; fewer bytes than that only at the end of the file.
    pub(crate) fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.file.read_at(&mut buffer[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(at("read", self.path())(error)),
            }
        }
        Ok(done)
    }

    /// Writes all of `bytes` at `position`. After an error, any part of them may be written.
    pub(crate) fn write_all_at(&self, bytes: &[u8], position: u64) -> Result<(), DiskError> {
        let mut done = 0;
        while done < bytes.len() {
            match self.0.file.write_at(&bytes[done..], position + done as u64) {
                Ok(0) => return Err(at("write", self.path())(io::ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(at("write", self.path())(error)),
            }
        }
        Ok(())
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.0.file.set_len(len).map_err(at("cut", self.path()))
    }

    /// Returns once all that was written is on the platter. After a failure, fails for ever.
    pub(crate) fn sync(&self, kind: SyncKind) -> Result<(), DiskError> {
        let mut failed = self.0.sync_failed.lock();
        if *failed {
            let error = io::Error::other("an earlier fsync of this file failed");
            return Err(at(SYNC, self.path())(error));
        }
        let result = self.0.file.sync_data(kind);
        *failed = result.is_err();
        result.map_err(at(SYNC, self.path()))
    }
}

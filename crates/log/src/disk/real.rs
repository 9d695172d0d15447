//! The operating system's files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, DiskFile, FolderEntry, OpenMode, SyncKind};

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// Whether the environment says to leave out this fsync, to show that it is missed.
#[cfg(feature = "skip-sync")]
fn skips(kind: SyncKind) -> bool {
    static SKIPPED: std::sync::OnceLock<Option<SyncKind>> = std::sync::OnceLock::new();
    let skipped = SKIPPED.get_or_init(|| {
        let name = std::env::var("VLTAVA_SKIP_SYNC").ok()?;
        Some(SyncKind::from_name(&name).expect("VLTAVA_SKIP_SYNC names a kind of fsync"))
    });
    *skipped == Some(kind)
}

#[cfg(not(feature = "skip-sync"))]
fn skips(_kind: SyncKind) -> bool {
    false
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, position)
    }

    fn sync_data(&self, kind: SyncKind) -> io::Result<()> {
        if skips(kind) { Ok(()) } else { File::sync_data(self) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn as_file(&self) -> Option<&File> {
        Some(self)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        match mode {
            OpenMode::Read | OpenMode::Write => {}
            OpenMode::Create => _ = options.create(true),
            OpenMode::Replace => _ = options.create(true).truncate(true),
        }
        Ok(Arc::new(options.open(path)?))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A file that was removed since is not there; a name that is not UTF-8 is not ours.
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_folder = metadata.is_dir();
            entries.push(FolderEntry { name, len: metadata.len(), is_folder });
        }
        Ok(entries)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir(folder)
    }

    fn sync_folder(&self, folder: &Path, kind: SyncKind) -> io::Result<()> {
        if skips(kind) { Ok(()) } else { File::open(folder)?.sync_all() }
    }
}

//! The operating system's files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, DiskFile, FolderEntry, FolderError, OpenMode, SyncKind};

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// Where a build for tests of power cuts is told of what happens to the files. In any other build
/// nothing of it is there.
mod told {
    use super::*;

    #[cfg(feature = "power-cut")]
    use crate::disk::platter::{platter, skips};

    pub(super) fn opened(path: &Path, file: &File, mode: OpenMode) -> io::Result<()> {
        #[cfg(feature = "power-cut")]
        if let Some(platter) = platter() {
            return platter.opened(path, file, mode);
        }
        let _ = (path, file, mode);
        Ok(())
    }

    pub(super) fn written(file: &File, position: u64, count: usize) -> io::Result<()> {
        #[cfg(feature = "power-cut")]
        if let Some(platter) = platter() {
            return platter.written(file, position..position + count as u64);
        }
        let _ = (file, position, count);
        Ok(())
    }

    pub(super) fn created_folder(folder: &Path) -> io::Result<()> {
        #[cfg(feature = "power-cut")]
        if let Some(platter) = platter() {
            return platter.created_folder(folder);
        }
        let _ = folder;
        Ok(())
    }

    /// Whether a sync is done by what stands for the disk, or left out.
    pub(super) fn takes_sync(file: &File, kind: SyncKind) -> io::Result<bool> {
        #[cfg(feature = "power-cut")]
        {
            if skips(kind) {
                return Ok(true);
            }
            if let Some(platter) = platter() {
                return platter.sync_file(file).map(|()| true);
            }
        }
        let _ = (file, kind);
        Ok(false)
    }

    /// As [`takes_sync`], of a folder.
    pub(super) fn takes_folder_sync(folder: &Path, kind: SyncKind) -> io::Result<bool> {
        #[cfg(feature = "power-cut")]
        {
            if skips(kind) {
                return Ok(true);
            }
            if let Some(platter) = platter() {
                return platter.sync_folder(folder).map(|()| true);
            }
        }
        let _ = (folder, kind);
        Ok(false)
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let written = FileExt::write_at(self, bytes, position)?;
        told::written(self, position, written)?;
        Ok(written)
    }

    fn sync_data(&self, kind: SyncKind) -> io::Result<()> {
        if told::takes_sync(self, kind)? { Ok(()) } else { File::sync_data(self) }
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
        let file = options.open(path)?;
        told::opened(path, &file, mode)?;
        Ok(Arc::new(file))
    }

    fn create_synced(&self, path: &Path, kind: SyncKind) -> Result<Arc<dyn DiskFile>, FolderError> {
        // The folder first: were there no descriptor for it later, the file would be there.
        let folder = path.parent().unwrap_or(Path::new("."));
        let opened = File::open(folder).map_err(FolderError::Open)?;
        let file = self.open(path, OpenMode::Replace).map_err(FolderError::Open)?;
        if !told::takes_folder_sync(folder, kind)? {
            opened.sync_all().map_err(FolderError::Sync)?;
        }
        Ok(file)
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
        fs::create_dir(folder)?;
        told::created_folder(folder)
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

    fn sync_folder(&self, folder: &Path, kind: SyncKind) -> Result<(), FolderError> {
        if told::takes_folder_sync(folder, kind)? {
            return Ok(());
        }
        let opened = File::open(folder).map_err(FolderError::Open)?;
        opened.sync_all().map_err(FolderError::Sync)
    }
}

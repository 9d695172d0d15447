//! What a power cut would leave of the operating system's files: in real processes, for tests.
//!
//! The files themselves play the page cache. Beside them, on the same file system, lies a folder
//! that gets what was synced, and nothing else:
//!
//! - `files/INODE`: the bytes of a file, as they were when it was last synced;
//! - `folders/INODE`: the names in a folder, as they were when it was last synced, a line each:
//!   `f INODE NAME` of a file, `d INODE NAME` of a folder;
//! - `held/INODE`: a link to each file that was opened to be written, so that its bytes are there
//!   when its name is not, and its number is not given to another file.
//!
//! Whoever cuts the power kills the processes and puts together the files anew from both. No file
//! system is as strict: ext4's journal brings names to the disk with the next fsync of any file,
//! so that it hides most of those that are missing.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::{OpenMode, SyncKind};

/// Names the folder of what was synced.
const PLATTER: &str = "VLTAVA_PLATTER";
/// Names the folder whose files it is about, as an absolute path.
const PLATTER_OF: &str = "VLTAVA_PLATTER_OF";
/// Names the fsync to leave out: `LogFlush`, or `broker:LogFlush` to leave it out there alone.
const SKIP: &str = "VLTAVA_SKIP_SYNC";

/// What a file has that is not on the platter.
#[derive(Debug)]
enum Unsynced {
    All,
    Ranges(Vec<Range<u64>>),
}

#[derive(Debug)]
pub(super) struct Platter {
    at: PathBuf,
    of: PathBuf,
    /// By inode. Held while something is brought to the platter: a sync that comes meanwhile
    /// returns after it.
    unsynced: Mutex<HashMap<u64, Unsynced>>,
}

/// Whether the environment says to leave out this fsync, to show that it is missed.
pub(super) fn skips(kind: SyncKind) -> bool {
    static SKIPPED: OnceLock<Option<SyncKind>> = OnceLock::new();
    let read = || {
        let named = std::env::var(SKIP).ok()?;
        let (role, name) = named.split_once(':').unwrap_or(("", &named));
        let kind = SyncKind::from_name(name).expect("VLTAVA_SKIP_SYNC names a kind of fsync");
        let is_meant = role.is_empty() || std::env::args().nth(1).as_deref() == Some(role);
        is_meant.then_some(kind)
    };
    *SKIPPED.get_or_init(read) == Some(kind)
}

/// The platter that the environment names.
pub(super) fn platter() -> Option<&'static Platter> {
    static PLATTER_NAMED: OnceLock<Option<Platter>> = OnceLock::new();
    let read = || {
        let at = PathBuf::from(std::env::var_os(PLATTER)?);
        let of = PathBuf::from(std::env::var_os(PLATTER_OF)?);
        for folder in ["files", "folders", "held"] {
            fs::create_dir_all(at.join(folder)).expect("the platter's folder can be written");
        }
        Some(Platter { at, of, unsynced: Mutex::default() })
    };
    PLATTER_NAMED.get_or_init(read).as_ref()
}

impl Platter {
    /// Notes that a file is open.
    pub(super) fn opened(&self, path: &Path, file: &File, mode: OpenMode) -> io::Result<()> {
        if mode == OpenMode::Read || !path.starts_with(&self.of) {
            return Ok(());
        }
        let inode = file.metadata()?.ino();
        match fs::hard_link(path, self.at.join("held").join(inode.to_string())) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut unsynced = self.unsynced.lock();
        if mode == OpenMode::Replace {
            unsynced.insert(inode, Unsynced::All);
        }
        // A process that died may have left something unsynced.
        unsynced.entry(inode).or_insert(Unsynced::All);
        Ok(())
    }

    /// Notes that something was written.
    pub(super) fn written(&self, file: &File, range: Range<u64>) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        if let Some(Unsynced::Ranges(ranges)) = self.unsynced.lock().get_mut(&inode) {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        Ok(())
    }

    /// Brings a file's bytes to the platter.
    pub(super) fn sync_file(&self, file: &File) -> io::Result<()> {
        let mut unsynced = self.unsynced.lock();
        let metadata = file.metadata()?;
        let path = self.at.join("files").join(metadata.ino().to_string());
        let to = File::options().create(true).truncate(false).write(true).open(path)?;
        let clean = Unsynced::Ranges(Vec::new());
        let ranges = match unsynced.insert(metadata.ino(), clean).unwrap_or(Unsynced::All) {
            Unsynced::All => std::iter::once(0..metadata.len()).collect(),
            Unsynced::Ranges(ranges) => ranges,
        };
        for range in ranges {
            let end = range.end.min(metadata.len());
            let mut bytes = vec![0; end.saturating_sub(range.start) as usize];
            file.read_exact_at(&mut bytes, range.start)?;
            to.write_all_at(&bytes, range.start)?;
        }
        to.set_len(metadata.len())
    }

    /// Notes that a folder was made: neither its name nor what is in it is on the platter.
    pub(super) fn created_folder(&self, folder: &Path) -> io::Result<()> {
        if !folder.starts_with(&self.of) {
            return Ok(());
        }
        let _held = self.unsynced.lock();
        if let Some(parent) = folder.parent().filter(|parent| parent.starts_with(&self.of))
            && !self.names_of(parent)?.exists()
        {
            self.write_names(parent, Some(folder))?;
        }
        fs::write(self.names_of(folder)?, "")
    }

    /// Brings a folder's names to the platter.
    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if !folder.starts_with(&self.of) {
            return Ok(());
        }
        let _held = self.unsynced.lock();
        self.write_names(folder, None)
    }

    fn names_of(&self, folder: &Path) -> io::Result<PathBuf> {
        Ok(self.at.join("folders").join(fs::metadata(folder)?.ino().to_string()))
    }

    fn write_names(&self, folder: &Path, but: Option<&Path>) -> io::Result<()> {
        let mut names = String::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A file may be removed while the folder is listed.
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(name) = entry.file_name().into_string() else { continue };
            if but != Some(entry.path().as_path()) {
                let kind = if metadata.is_dir() { 'd' } else { 'f' };
                names.push_str(&format!("{kind} {} {name}\n", metadata.ino()));
            }
        }
        let path = self.names_of(folder)?;
        let next = path.with_extension("next");
        fs::write(&next, names)?;
        fs::rename(next, path)
    }
}

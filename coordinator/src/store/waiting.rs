//! A disk that waits for room instead of failing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use vltava_log::disk::{FolderEntry, FolderError, OpenMode, is_full};
use vltava_log::{Disk, DiskFile, SyncKind};

/// How long a full disk is left alone before the next try.
const BETWEEN: Duration = Duration::from_millis(200);

/// A disk whose writes wait while it is full, for those who can do nothing else without them: a
/// voter that cannot write must not vote, acknowledge or forget, and to end would not make room.
/// Whatever calls it stands still meanwhile, as a process does that is paused.
///
/// Only a full disk is waited for (`ENOSPC`, `EDQUOT`). A failed fsync is an error at once: what it
/// should have written may be lost.
#[derive(Clone, Debug)]
pub(crate) struct WaitingDisk {
    disk: Arc<dyn Disk>,
    room: Arc<Room>,
}

impl WaitingDisk {
    /// Waits for room on `disk`.
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, room: Arc::default() }
    }

    /// Whether somebody waits for room at this moment.
    pub(crate) fn is_full(&self) -> bool {
        self.room.state.lock().waiting > 0
    }

    /// Waits no longer: from now on a full disk is an error, also for whoever waits already.
    pub(crate) fn give_up(&self) {
        self.room.state.lock().given_up = true;
        self.room.changed.notify_all();
    }

    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(WaitingFile { file, path: path.to_owned(), room: Arc::clone(&self.room) })
    }
}

#[derive(Debug, Default)]
struct Room {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many callers wait.
    waiting: usize,
    given_up: bool,
}

impl Room {
    /// Tries until there is room, or until nobody wants to wait any more.
    fn wait_for<T>(&self, path: &Path, tried: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match tried() {
            Err(error) if is_full(&error) => {}
            other => return other,
        }
        let path = path.display();
        tracing::error!(%path, "the disk is full: this node stands still until there is room");
        let mut state = self.state.lock();
        state.waiting += 1;
        let outcome = loop {
            if state.given_up {
                break tried();
            }
            self.changed.wait_for(&mut state, BETWEEN);
            match tried() {
                Err(error) if is_full(&error) => {}
                other => {
                    tracing::info!("the disk has room again: this node goes on");
                    break other;
                }
            }
        };
        state.waiting -= 1;
        outcome
    }
}

#[derive(Debug)]
struct WaitingFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    room: Arc<Room>,
}

impl DiskFile for WaitingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.room.wait_for(&self.path, || self.file.write_at(bytes, position))
    }

    fn sync_data(&self, kind: SyncKind) -> io::Result<()> {
        self.file.sync_data(kind)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room.wait_for(&self.path, || self.file.set_len(len))
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn as_file(&self) -> Option<&File> {
        self.file.as_file()
    }
}

impl Disk for WaitingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.room.wait_for(path, || self.disk.open(path, mode))?;
        Ok(self.file(path, file))
    }

    fn create_synced(&self, path: &Path, kind: SyncKind) -> Result<Arc<dyn DiskFile>, FolderError> {
        let made = self.room.wait_for(path, || match self.disk.create_synced(path, kind) {
            Err(FolderError::Open(error)) => Err(error),
            other => Ok(other),
        });
        Ok(self.file(path, made.map_err(FolderError::Open)??))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>> {
        self.disk.list(folder)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.room.wait_for(folder, || self.disk.create_folder(folder))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.room.wait_for(to, || self.disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.remove_folder(folder)
    }

    fn sync_folder(&self, folder: &Path, kind: SyncKind) -> Result<(), FolderError> {
        self.disk.sync_folder(folder, kind)
    }
}

#[cfg(test)]
mod tests {
    use vltava_log::{DiskError, FaultyDisk, SmallFile, disk};

    use super::*;

    const FILE: &str = "/vote";

    fn write(disk: &WaitingDisk, bytes: &[u8]) -> Result<(), DiskError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        disk::replace_file(&disk, Path::new(FILE), bytes, SmallFile::QuorumState)
    }

    fn until(holds: impl Fn() -> bool) {
        while !holds() {
            std::thread::yield_now();
        }
    }

    /// Writes to a full disk, and does something once that waits.
    fn write_and(then: impl Fn(&FaultyDisk, &WaitingDisk)) -> (WaitingDisk, Result<(), DiskError>) {
        let faulty = FaultyDisk::new(0);
        let waiting = WaitingDisk::new(Arc::new(faulty.clone()));
        faulty.set_capacity(3);
        let written = std::thread::scope(|scope| {
            let written = scope.spawn(|| write(&waiting, b"epoch 7"));
            until(|| waiting.is_full());
            assert!(!written.is_finished());
            then(&faulty, &waiting);
            written.join().unwrap()
        });
        (waiting, written)
    }

    #[test]
    fn a_write_waits_for_room_and_is_whole() {
        let (waiting, written) = write_and(|faulty, _| faulty.set_capacity(u64::MAX));
        written.unwrap();
        assert!(!waiting.is_full());
        let disk: Arc<dyn Disk> = Arc::new(waiting);
        assert_eq!(disk::read_file(&disk, Path::new(FILE)).unwrap().unwrap(), b"epoch 7");
    }

    #[test]
    fn who_stops_does_not_wait() {
        let (waiting, written) = write_and(|_, waiting| waiting.give_up());
        assert!(written.unwrap_err().is_full());
        assert!(write(&waiting, b"epoch 8").unwrap_err().is_full());
    }
}

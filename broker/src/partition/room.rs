//! How much room a disk has left: a full one refuses appends early, so that deleting, and the
//! small files that recovery needs, still work.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long an answer of the file system is good for: others write to it, too.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// How many bytes may be appended between two questions, at most.
const BYTES_BETWEEN: u64 = 16 << 20;

/// The headroom is at most this part of a small disk: one twentieth.
const HEADROOM_SHARE: u64 = 20;

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// That can be written.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// Asks how much space there is; `None` where that is not known.
pub type Probe = Box<dyn Fn() -> Option<Space> + Send + Sync>;

#[derive(Debug)]
struct Allowance {
    bytes: u64,
    asked: Option<Instant>,
    is_full: bool,
}

/// How much room a disk has left.
pub struct Room {
    probe: Probe,
    headroom: u64,
    allowance: Mutex<Allowance>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("headroom", &self.headroom)
            .field("allowance", &self.allowance)
            .finish_non_exhaustive()
    }
}

impl Room {
    /// Keeps `headroom` bytes free, or a twentieth of a disk for which that would be much.
    pub fn new(headroom: u64, probe: Probe) -> Self {
        let allowance = Mutex::new(Allowance { bytes: 0, asked: None, is_full: false });
        Self { probe, headroom, allowance }
    }

    /// Free and total bytes.
    pub fn space(&self) -> Option<Space> {
        (self.probe)()
    }

    /// Takes room for so many bytes; `false` if there is none.
    pub fn take(&self, bytes: usize) -> bool {
        let mut allowance = self.allowance.lock();
        let bytes = bytes as u64;
        let is_old = allowance.asked.is_none_or(|asked| asked.elapsed() > GOOD_FOR);
        if is_old || allowance.bytes < bytes {
            self.ask(&mut allowance, bytes);
        }
        let has_room = allowance.bytes >= bytes;
        allowance.bytes = allowance.bytes.saturating_sub(if has_room { bytes } else { 0 });
        if allowance.is_full == has_room {
            allowance.is_full = !has_room;
            if has_room {
                tracing::info!("the disk has room again: appends are taken");
            } else {
                tracing::error!(headroom = self.headroom, "the disk is full: appends are refused");
            }
        }
        has_room
    }

    /// Whether there is room for so many bytes; none of it is taken.
    pub fn could_take(&self, bytes: u64) -> bool {
        let headroom = |total| self.headroom.min(total / HEADROOM_SHARE);
        self.space().is_none_or(|it| it.free.saturating_sub(headroom(it.total)) >= bytes)
    }

    /// Notes that a write found no room: the next append asks first.
    pub fn note_full(&self) {
        self.allowance.lock().bytes = 0;
    }

    fn ask(&self, allowance: &mut Allowance, bytes: u64) {
        allowance.asked = Some(Instant::now());
        allowance.bytes = match (self.probe)() {
            None => BYTES_BETWEEN.max(bytes),
            Some(Space { free, total }) => {
                let left = free.saturating_sub(self.headroom.min(total / HEADROOM_SHARE));
                // Several directories may share a disk: nobody takes more than a part unasked.
                left.min(bytes.max((left / 4).min(BYTES_BETWEEN)))
            }
        };
    }
}

/// Asks the operating system about the disk of a folder.
pub fn probe(path: &std::path::Path) -> Probe {
    let path = path.to_owned();
    Box::new(move || {
        let stat = rustix::fs::statvfs(&path).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn room(free: &Arc<AtomicU64>, headroom: u64) -> Room {
        let free = Arc::clone(free);
        let space = move || Some(Space { free: free.load(Ordering::SeqCst), total: 100_000 });
        Room::new(headroom, Box::new(space))
    }

    #[test]
    fn a_full_disk_refuses_until_there_is_room_again() {
        let free = Arc::new(AtomicU64::new(3_000));
        let room = room(&free, 1_000);
        assert!(room.take(1_500));
        free.store(1_500, Ordering::SeqCst);
        assert!(!room.take(501));
        assert!(room.take(500));
        free.store(100_000, Ordering::SeqCst);
        room.note_full();
        assert!(room.take(10_000));
    }

    #[test]
    fn headroom_is_a_small_part_of_a_small_disk() {
        let free = Arc::new(AtomicU64::new(6_000));
        let room = room(&free, 1 << 40);
        assert!(room.take(1_000));
        assert!(!room.take(1_001 + 5_000));
    }

    #[test]
    fn where_space_is_not_known_there_is_some() {
        let room = Room::new(1 << 40, Box::new(|| None));
        assert!(room.take(1 << 30));
    }
}

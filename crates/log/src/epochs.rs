//! Which leader epoch starts at which offset (KIP-101): `leader-epoch-checkpoint`.
//!
//! The list in the file is never behind [`crate::Log::flushed_offset`]: it is written with the
//! first flush after it changed, before the flush counts. Epochs of records beyond that are
//! found in the records when the log is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use vltava_wire::{LeaderEpoch, Offset};

use crate::disk::{DiskError, SmallFile, Volume};

/// The name of the file.
pub(crate) const FILE: &str = "leader-epoch-checkpoint";

/// A leader epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset of its first record.
    pub start_offset: Offset,
}

/// The leader epochs of a log. Both numbers of its entries rise strictly.
#[derive(Debug)]
pub(crate) struct Epochs {
    entries: Vec<EpochEntry>,
    /// Rises with every change, so that of two writers of the file the newer content wins.
    version: u64,
    file: Arc<EpochFile>,
}

/// The file, shared with the flushes that write it.
#[derive(Debug)]
struct EpochFile {
    volume: Volume,
    path: Mutex<PathBuf>,
    written_version: AtomicU64,
}

/// The content of the file, to be written without the log's lock.
#[derive(Debug)]
pub(crate) struct EpochWrite {
    file: Arc<EpochFile>,
    version: u64,
    content: String,
}

impl EpochWrite {
    /// Replaces the file, unless newer content is there.
    pub(crate) fn write(&self) -> Result<(), DiskError> {
        let path = self.file.path.lock();
        if self.file.written_version.load(Ordering::Acquire) >= self.version {
            return Ok(());
        }
        self.file.volume.replace_file(&path, self.content.as_bytes(), SmallFile::LeaderEpochs)?;
        self.file.written_version.store(self.version, Ordering::Release);
        Ok(())
    }
}

impl Epochs {
    /// An empty list that will be written to `path`.
    pub(crate) fn empty(volume: Volume, path: PathBuf) -> Self {
        let file = EpochFile { volume, path: Mutex::new(path), written_version: 0.into() };
        Self { entries: Vec::new(), version: 0, file: Arc::new(file) }
    }

    /// The list in the file; `Err` says what is wrong with its text.
    pub(crate) fn load(volume: Volume, path: PathBuf) -> Result<Result<Self, String>, DiskError> {
        let content = volume.read_file(&path)?;
        let mut epochs = Self::empty(volume, path);
        let Some(content) = content else { return Ok(Ok(epochs)) };
        Ok(parse(&content).map(|entries| {
            epochs.entries = entries;
            epochs
        }))
    }

    /// Tells the list that the log's folder has another name.
    pub(crate) fn set_path(&self, path: PathBuf) {
        *self.file.path.lock() = path;
    }

    /// What has to be written before a flush counts, if anything.
    pub(crate) fn unwritten(&self) -> Option<EpochWrite> {
        if self.file.written_version.load(Ordering::Acquire) >= self.version {
            return None;
        }
        let mut content = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            content.push_str(&format!("{} {}\n", entry.epoch, entry.start_offset));
        }
        Some(EpochWrite { file: Arc::clone(&self.file), version: self.version, content })
    }

    pub(crate) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` starts at `start_offset`, unless the latest epoch is that one; entries
    /// that contradict it go.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        if epoch < LeaderEpoch(0) || self.latest() == Some(epoch) {
            return;
        }
        self.entries.retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochEntry { epoch, start_offset });
        self.version += 1;
    }

    /// Removes the epochs that start at `end_offset` or later.
    pub(crate) fn truncate_from_end(&mut self, end_offset: Offset) {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        if kept < self.entries.len() {
            self.entries.truncate(kept);
            self.version += 1;
        }
    }

    /// Removes the epochs that end at or before `start_offset`; the one that holds it starts
    /// there from now on.
    pub(crate) fn truncate_from_start(&mut self, start_offset: Offset) {
        let after = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(holding) = after.checked_sub(1) else { return };
        if holding == 0 && self.entries[0].start_offset == start_offset {
            return;
        }
        self.entries.drain(..holding);
        self.entries[0].start_offset = start_offset;
        self.version += 1;
    }

    /// Takes over the list of another log that has the same records.
    pub(crate) fn adopt(&mut self, other: &Self) {
        if self.entries != other.entries {
            self.entries.clone_from(&other.entries);
            self.version += 1;
        }
    }

    /// Removes all.
    pub(crate) fn clear(&mut self) {
        self.truncate_from_end(Offset(i64::MIN));
    }

    /// The largest epoch not above `epoch`, and where it ends, `log_end_offset` being the end
    /// of the latest. An epoch older than all that is known ends where the oldest known starts.
    pub(crate) fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end_offset: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        if self.latest()? == epoch {
            return Some((epoch, log_end_offset));
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end_offset = self.entries.get(higher)?.start_offset;
        let found = higher.checked_sub(1).map_or(epoch, |floor| self.entries[floor].epoch);
        (epoch >= LeaderEpoch(0)).then_some((found, end_offset))
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        Some(self.entries[after.checked_sub(1)?].epoch)
    }
}

fn parse(content: &[u8]) -> Result<Vec<EpochEntry>, String> {
    let mut entries: Vec<EpochEntry> = Vec::new();
    for line in crate::checkpoint::parse_lines(content)? {
        let entry = line.split_once(' ').and_then(|(epoch, offset)| {
            let epoch = LeaderEpoch(epoch.parse().ok()?);
            Some(EpochEntry { epoch, start_offset: Offset(offset.parse().ok()?) })
        });
        let entry = entry.ok_or_else(|| format!("{line:?} is not an epoch and its offset"))?;
        if let Some(last) = entries.last()
            && (last.epoch >= entry.epoch || last.start_offset >= entry.start_offset)
        {
            return Err(format!("{line:?} does not come after the line before it"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn epochs(entries: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::empty(Volume::new(Arc::new(RealDisk)), PathBuf::new());
        for &(epoch, start_offset) in entries {
            epochs.assign(LeaderEpoch(epoch), Offset(start_offset));
        }
        epochs
    }

    fn pairs(epochs: &Epochs) -> Vec<(i32, i64)> {
        epochs.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_starts() {
        let epochs = epochs(&[(2, 10), (4, 20), (7, 30)]);
        let end = |epoch| epochs.end_offset_for(LeaderEpoch(epoch), Offset(40));
        let at = |epoch, offset| Some((LeaderEpoch(epoch), Offset(offset)));
        assert_eq!(end(7), at(7, 40));
        assert_eq!(end(4), at(4, 30));
        assert_eq!(end(5), at(4, 30), "an epoch without records ends with the one before it");
        assert_eq!(end(1), at(1, 10), "an epoch before all that is known ends where they start");
        assert_eq!(end(8), None, "an epoch after all that is known is not known");
        assert_eq!(end(-1), None);
    }

    #[test]
    fn a_contradicted_epoch_goes() {
        let mut epochs = epochs(&[(2, 10), (4, 20)]);
        epochs.assign(LeaderEpoch(5), Offset(20));
        assert_eq!(pairs(&epochs), [(2, 10), (5, 20)]);
        epochs.assign(LeaderEpoch(5), Offset(25));
        assert_eq!(pairs(&epochs), [(2, 10), (5, 20)], "the same epoch starts once");
    }

    #[test]
    fn cutting_an_end_keeps_the_epoch_that_holds_it() {
        let mut epochs = epochs(&[(2, 10), (4, 20), (7, 30)]);
        epochs.truncate_from_end(Offset(25));
        assert_eq!(pairs(&epochs), [(2, 10), (4, 20)]);
        epochs.truncate_from_start(Offset(15));
        assert_eq!(pairs(&epochs), [(2, 15), (4, 20)]);
        epochs.truncate_from_start(Offset(20));
        assert_eq!(pairs(&epochs), [(4, 20)]);
        epochs.truncate_from_start(Offset(15));
        assert_eq!(pairs(&epochs), [(4, 20)]);
    }

    #[test]
    fn a_torn_file_is_told() {
        assert!(parse(b"0\n2\n1 0\n").is_err());
        assert!(parse(b"0\n1\n1 x\n").is_err());
        assert!(parse(b"0\n2\n1 5\n0 7\n").is_err());
        assert_eq!(parse(b"0\n2\n1 5\n2 7\n").map(|entries| entries.len()), Ok(2));
    }
}

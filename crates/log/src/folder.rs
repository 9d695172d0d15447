//! The folder of a log: which files it holds and what they are called.

use std::path::PathBuf;

use vltava_wire::Offset;

use crate::disk::{DiskError, OpenFile, OpenMode, SyncKind, Volume};

/// Records.
pub(crate) const LOG: &str = "log";
/// The index of offsets.
pub(crate) const OFFSET_INDEX: &str = "index";
/// The index of timestamps.
pub(crate) const TIME_INDEX: &str = "timeindex";
/// The index of aborted transactions; Apache Kafka makes one for each segment.
pub(crate) const TXN_INDEX: &str = "txnindex";
/// A snapshot of the producers.
pub(crate) const SNAPSHOT: &str = "snapshot";

/// The indexes of a segment.
pub(crate) const INDEXES: [&str; 3] = [OFFSET_INDEX, TIME_INDEX, TXN_INDEX];
/// All files of a segment, the indexes first.
pub(crate) const SEGMENT_FILES: [&str; 4] = [OFFSET_INDEX, TIME_INDEX, TXN_INDEX, LOG];

/// What is appended to the name of a file that is about to be removed.
const DELETED: &str = "deleted";
/// What is appended to the names of a segment's files while compaction writes them.
pub(crate) const CLEANED: &str = ".cleaned";
/// What is appended to the names of a segment's files that are whole, and about to be put in the
/// place of others.
pub(crate) const SWAP: &str = ".swap";
/// What unfinished work of an earlier run ends with.
const LEFTOVERS: [&str; 2] = [DELETED, "tmp"];

/// Digits of the offset in a file's name.
const OFFSET_DIGITS: usize = 20;

/// A log's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) volume: Volume,
    pub(crate) dir: PathBuf,
    /// What is appended to the names of all files: nothing, or [`CLEANED`].
    pub(crate) ending: &'static str,
}

/// The segments and snapshots in a folder, sorted.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Base offset and size of each `.log`.
    pub(crate) logs: Vec<(Offset, u64)>,
    /// The offset of each snapshot.
    pub(crate) snapshots: Vec<Offset>,
}

/// The offset and the kind of a file; `None` for what is none of ours.
pub(crate) fn parse(name: &str) -> Option<(Offset, &str)> {
    let (offset, suffix) = name.split_once('.')?;
    let digits = offset.len() == OFFSET_DIGITS && offset.bytes().all(|b| b.is_ascii_digit());
    Some((Offset(offset.parse().ok().filter(|_| digits)?), suffix))
}

impl Folder {
    /// The file of that offset and kind.
    pub(crate) fn path(&self, offset: Offset, suffix: &str) -> PathBuf {
        self.dir.join(format!("{:020}.{suffix}{}", offset.0, self.ending))
    }

    /// The same folder, where what compaction writes is called something else.
    pub(crate) fn cleaned(&self) -> Self {
        Self { ending: CLEANED, ..self.clone() }
    }

    pub(crate) fn open(
        &self,
        offset: Offset,
        suffix: &str,
        mode: OpenMode,
    ) -> Result<OpenFile, DiskError> {
        self.volume.open(&self.path(offset, suffix), mode)
    }

    /// Removes what unfinished work has left, and lists the rest.
    pub(crate) fn tidy_and_list(&self) -> Result<Listing, DiskError> {
        let entries = self.volume.list(&self.dir)?;
        let mut listing = Listing::default();
        let mut indexes = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.is_folder) {
            let leftover = entry.name.rsplit('.').next().is_some_and(|s| LEFTOVERS.contains(&s));
            match parse(&entry.name) {
                _ if leftover => _ = self.volume.remove_file(&self.dir.join(&entry.name))?,
                Some((offset, LOG)) => listing.logs.push((offset, entry.len)),
                Some((offset, SNAPSHOT)) => listing.snapshots.push(offset),
                Some((offset, OFFSET_INDEX | TIME_INDEX | TXN_INDEX)) => {
                    indexes.push((offset, entry.name.as_str()));
                }
                _ => {}
            }
        }
        listing.logs.sort_unstable();
        listing.snapshots.sort_unstable();
        for (offset, name) in indexes {
            if listing.logs.binary_search_by_key(&offset, |(base, _)| *base).is_err() {
                self.volume.remove_file(&self.dir.join(name))?;
            }
        }
        Ok(listing)
    }

    /// Removes a segment durably. Indexes go first: one without records is only tidied away.
    pub(crate) fn remove_segment(&self, base_offset: Offset) -> Result<(), DiskError> {
        for suffix in SEGMENT_FILES {
            self.volume.remove_file(&self.path(base_offset, suffix))?;
        }
        self.volume.sync_folder(&self.dir, SyncKind::TruncateFolder)
    }

    /// Renames a segment's files to what [`tidy_and_list`](Self::tidy_and_list) removes.
    pub(crate) fn give_up_segment(&self, base_offset: Offset) -> Result<(), DiskError> {
        for suffix in [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX] {
            let path = self.path(base_offset, suffix);
            let to = self.path(base_offset, &format!("{suffix}.{DELETED}"));
            match self.volume.rename(&path, &to) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the files of a segment that was given up.
    pub(crate) fn remove_given_up(&self, base_offset: Offset) -> Result<(), DiskError> {
        for suffix in [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX] {
            self.volume.remove_file(&self.path(base_offset, &format!("{suffix}.{DELETED}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        assert_eq!(parse("00000000000000000017.log"), Some((Offset(17), "log")));
        assert_eq!(parse("00000000000000000017.log.deleted"), Some((Offset(17), "log.deleted")));
        assert_eq!(parse("17.log"), None);
        assert_eq!(parse("+0000000000000000017.log"), None);
        assert_eq!(parse("99999999999999999999.log"), None);
        assert_eq!(parse("leader-epoch-checkpoint"), None);
    }
}

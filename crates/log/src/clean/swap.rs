//! A cleaned segment takes the place of those that it was made of, by Kafka's protocol.
//!
//! Its files are called `.cleaned` while they are written. Then they become `.swap`, the records
//! last of all: from the sync of the folder after that on, the new segment counts, and a start
//! after a crash completes what follows ([`finish`]). The old segments but the first are renamed
//! out of the way, and when that is durable, too, the new one takes the names of the first. Without
//! that sync an old segment could come back when nothing says any more that it is replaced.
//!
//! The last renames need no sync of their own: until they are durable, the names of a `.swap` say
//! the same. But a `.cleaned` file says that a `.swap` of a later offset is not complete (which is
//! how Kafka tells a segment that it did not finish splitting), so they are made durable before the
//! next one is begun.

use std::collections::BTreeSet;

use vltava_wire::Offset;

use super::round::{CleanedSegment, discard};
use crate::disk::{DiskError, OpenMode, SyncKind};
use crate::error::LogError;
use crate::folder::{self, CLEANED, Folder, INDEXES, LOG, SWAP};
use crate::log::{Log, corrupt};
use crate::scan::HeaderWalk;
use crate::segment::Segment;

/// Bytes read at once while headers are read.
const WALK_BYTES: usize = 64 * 1024;

/// What became of a cleaned segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapOutcome {
    /// It is in place; so many bytes less are used.
    Swapped {
        /// Bytes of the old segments less those of the new one.
        freed: i64,
    },
    /// Nothing was to be dropped: the old segment stays.
    Unchanged,
    /// The log has changed since the round began (it was cut, or segments were deleted): the new
    /// segment was thrown away, and the round must end.
    Stale,
}

impl Log {
    /// Puts a cleaned segment in the place of those that it was made of, durably.
    ///
    /// # Errors
    /// The disk's. If the new segment did not count yet, the log is as it was; else it has failed,
    /// and opening it completes the swap.
    pub fn swap_in(&mut self, cleaned: CleanedSegment) -> Result<SwapOutcome, LogError> {
        self.check()?;
        if cleaned.is_same {
            cleaned.discard();
            return Ok(SwapOutcome::Unchanged);
        }
        let Some(at) = self.find_replaced(&cleaned) else {
            cleaned.discard();
            return Ok(SwapOutcome::Stale);
        };
        let base = cleaned.segment.base_offset();
        if let Err(error) = self.announce(base) {
            if error.is_sync_failure() {
                return Err(self.fail(error));
            }
            discard(&Folder { ending: SWAP, ..self.folder.clone() }, base);
            cleaned.discard();
            return Err(error.into());
        }
        let others: Vec<_> = cleaned.replaces[1..].iter().map(|it| it.base_offset).collect();
        self.replace(base, &others).map_err(|error| self.fail(error))?;
        let count = cleaned.replaces.len();
        let before: u64 = self.segments[at..at + count].iter().map(Segment::size).sum();
        let mut segment = cleaned.segment;
        let freed = before as i64 - segment.size() as i64;
        segment.retire();
        segment.close();
        drop(self.segments.splice(at..at + count, [segment]));
        for base in others {
            // What cannot be removed now is removed when the log is opened.
            _ = self.folder.remove_given_up(base);
        }
        self.prune_snapshots();
        Ok(SwapOutcome::Swapped { freed })
    }

    /// Where the segments are that it replaces, if all of them are what they were.
    fn find_replaced(&self, cleaned: &CleanedSegment) -> Option<usize> {
        let base = cleaned.segment.base_offset();
        let at = self.segments.iter().position(|segment| segment.base_offset() == base)?;
        let (_, inactive) = self.segments.split_last()?;
        let found = inactive.get(at..at + cleaned.replaces.len())?;
        let bases = cleaned.replaces.iter().map(|source| source.base_offset);
        let is_there = found.iter().map(Segment::base_offset).eq(bases);
        (is_there && cleaned.truncations == self.truncations).then_some(at)
    }

    /// From here on the new segment counts.
    fn announce(&self, base: Offset) -> Result<(), DiskError> {
        for suffix in INDEXES.into_iter().chain([LOG]) {
            rename(&self.folder, base, suffix, (CLEANED, SWAP))?;
        }
        self.folder.volume.sync_folder(&self.folder.dir, SyncKind::SwapFolder)
    }

    fn replace(&self, base: Offset, others: &[Offset]) -> Result<(), DiskError> {
        for other in others.iter().rev() {
            self.folder.give_up_segment(*other)?;
        }
        if !others.is_empty() {
            self.folder.volume.sync_folder(&self.folder.dir, SyncKind::SwapRetired)?;
        }
        take_names(&self.folder, base)
    }
}

/// The `.swap` files of a segment get its names. Of aborted transactions nothing is left in it:
/// here it has no index of them, and in that of the old one are only such.
fn take_names(folder: &Folder, base: Offset) -> Result<(), DiskError> {
    for suffix in INDEXES.into_iter().chain([LOG]) {
        let is_there = rename(folder, base, suffix, (SWAP, ""))?;
        if !is_there && suffix == folder::TXN_INDEX {
            folder.volume.remove_file(&folder.path(base, suffix))?;
        }
    }
    Ok(())
}

/// Renames a file of a segment, if it is there; says whether it was.
fn rename(
    folder: &Folder,
    base: Offset,
    suffix: &str,
    (from, to): (&'static str, &'static str),
) -> Result<bool, DiskError> {
    let path = |ending| Folder { ending, ..folder.clone() }.path(base, suffix);
    match folder.volume.rename(&path(from), &path(to)) {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// What compaction had under way when the log was last used.
#[derive(Debug, Default)]
struct Unfinished {
    /// What was being written: base offset and suffix.
    cleaned: Vec<(Offset, String)>,
    /// What was about to be put in the place of others.
    swaps: Vec<(Offset, String)>,
    /// The base offsets of all segments.
    bases: Vec<Offset>,
}

impl Unfinished {
    fn find(folder: &Folder) -> Result<Self, DiskError> {
        let mut found = Self::default();
        for entry in folder.volume.list(&folder.dir)? {
            let under_way = [(CLEANED, &mut found.cleaned), (SWAP, &mut found.swaps)];
            for (ending, files) in under_way {
                let name = entry.name.strip_suffix(ending).and_then(folder::parse);
                files.extend(name.map(|(base, suffix)| (base, suffix.to_owned())));
            }
            if let Some((base, LOG)) = folder::parse(&entry.name) {
                found.bases.push(base);
            }
        }
        Ok(found)
    }
}

/// Completes, or takes back, what compaction had under way when the log was last used.
pub(crate) fn finish(folder: &Folder) -> Result<(), LogError> {
    let Unfinished { cleaned, swaps, bases } = Unfinished::find(folder)?;
    if cleaned.is_empty() && swaps.is_empty() {
        return Ok(());
    }
    let remove = |base: Offset, suffix: &str, ending: &'static str| {
        let path = Folder { ending, ..folder.clone() }.path(base, suffix);
        folder.volume.remove_file(&path)
    };
    let first_cleaned = cleaned.iter().map(|(base, _)| *base).min();
    let is_void = |base: Offset| first_cleaned.is_some_and(|first| base >= first);
    for (base, suffix) in &cleaned {
        remove(*base, suffix, CLEANED)?;
    }
    for (base, suffix) in swaps.iter().filter(|(base, _)| is_void(*base)) {
        remove(*base, suffix, SWAP)?;
    }
    let valid: Vec<_> = swaps.iter().filter(|(base, _)| !is_void(*base)).collect();
    let complete: BTreeSet<_> =
        valid.iter().filter(|(_, suffix)| suffix == LOG).map(|(base, _)| *base).collect();
    for (base, suffix) in valid.iter().filter(|(base, _)| !complete.contains(base)) {
        if suffix == folder::TXN_INDEX {
            rename(folder, *base, suffix, (SWAP, ""))?;
            continue;
        }
        // Whether its records are in place cannot be told, so neither can which index is right:
        // it is made anew.
        remove(*base, suffix, SWAP)?;
        remove(*base, suffix, "")?;
    }
    for base in &complete {
        let has = |suffix: &str| valid.iter().any(|it| it.0 == *base && it.1 == suffix);
        let next_offset = next_offset(folder, *base)?;
        for other in bases.iter().filter(|it| **it > *base && **it < next_offset) {
            INDEXES.into_iter().chain([LOG]).try_for_each(|it| remove(*other, it, "").map(drop))?;
        }
        // One that was not kept may be of the old records.
        for index in [folder::OFFSET_INDEX, folder::TIME_INDEX] {
            if !has(index) {
                remove(*base, index, "")?;
            }
        }
    }
    folder.volume.sync_folder(&folder.dir, SyncKind::SwapRetired)?;
    complete.iter().try_for_each(|base| take_names(folder, *base))?;
    folder.volume.sync_folder(&folder.dir, SyncKind::SwapNames)?;
    Ok(())
}

/// The offset after the last batch of a segment that is called `.swap`.
fn next_offset(folder: &Folder, base: Offset) -> Result<Offset, LogError> {
    let folder = Folder { ending: SWAP, ..folder.clone() };
    let file = folder.open(base, LOG, OpenMode::Read)?;
    let mut walk = HeaderWalk::new(&file, 0, file.size()?, WALK_BYTES);
    let mut next = base;
    while let Some(placed) = walk.next().map_err(|error| corrupt(&folder, base, error))? {
        next = placed.header.next_offset();
    }
    Ok(next)
}

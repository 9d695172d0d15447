//! The two indexes of a segment: a sorted file of entries, of which the last few may still be in
//! memory.
//!
//! An index is a hint that can always be made anew from the records, so while its segment grows
//! it is neither synced nor written entry by entry. It is written and synced when the segment
//! does not grow any more; from then on it is trusted.
//!
//! Entries rise strictly in both of their numbers. What a power cut leaves of an index that was
//! not synced is therefore easy to tell: its longest rising prefix is right, as a hole reads as
//! zeros, and zeros do not rise.

use vltava_wire::Offset;

use crate::disk::{DiskError, OpenFile, OpenMode, SyncKind};
use crate::folder::{self, Folder};

/// Entries that wait in memory until they are written together. At 4 KiB of records an entry,
/// half a MiB of records: what an unclean stop costs in rescanned records, against one more
/// write for as much.
const PENDING_MAX: usize = 128;

/// Bytes read at once while an index is loaded or searched.
const READ_BYTES: usize = 4096;

/// One entry of an index.
pub(crate) trait Entry: Copy + std::fmt::Debug {
    /// Bytes in the file.
    const SIZE: usize;
    /// What the file's name ends with.
    const SUFFIX: &str;

    /// Reads an entry from [`Self::SIZE`] bytes.
    fn decode(bytes: &[u8]) -> Self;

    /// Writes the entry at the end of `out`.
    fn encode(self, out: &mut Vec<u8>);

    /// Whether the entry may stand after `previous`, or at the start.
    fn may_follow(self, previous: Option<Self>) -> bool;
}

/// Where a batch is: an entry of `.index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// The batch's last offset, less the segment's base offset.
    pub(crate) relative_offset: u32,
    /// Where the batch starts, in bytes.
    pub(crate) position: u32,
}

/// What the largest timestamp so far was: an entry of `.timeindex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// The largest timestamp so far, in ms since 1970.
    pub(crate) timestamp: i64,
    /// The last offset of the batch that has it, less the segment's base offset.
    pub(crate) relative_offset: u32,
}

fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;
    const SUFFIX: &str = folder::OFFSET_INDEX;

    fn decode(bytes: &[u8]) -> Self {
        Self { relative_offset: be_u32(bytes, 0), position: be_u32(bytes, 4) }
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn may_follow(self, previous: Option<Self>) -> bool {
        // The first batch of a segment never has an entry, so zeros are none.
        let (offset, position) = previous.map_or((0, 0), |p| (p.relative_offset, p.position));
        self.relative_offset > offset
            && self.position > position
            && self.relative_offset <= i32::MAX as u32
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;
    const SUFFIX: &str = folder::TIME_INDEX;

    fn decode(bytes: &[u8]) -> Self {
        let timestamp = i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
        Self { timestamp, relative_offset: be_u32(bytes, 8) }
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn may_follow(self, previous: Option<Self>) -> bool {
        let risen = match previous {
            Some(p) => self.timestamp > p.timestamp && self.relative_offset > p.relative_offset,
            // Zeros are what a power cut may leave, and so are taken for no entry at the start,
            // too: nothing is lost but the index of a timestamp 0.
            None => self.timestamp > 0,
        };
        risen && self.relative_offset <= i32::MAX as u32
    }
}

/// An index: entries in its file, then entries in memory.
#[derive(Debug)]
pub(crate) struct Index<E> {
    base_offset: Offset,
    written: usize,
    pending: Vec<E>,
    last: Option<E>,
}

impl<E: Entry> Index<E> {
    /// An index without entries. A file that is there is replaced when entries are written.
    pub(crate) fn empty(base_offset: Offset) -> Self {
        Self { base_offset, written: 0, pending: Vec::new(), last: None }
    }

    /// Opens the index of a segment that was complete: only its size and its ends are looked
    /// at. `None` if it is not there or cannot be one.
    pub(crate) fn load_trusted(folder: &Folder, base: Offset) -> Result<Option<Self>, DiskError> {
        let path = folder.path(base, E::SUFFIX);
        let Some(file) = folder.volume.open_if_there(&path, OpenMode::Read)? else {
            return Ok(None);
        };
        let size = file.size()? as usize;
        if !size.is_multiple_of(E::SIZE) {
            return Ok(None);
        }
        let written = size / E::SIZE;
        if written == 0 {
            return Ok(Some(Self::empty(base)));
        }
        let first = read_entries::<E>(&file, 0, 1)?;
        let last = read_entries::<E>(&file, written - 1, 1)?;
        let (Some(&first), Some(&last)) = (first.first(), last.first()) else { return Ok(None) };
        let right = first.may_follow(None) && (written == 1 || last.may_follow(Some(first)));
        let index = Self { base_offset: base, written, pending: Vec::new(), last: Some(last) };
        Ok(right.then_some(index))
    }

    /// Opens an index that was not complete: its longest rising prefix of entries for which
    /// `keep` holds. If the file has more than that it is given up, and the entries wait in
    /// memory to be written anew; see [`GaveUp`].
    pub(crate) fn load_prefix(
        folder: &Folder,
        base: Offset,
        keep: impl Fn(&E) -> bool,
    ) -> Result<(Self, GaveUp), DiskError> {
        let mut index = Self::empty(base);
        let path = folder.path(base, E::SUFFIX);
        let Some(file) = folder.volume.open_if_there(&path, OpenMode::Read)? else {
            return Ok((index, GaveUp(false)));
        };
        let mut at = 0;
        'file: loop {
            let entries = read_entries::<E>(&file, at, READ_BYTES / E::SIZE)?;
            for entry in &entries {
                if !entry.may_follow(index.last) || !keep(entry) {
                    break 'file;
                }
                index.last = Some(*entry);
                index.pending.push(*entry);
                at += 1;
            }
            if entries.is_empty() {
                break;
            }
        }
        if file.size()? == (at * E::SIZE) as u64 {
            index.written = at;
            index.pending = Vec::new();
            return Ok((index, GaveUp(false)));
        }
        folder.volume.remove_file(&path)?;
        Ok((index, GaveUp(true)))
    }

    /// Gives the file up, and forgets all entries.
    pub(crate) fn clear(&mut self, folder: &Folder) -> Result<GaveUp, DiskError> {
        let path = folder.path(self.base_offset, E::SUFFIX);
        *self = Self::empty(self.base_offset);
        Ok(GaveUp(folder.volume.remove_file(&path)?))
    }

    /// Bytes that the entries take in the file.
    pub(crate) fn size_in_bytes(&self) -> usize {
        (self.written + self.pending.len()) * E::SIZE
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    /// Appends an entry, unless it does not rise. It stays in memory for the time being.
    pub(crate) fn append(&mut self, entry: E) {
        if entry.may_follow(self.last) {
            self.pending.push(entry);
            self.last = Some(entry);
        }
    }

    /// Whether enough entries wait in memory to be written.
    pub(crate) fn is_due(&self) -> bool {
        !self.pending.is_empty() && self.pending.len().is_multiple_of(PENDING_MAX)
    }

    /// Writes the entries that wait. A failure costs memory only: they stay where they are, and
    /// the next time writes them.
    pub(crate) fn write_pending(&mut self, folder: &Folder) {
        if !self.pending.is_empty() {
            _ = self.write(folder);
        }
    }

    fn open_to_write(&self, folder: &Folder) -> Result<OpenFile, DiskError> {
        let mode = if self.written == 0 { OpenMode::Replace } else { OpenMode::Write };
        folder.open(self.base_offset, E::SUFFIX, mode)
    }

    fn write(&mut self, folder: &Folder) -> Result<OpenFile, DiskError> {
        let file = self.open_to_write(folder)?;
        let mut bytes = Vec::with_capacity(self.pending.len() * E::SIZE);
        for entry in &self.pending {
            entry.encode(&mut bytes);
        }
        file.write_all_at(&bytes, (self.written * E::SIZE) as u64)?;
        self.written += self.pending.len();
        self.pending = Vec::new();
        Ok(file)
    }

    /// Writes all entries and syncs the file.
    pub(crate) fn seal(&mut self, folder: &Folder, kind: SyncKind) -> Result<(), DiskError> {
        let file = self.write(folder)?;
        // A write that failed half-way may have left more.
        file.set_len((self.written * E::SIZE) as u64)?;
        file.sync(kind)
    }

    /// The last entry for which `holds`, which must hold for a prefix of the entries.
    pub(crate) fn find_last(
        &self,
        folder: &Folder,
        holds: impl Fn(&E) -> bool,
    ) -> Result<Option<E>, DiskError> {
        let at = self.pending.partition_point(&holds);
        if at > 0 {
            return Ok(Some(self.pending[at - 1]));
        }
        Ok(self.find_last_written(folder, holds)?.map(|(_, entry)| entry))
    }

    fn find_last_written(
        &self,
        folder: &Folder,
        holds: impl Fn(&E) -> bool,
    ) -> Result<Option<(usize, E)>, DiskError> {
        if self.written == 0 {
            return Ok(None);
        }
        let file = folder.open(self.base_offset, E::SUFFIX, OpenMode::Read)?;
        // It holds for all entries before `from`, and not from `to` on.
        let (mut from, mut to) = (0, self.written);
        let mut found = None;
        let block = READ_BYTES / E::SIZE;
        while to - from > block {
            let middle = from + (to - from) / 2;
            match read_entries::<E>(&file, middle, 1)?.first() {
                Some(entry) if holds(entry) => {
                    found = Some((middle, *entry));
                    from = middle + 1;
                }
                _ => to = middle,
            }
        }
        let entries = read_entries::<E>(&file, from, to - from)?;
        let at = entries.partition_point(holds);
        Ok(if at > 0 { Some((from + at - 1, entries[at - 1])) } else { found })
    }

    /// Removes the entries for which `keep`, which must hold for a prefix, does not hold. If
    /// the file has such entries it is given up, and the others wait in memory.
    pub(crate) fn truncate(
        &mut self,
        folder: &Folder,
        keep: impl Fn(&E) -> bool,
    ) -> Result<GaveUp, DiskError> {
        let kept = self.pending.partition_point(&keep);
        self.pending.truncate(kept);
        if kept > 0 {
            self.last = self.pending.last().copied();
            return Ok(GaveUp(false));
        }
        if self.written == 0 {
            return self.clear(folder);
        }
        let (index, gave_up) = Self::load_prefix(folder, self.base_offset, keep)?;
        *self = index;
        Ok(gave_up)
    }
}

/// Whether a file was removed because of entries in it that are not right any more. The caller
/// syncs the folder before records are appended: the entries that are written later go to a new
/// file, and so never mix with the old ones, whatever a power cut leaves of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct GaveUp(pub(crate) bool);

/// Up to `count` entries from the `from`-th on; fewer only at the end of the file.
fn read_entries<E: Entry>(file: &OpenFile, from: usize, count: usize) -> Result<Vec<E>, DiskError> {
    let mut bytes = vec![0; count * E::SIZE];
    let read = file.read_at(&mut bytes, (from * E::SIZE) as u64)?;
    Ok(bytes[..read].chunks_exact(E::SIZE).map(E::decode).collect())
}

//! Opening a segment that is there: trusted below the recovery point, checked above it.

use vltava_wire::Offset;
use vltava_wire::batch::Batch;

use super::txn_index::TxnIndex;
use super::{FIND_BYTES, Handle, Segment};
use crate::disk::{DiskError, OpenFile, OpenMode, SyncKind, WeakFile};
use crate::folder::{self, Folder};
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::scan::{BatchWalk, HeaderWalk, Placed, ScanError};

/// A segment file as the folder lists it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) base_offset: Offset,
    pub(crate) size: u64,
    /// The base offset of the segment after it.
    pub(crate) next_base: Option<Offset>,
    pub(crate) index_interval_bytes: u32,
    pub(crate) now_ms: i64,
}

/// What became of checking a segment.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segment: Segment,
    pub(crate) scanned_bytes: u64,
    /// Where the first thing is that is not a valid batch, and why.
    pub(crate) invalid: Option<(u64, String)>,
}

impl Segment {
    /// Opens a segment all of whose records and indexes are durable. Looks at the ends of the
    /// indexes, and at the headers after the last index entry. `None`: its records may be right,
    /// but its indexes are not, and have to be made anew.
    pub(crate) fn load(folder: &Folder, found: &Found) -> Result<Option<Self>, ScanError> {
        let base = found.base_offset;
        let (Some(offsets), Some(times)) =
            (Index::load_trusted(folder, base)?, Index::load_trusted(folder, base)?)
        else {
            return Ok(None);
        };
        let file = folder.open(base, folder::LOG, OpenMode::Read)?;
        let handle = Handle::Closed(parking_lot::Mutex::new(file.downgrade()));
        let mut segment = Self::blank(base, handle, found.now_ms);
        let anchor: Option<OffsetEntry> = offsets.last();
        segment.max_timestamp = times.last();
        segment.offsets = offsets;
        segment.times = times;
        if let Some(anchor) = anchor
            && !is_at(&file, anchor, base, found.size)?
        {
            return Ok(None);
        }
        segment.walk_tail(folder, &file, anchor, found)?;
        let last_time = segment.times.last().map_or(0, |entry| entry.relative_offset);
        if i64::from(last_time) > (segment.next_offset - base - 1).max(0) {
            return Ok(None);
        }
        if segment.load_aborted(folder)? {
            segment.aborted.retire();
        }
        segment.sealed = true;
        Ok(Some(segment))
    }

    /// Takes in the index of aborted transactions; says whether its file is whole.
    fn load_aborted(&mut self, folder: &Folder) -> Result<bool, DiskError> {
        let (aborted, is_whole) = TxnIndex::load(folder, self.base_offset)?;
        self.aborted = aborted;
        self.doubts_aborted = !is_whole;
        Ok(is_whole)
    }

    /// Whether the index of aborted transactions was found torn.
    pub(crate) fn doubts_aborted(&self) -> bool {
        self.doubts_aborted
    }

    /// Reads the headers after an index entry, up to the end of the file.
    fn walk_tail(
        &mut self,
        folder: &Folder,
        file: &OpenFile,
        anchor: Option<OffsetEntry>,
        found: &Found,
    ) -> Result<(), ScanError> {
        let start = anchor.map_or(0, |entry| u64::from(entry.position));
        let mut walk = HeaderWalk::new(file, start, found.size, FIND_BYTES);
        self.bytes_since_entry = 0;
        while let Some(placed) = walk.next()? {
            self.check_place(&placed, found)?;
            // The indexes of a segment that is followed by another one are complete.
            let interval =
                if found.next_base.is_some() { u32::MAX } else { found.index_interval_bytes };
            self.note(folder, interval, &placed);
        }
        Ok(())
    }

    /// Checks that a batch may stand where it stands.
    fn check_place(&self, placed: &Placed, found: &Found) -> Result<(), ScanError> {
        let (first, last) = (placed.header.base_offset, placed.header.last_offset());
        let (position, expected) = (placed.position, self.next_offset);
        let invalid = |reason| Err(ScanError::Invalid { position, reason });
        // The first batch of a walk follows batches that were not walked over.
        if first < expected {
            return invalid(format!("a batch of offset {first} where {expected} is next"));
        }
        if u32::try_from(position).is_err() {
            return invalid("a segment of more than 4 GiB".to_owned());
        }
        if self.relative(last).is_none() || found.next_base.is_some_and(|next| last >= next) {
            return invalid(format!("a batch up to offset {last}, beyond its segment"));
        }
        Ok(())
    }

    /// Opens a segment that may hold anything above the recovery point: from the last index
    /// entry below it on, every batch is checked, and the indexes are made anew. `visit` sees
    /// each batch that is right, and may refuse it.
    pub(crate) fn recover(
        folder: &Folder,
        found: &Found,
        recovery_point: Offset,
        visit: &mut dyn FnMut(&Batch<'_>) -> Result<(), String>,
    ) -> Result<Recovered, DiskError> {
        let base = found.base_offset;
        let file = folder.open(base, folder::LOG, OpenMode::Write)?;
        let mut segment = Self::blank(base, Handle::Open(file.clone()), found.now_ms);
        segment.load_aborted(folder)?;
        let anchor = segment.take_indexes_below(folder, &file, found, recovery_point)?;
        let start = anchor.map_or(0, |entry| u64::from(entry.position));
        let mut walk = BatchWalk::new(&file, start, found.size);
        segment.size = start;
        let invalid = loop {
            let step = walk.next().and_then(|next| {
                let Some((placed, batch)) = next else { return Ok(None) };
                segment.check_place(&placed, found)?;
                let position = placed.position;
                visit(&batch).map_err(|reason| ScanError::Invalid { position, reason })?;
                Ok(Some(placed))
            });
            match step {
                Ok(Some(placed)) => segment.note(folder, found.index_interval_bytes, &placed),
                Ok(None) => break None,
                Err(ScanError::Disk(error)) => return Err(error),
                Err(ScanError::Invalid { position, reason }) => break Some((position, reason)),
            }
        };
        let scanned_bytes = segment.size - start;
        Ok(Recovered { segment, scanned_bytes, invalid })
    }

    /// Keeps of the indexes what is surely right, up to an entry below the recovery point, from
    /// which on the batches are to be checked.
    fn take_indexes_below(
        &mut self,
        folder: &Folder,
        file: &OpenFile,
        found: &Found,
        recovery_point: Offset,
    ) -> Result<Option<OffsetEntry>, DiskError> {
        let base = self.base_offset;
        let below = recovery_point - base;
        let time_kept = |e: &TimeEntry| i64::from(e.relative_offset) < below;
        let (mut times, mut gave_up_times) = Index::load_prefix(folder, base, time_kept)?;
        // Beyond its last entry the time index may have lost some.
        let time_known = times.last().map_or(-1, |e| i64::from(e.relative_offset));
        let (mut offsets, mut gave_up) = Index::load_prefix(folder, base, |e: &OffsetEntry| {
            i64::from(e.relative_offset) <= time_known && u64::from(e.position) < found.size
        })?;
        let mut anchor = offsets.last();
        if let Some(entry) = anchor
            && !is_at(file, entry, base, found.size)?
        {
            gave_up.0 |= offsets.clear(folder)?.0;
            anchor = None;
        }
        let kept = |e: &TimeEntry| anchor.is_some_and(|a| e.relative_offset <= a.relative_offset);
        gave_up_times.0 |= times.truncate(folder, kept)?.0;
        if gave_up.0 || gave_up_times.0 {
            folder.volume.sync_folder(&folder.dir, SyncKind::TruncateFolder)?;
        }
        self.max_timestamp = times.last();
        (self.offsets, self.times) = (offsets, times);
        Ok(anchor)
    }

    /// Cuts the file at `position`, durably: everything before it is right.
    pub(crate) fn cut_at(&mut self, folder: &Folder, position: u64) -> Result<(), DiskError> {
        let file = folder.open(self.base_offset, folder::LOG, OpenMode::Write)?;
        file.set_len(position)?;
        file.sync(SyncKind::TruncateLog)
    }

    /// Removes the batches from the one on that holds `offset`, durably.
    pub(crate) fn truncate(
        &mut self,
        folder: &Folder,
        offset: Offset,
        index_interval_bytes: u32,
    ) -> Result<(), ScanError> {
        let file = self.file(folder)?;
        let Some(first) = self.find(folder, &file, offset)? else { return Ok(()) };
        let (position, end) = (first.position, first.header.base_offset - self.base_offset);
        drop(file);
        self.cut_at(folder, position)?;
        self.forget_aborted(folder, first.header.base_offset)?;
        let offset_kept = |entry: &OffsetEntry| u64::from(entry.position) < position;
        let time_kept = |entry: &TimeEntry| i64::from(entry.relative_offset) < end;
        let gave_up = self.offsets.truncate(folder, offset_kept)?;
        if self.times.truncate(folder, time_kept)?.0 || gave_up.0 {
            folder.volume.sync_folder(&folder.dir, SyncKind::TruncateFolder)?;
        }
        self.sealed = false;
        self.size = 0;
        self.next_offset = self.base_offset;
        self.first_timestamp = None;
        self.max_timestamp = self.times.last();
        let found = Found {
            base_offset: self.base_offset,
            size: position,
            next_base: None,
            index_interval_bytes,
            now_ms: self.created_ms,
        };
        let file = self.file(folder)?;
        self.walk_tail(folder, &file, self.offsets.last(), &found)
    }

    /// Forgets an open file: its name is about to go.
    pub(crate) fn close(&mut self) {
        self.handle = Handle::Closed(parking_lot::Mutex::new(WeakFile::default()));
    }
}

/// Whether the batch of that entry is where the entry says.
fn is_at(file: &OpenFile, entry: OffsetEntry, base: Offset, size: u64) -> Result<bool, DiskError> {
    let mut walk = HeaderWalk::new(file, u64::from(entry.position), size, FIND_BYTES);
    match walk.next() {
        Ok(Some(placed)) => {
            Ok(placed.header.last_offset() == base + i64::from(entry.relative_offset))
        }
        Ok(None) | Err(ScanError::Invalid { .. }) => Ok(false),
        Err(ScanError::Disk(error)) => Err(error),
    }
}

//! One segment: a file of batches with its indexes.
//!
//! The last segment of a log grows and keeps its file open; the others are opened when they are
//! read, so that a log has one open file, however many segments it has.

mod load;
mod txn_index;

use bytes::BytesMut;
use parking_lot::Mutex;
use vltava_wire::Offset;
use vltava_wire::batch::{BATCH_OVERHEAD, BatchHeader, Batches};

use crate::config::LogConfig;
use crate::disk::{DiskError, OpenFile, OpenMode, SyncKind, WeakFile};
use crate::folder::{self, Folder};
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::producers::AbortedTransaction;
use crate::scan::{HeaderWalk, Placed, ScanError};

use txn_index::TxnIndex;

pub(crate) use load::Found;

/// Bytes read at once to find a batch between two index entries, which are about as far apart.
const FIND_BYTES: usize = 4096;

/// The file of a segment: kept open while the segment grows, else only while it is read.
#[derive(Debug)]
enum Handle {
    Open(OpenFile),
    Closed(Mutex<WeakFile>),
}

/// Whole batches in a segment's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) position: u64,
    pub(crate) len: usize,
    pub(crate) base_offset: Offset,
    /// No record of the batches is at or after it, and none of those after them is before.
    pub(crate) next_offset: Offset,
}

/// What [`Segment::locate`] finds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Located {
    /// Batches.
    Found(Range),
    /// A batch that is too large, or not below the upper bound.
    Nothing,
    /// No batch of this segment has that offset or a later one.
    Beyond,
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: Offset,
    next_offset: Offset,
    size: u64,
    offsets: Index<OffsetEntry>,
    times: Index<TimeEntry>,
    aborted: TxnIndex,
    /// Whether the file of aborted transactions was found torn when the segment was opened.
    doubts_aborted: bool,
    /// The largest timestamp, and the last offset of the first batch that has it.
    max_timestamp: Option<TimeEntry>,
    /// The first batch's largest timestamp, from when on `segment.ms` counts.
    first_timestamp: Option<i64>,
    /// When the segment was made or opened, in ms since 1970.
    created_ms: i64,
    bytes_since_entry: u64,
    /// Whether the indexes in memory are those in the files, synced.
    sealed: bool,
    handle: Handle,
}

impl Segment {
    /// Makes an empty segment whose name is durable; there is none after an error that is no failed
    /// fsync: its name would be taken for the end of what is before it.
    pub(crate) fn begin(folder: &Folder, base: Offset, now_ms: i64) -> Result<Self, DiskError> {
        let path = folder.path(base, folder::LOG);
        let file = folder.volume.create_synced(&path, SyncKind::SegmentFolder)?;
        Ok(Self::blank(base, Handle::Open(file), now_ms))
    }

    /// Makes an empty segment; the caller syncs the folder.
    pub(crate) fn create(folder: &Folder, base: Offset, now_ms: i64) -> Result<Self, DiskError> {
        let file = folder.open(base, folder::LOG, OpenMode::Replace)?;
        Ok(Self::blank(base, Handle::Open(file), now_ms))
    }

    fn blank(base_offset: Offset, handle: Handle, now_ms: i64) -> Self {
        Self {
            base_offset,
            next_offset: base_offset,
            size: 0,
            offsets: Index::empty(base_offset),
            times: Index::empty(base_offset),
            aborted: TxnIndex::empty(base_offset),
            doubts_aborted: false,
            max_timestamp: None,
            first_timestamp: None,
            created_ms: now_ms,
            bytes_since_entry: 0,
            sealed: false,
            handle,
        }
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// The offset after the last record; the base offset, if there is none.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Bytes of records.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The largest timestamp, in ms since 1970.
    pub(crate) fn max_timestamp(&self) -> Option<i64> {
        self.max_timestamp.map(|entry| entry.timestamp)
    }

    /// The largest timestamp, or where there is none, since when the segment is known.
    pub(crate) fn age_from(&self) -> i64 {
        self.max_timestamp().unwrap_or(self.created_ms)
    }

    /// Bytes that its indexes take: of offsets, and of timestamps.
    pub(crate) fn index_bytes(&self) -> (usize, usize) {
        (self.offsets.size_in_bytes(), self.times.size_in_bytes())
    }

    /// When the segment was made or opened, in ms since 1970.
    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// The last offset of the first batch with the largest timestamp.
    pub(crate) fn max_timestamp_offset(&self) -> Option<Offset> {
        let entry = self.max_timestamp?;
        Some(self.base_offset + i64::from(entry.relative_offset))
    }

    /// The segment's file, opened if need be.
    pub(crate) fn file(&self, folder: &Folder) -> Result<OpenFile, DiskError> {
        match &self.handle {
            Handle::Open(file) => Ok(file.clone()),
            Handle::Closed(weak) => {
                let mut weak = weak.lock();
                if let Some(file) = weak.upgrade() {
                    return Ok(file);
                }
                let file = folder.open(self.base_offset, folder::LOG, OpenMode::Read)?;
                *weak = file.downgrade();
                Ok(file)
            }
        }
    }

    /// Opens the file to write, and keeps it open: the segment is the last one of its log.
    pub(crate) fn activate(&mut self, folder: &Folder) -> Result<(), DiskError> {
        if matches!(self.handle, Handle::Closed(_)) {
            let file = folder.open(self.base_offset, folder::LOG, OpenMode::Write)?;
            self.handle = Handle::Open(file);
        }
        self.aborted.activate(folder)
    }

    /// Lets go of the file: the segment does not grow any more.
    pub(crate) fn retire(&mut self) {
        if let Handle::Open(file) = &self.handle {
            self.handle = Handle::Closed(Mutex::new(file.downgrade()));
        }
        self.aborted.retire();
    }

    fn relative(&self, offset: Offset) -> Option<u32> {
        let relative = offset - self.base_offset;
        i32::try_from(relative).ok().and_then(|relative| u32::try_from(relative).ok())
    }

    /// Whether batches up to `last_offset`, of `bytes`, with a largest timestamp, go into this
    /// segment, or a new one has to be made.
    pub(crate) fn has_room(
        &mut self,
        folder: &Folder,
        config: &LogConfig,
        append: &PendingAppend,
    ) -> Result<bool, DiskError> {
        if self.relative(append.last_offset).is_none() {
            return Ok(false);
        }
        if self.is_empty() {
            return Ok(true);
        }
        let index_max = config.segment_index_bytes as usize;
        let has_space = self.size + append.bytes as u64 <= u64::from(config.segment_bytes)
            && self.offsets.size_in_bytes() + 8 <= index_max
            && self.times.size_in_bytes() + 12 <= index_max;
        Ok(has_space && self.waited_ms(folder, append)? <= config.rolls_after_ms())
    }

    /// The first batch's largest timestamp, in ms since 1970.
    pub(crate) fn read_first_timestamp(&self, folder: &Folder) -> Result<Option<i64>, DiskError> {
        if self.first_timestamp.is_some() {
            return Ok(self.first_timestamp);
        }
        let file = self.file(folder)?;
        let mut header = [0; BATCH_OVERHEAD];
        let read = file.read_at(&mut header, 0)?;
        Ok(BatchHeader::parse(&header[..read]).ok().map(|header| header.max_timestamp))
    }

    fn waited_ms(&mut self, folder: &Folder, append: &PendingAppend) -> Result<i64, DiskError> {
        if self.first_timestamp.is_none() {
            self.first_timestamp = self.read_first_timestamp(folder)?;
        }
        Ok(match self.first_timestamp {
            Some(first) if first >= 0 => append.max_timestamp.saturating_sub(first),
            _ => append.now_ms.saturating_sub(self.created_ms),
        })
    }

    /// Appends whole, checked batches with one write. After an error the segment is as it was,
    /// unless the second result says that it could not be restored.
    pub(crate) fn append(
        &mut self,
        folder: &Folder,
        index_interval_bytes: u32,
        batches: &[u8],
    ) -> Result<(), (DiskError, Result<(), DiskError>)> {
        let Handle::Open(file) = &self.handle else {
            unreachable!("only the last segment is appended to, and its file is open");
        };
        if let Err(error) = file.write_all_at(batches, self.size) {
            let cut = file.set_len(self.size).and_then(|()| file.sync(SyncKind::TruncateLog));
            return Err((error, cut));
        }
        self.sealed = false;
        let start = self.size;
        for batch in Batches::new(batches).flatten() {
            let placed = Placed { position: start + batch.at as u64, header: batch.header };
            self.note(folder, index_interval_bytes, &placed);
        }
        Ok(())
    }

    /// Takes a batch that is in the file into account.
    fn note(&mut self, folder: &Folder, index_interval_bytes: u32, placed: &Placed) {
        let header = &placed.header;
        let relative_offset =
            self.relative(header.last_offset()).expect("a batch that fits was checked before");
        if header.max_timestamp > self.max_timestamp().unwrap_or(-1) {
            let timestamp = header.max_timestamp;
            self.max_timestamp = Some(TimeEntry { timestamp, relative_offset });
        }
        if self.bytes_since_entry > u64::from(index_interval_bytes) {
            let position = u32::try_from(placed.position).expect("a segment is below 4 GiB");
            self.offsets.append(OffsetEntry { relative_offset, position });
            if let Some(entry) = self.max_timestamp {
                self.times.append(entry);
            }
            if self.offsets.is_due() {
                self.times.write_pending(folder);
                self.offsets.write_pending(folder);
            }
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size_in_bytes() as u64;
        if placed.position == 0 {
            self.first_timestamp = Some(header.max_timestamp);
        }
        self.size = placed.end();
        self.next_offset = header.next_offset();
    }

    /// Syncs the records.
    pub(crate) fn sync(&self, folder: &Folder, kind: SyncKind) -> Result<(), DiskError> {
        self.file(folder)?.sync(kind)
    }

    /// Writes and syncs the indexes, so that they are trusted from now on.
    pub(crate) fn seal(&mut self, folder: &Folder) -> Result<(), DiskError> {
        self.seal_aborted(folder)?;
        self.seal_as(folder, SyncKind::IndexRoll)
    }

    /// As [`seal`](Self::seal), by a sync of that kind.
    pub(crate) fn seal_as(&mut self, folder: &Folder, kind: SyncKind) -> Result<(), DiskError> {
        if self.sealed {
            return Ok(());
        }
        if let Some(entry) = self.max_timestamp {
            self.times.append(entry);
        }
        self.offsets.seal(folder, kind)?;
        self.times.seal(folder, kind)?;
        self.sealed = true;
        Ok(())
    }

    /// Makes what is known of aborted transactions durable.
    pub(crate) fn seal_aborted(&mut self, folder: &Folder) -> Result<(), DiskError> {
        if self.aborted.seal(folder)? {
            folder.volume.sync_folder(&folder.dir, SyncKind::SegmentFolder)?;
        }
        Ok(())
    }

    /// Notes a transaction that a marker in this segment has aborted.
    pub(crate) fn note_aborted(&mut self, aborted: AbortedTransaction) {
        self.aborted.append(aborted);
    }

    /// Forgets the aborted transactions whose markers are at `offset` or later, to take them
    /// from the records anew.
    pub(crate) fn forget_aborted(
        &mut self,
        folder: &Folder,
        offset: Offset,
    ) -> Result<(), DiskError> {
        self.aborted.activate(folder)?;
        self.aborted.truncate(offset);
        Ok(())
    }

    /// Adds the transactions to `found` that were aborted by markers from `from` on and began
    /// before `to`; says whether no later segment can have others.
    pub(crate) fn collect_aborted(
        &self,
        folder: &Folder,
        from: Offset,
        to: Offset,
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<bool, DiskError> {
        self.aborted.collect(folder, from, to, found)
    }

    /// The position of an index entry at or before the batch that holds `offset`.
    fn start_of_search(&self, folder: &Folder, offset: Offset) -> Result<u64, DiskError> {
        let Some(relative) = self.relative(offset) else { return Ok(0) };
        let entry = self.offsets.find_last(folder, |e| e.relative_offset <= relative)?;
        Ok(entry.map_or(0, |entry| u64::from(entry.position)))
    }

    /// The first batch whose last offset is `offset` or later.
    pub(crate) fn find(
        &self,
        folder: &Folder,
        file: &OpenFile,
        offset: Offset,
    ) -> Result<Option<Placed>, ScanError> {
        let start = self.start_of_search(folder, offset)?;
        let mut walk = HeaderWalk::new(file, start, self.size, FIND_BYTES);
        while let Some(placed) = walk.next()? {
            if placed.header.last_offset() >= offset {
                return Ok(Some(placed));
            }
        }
        Ok(None)
    }

    /// Finds whole batches from the one that holds `offset` on: at most `max_bytes`, all below
    /// `upper_bound`.
    pub(crate) fn locate(
        &self,
        folder: &Folder,
        file: &OpenFile,
        search: &Search,
    ) -> Result<Located, ScanError> {
        let Some(first) = self.find(folder, file, search.offset)? else {
            return Ok(Located::Beyond);
        };
        let header = &first.header;
        let fits = header.size_in_bytes() <= search.max_bytes;
        if header.next_offset() > search.upper_bound || !(fits || search.min_one_batch) {
            return Ok(Located::Nothing);
        }
        let (end, next_offset) = match fits {
            true => self.end_of(folder, file, &first, search)?,
            false => (first.end(), header.next_offset()),
        };
        Ok(Located::Found(Range {
            position: first.position,
            len: (end - first.position) as usize,
            base_offset: header.base_offset,
            next_offset,
        }))
    }

    /// Where the last batch ends that is within the bounds of `search`, `first` being one: in
    /// bytes, and as an offset.
    fn end_of(
        &self,
        folder: &Folder,
        file: &OpenFile,
        first: &Placed,
        search: &Search,
    ) -> Result<(u64, Offset), ScanError> {
        let limit = first.position.saturating_add(search.max_bytes as u64).min(self.size);
        if limit == self.size && search.upper_bound >= self.next_offset {
            return Ok((limit, self.next_offset));
        }
        let bound = search.upper_bound - self.base_offset;
        let entry = self.offsets.find_last(folder, |entry| {
            u64::from(entry.position) <= limit && i64::from(entry.relative_offset) < bound
        })?;
        let entry = entry.map_or(0, |entry| u64::from(entry.position));
        let start = entry.max(first.position);
        let mut walk = HeaderWalk::new(file, start, self.size, FIND_BYTES);
        let mut end = None;
        while let Some(placed) = walk.next()? {
            if placed.end() > limit || placed.header.next_offset() > search.upper_bound {
                end = end.or(Some((start, placed.header.base_offset)));
                break;
            }
            end = Some((placed.end(), placed.header.next_offset()));
        }
        Ok(end.unwrap_or((first.end(), first.header.next_offset())))
    }

    /// The first batch at or after `from` whose largest timestamp is `timestamp` or later.
    pub(crate) fn find_timestamp(
        &self,
        folder: &Folder,
        file: &OpenFile,
        timestamp: i64,
        from: Offset,
    ) -> Result<Option<Placed>, ScanError> {
        let entry = self.times.find_last(folder, |entry| entry.timestamp < timestamp)?;
        let after = entry
            .map_or(self.base_offset, |entry| self.base_offset + i64::from(entry.relative_offset));
        let start = self.start_of_search(folder, after.max(from))?;
        let mut walk = HeaderWalk::new(file, start, self.size, FIND_BYTES);
        while let Some(placed) = walk.next()? {
            if placed.header.max_timestamp >= timestamp && placed.header.last_offset() >= from {
                return Ok(Some(placed));
            }
        }
        Ok(None)
    }
}

impl Segment {
    /// The largest timestamp at or after an offset, by the headers of all batches from there on.
    pub(crate) fn largest_timestamp_from(
        &self,
        folder: &Folder,
        from: Offset,
    ) -> Result<Option<i64>, ScanError> {
        let file = self.file(folder)?;
        let start = self.start_of_search(folder, from)?;
        let mut walk = HeaderWalk::new(&file, start, self.size, FIND_BYTES);
        let mut largest = None;
        while let Some(placed) = walk.next()? {
            if placed.header.last_offset() >= from {
                largest = largest.max(Some(placed.header.max_timestamp));
            }
        }
        Ok(largest)
    }
}

/// Reads a whole batch that a walk has found.
pub(crate) fn read_batch(file: &OpenFile, placed: &Placed) -> Result<BytesMut, DiskError> {
    let mut bytes = BytesMut::zeroed(placed.header.size_in_bytes());
    let read = file.read_at(&mut bytes, placed.position)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// What is about to be appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingAppend {
    pub(crate) bytes: usize,
    pub(crate) last_offset: Offset,
    pub(crate) max_timestamp: i64,
    pub(crate) now_ms: i64,
}

/// What [`Segment::locate`] looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    pub(crate) offset: Offset,
    pub(crate) max_bytes: usize,
    pub(crate) upper_bound: Offset,
    pub(crate) min_one_batch: bool,
}

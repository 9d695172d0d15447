//! One round over a log: keys are noted, then segments copied, without the log's lock.

use std::collections::HashMap;

use vltava_wire::batch::BatchError;
use vltava_wire::{Offset, ProducerId};

use super::extent::Cleanable;
use super::filter::{Filter, Kept, LastTrace};
use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::config::LogConfig;
use crate::disk::{OpenMode, SyncKind};
use crate::error::{CleanError, LogError};
use crate::folder::{self, Folder};
use crate::log::{Log, corrupt};
use crate::producers::AbortedTransaction;
use crate::scan::BatchWalk;
use crate::segment::Segment;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// Is told of every so many bytes that were read or written. The owner waits in it, to hold a rate,
/// and ends the round by an error.
pub type Pace<'a> = dyn FnMut(u64) -> Result<(), Stopped> + 'a;

/// The owner wants the round to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl From<Stopped> for CleanError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanStats {
    /// Bytes of segments that were read to be copied.
    pub bytes_read: u64,
    /// Bytes that were kept of them.
    pub bytes_written: u64,
    /// Bytes that were read to note keys.
    pub bytes_indexed: u64,
    /// Segments there were.
    pub segments_before: usize,
    /// Segments that came in their place.
    pub segments_after: usize,
}

/// A segment as it was when the round began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) base_offset: Offset,
    next_offset: Offset,
    /// Where the segment after it starts.
    next_base: Offset,
    size: u64,
    index_bytes: (usize, usize),
    age_from_ms: i64,
}

/// One round over a log. See [`Log::begin_clean`].
#[derive(Debug)]
pub struct CleanRound {
    folder: Folder,
    config: LogConfig,
    /// All segments that may be cleaned.
    sources: Vec<Source>,
    extent: Cleanable,
    truncations: u64,
    filter: Filter,
    aborted: Vec<AbortedTransaction>,
    end_offset: Offset,
    /// The first one that was not copied yet.
    next: usize,
    stats: CleanStats,
}

/// A segment that is ready to be put in the place of others by [`Log::swap_in`].
#[derive(Debug)]
#[must_use = "a segment that is not swapped in is to be discarded"]
pub struct CleanedSegment {
    pub(super) folder: Folder,
    pub(super) segment: Segment,
    pub(super) replaces: Vec<Source>,
    pub(super) truncations: u64,
    /// Nothing was dropped: it is what it should replace.
    pub(super) is_same: bool,
}

impl CleanedSegment {
    /// Removes what was written.
    pub fn discard(self) {
        discard(&self.folder, self.segment.base_offset());
    }
}

/// Removes the files of a segment that is not needed; what stays by failure is removed when the log
/// is opened.
pub(super) fn discard(folder: &Folder, base: Offset) {
    for suffix in folder::SEGMENT_FILES {
        _ = folder.volume.remove_file(&folder.path(base, suffix));
    }
}

impl Log {
    /// Begins to clean what [`cleanable`](Self::cleanable) has found.
    ///
    /// # Errors
    /// [`LogError::Failed`]; what is known of aborted transactions cannot be read.
    pub fn begin_clean(&self, extent: Cleanable, now_ms: i64) -> Result<CleanRound, LogError> {
        self.check()?;
        let ends = self.segments.iter().skip(1).map(Segment::base_offset);
        let pairs = self.segments.iter().zip(ends);
        let sources: Vec<_> = pairs
            .take_while(|(_, next_base)| *next_base <= extent.first_uncleanable)
            .map(|(segment, next_base)| Source {
                base_offset: segment.base_offset(),
                next_offset: segment.next_offset(),
                next_base,
                size: segment.size(),
                index_bytes: segment.index_bytes(),
                age_from_ms: segment.age_from(),
            })
            .collect();
        let filter = Filter {
            transactions: Transactions::default(),
            traces: self.last_traces(),
            now_ms,
            delete_retention_ms: self.config().delete_retention_ms.max(0),
            round_end: extent.first_uncleanable,
        };
        let first = self.segments[0].base_offset();
        let aborted = self.aborted_transactions(first, extent.first_uncleanable)?;
        Ok(CleanRound {
            folder: self.folder.clone(),
            config: *self.config(),
            stats: CleanStats { segments_before: sources.len(), ..CleanStats::default() },
            sources,
            extent,
            truncations: self.truncations,
            filter,
            aborted,
            end_offset: extent.first_dirty,
            next: 0,
        })
    }

    fn last_traces(&self) -> HashMap<ProducerId, LastTrace> {
        let trace = |producer: &crate::producers::ProducerEntry| LastTrace {
            last_offset: producer.batches().last().map(|batch| batch.last_offset),
            epoch: producer.epoch,
        };
        self.producers().map(|producer| (producer.producer_id, trace(producer))).collect()
    }
}

impl CleanRound {
    /// How dirty the log was.
    pub fn extent(&self) -> &Cleanable {
        &self.extent
    }

    /// Up to where the log is clean once all segments were swapped in.
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// What was done so far.
    pub fn stats(&self) -> CleanStats {
        self.stats
    }

    fn corrupt(&self, source: &Source, position: u64, error: &BatchError) -> CleanError {
        let file = self.folder.path(source.base_offset, folder::LOG);
        LogError::Corrupt { file, position, reason: error.to_string() }.into()
    }

    fn open(&self, source: &Source) -> Result<crate::disk::OpenFile, CleanError> {
        let file = self.folder.open(source.base_offset, folder::LOG, OpenMode::Read);
        file.map_err(|error| LogError::from(error).into())
    }

    /// Notes the last offset of each key in the dirty part, as far as the memory goes.
    ///
    /// # Errors
    /// [`CleanError`]; the log is as it was.
    pub fn map_keys(&mut self, map: &mut OffsetMap, pace: &mut Pace<'_>) -> Result<(), CleanError> {
        let (from, to) = (self.extent.first_dirty, self.extent.first_uncleanable);
        map.start((to - from).max(0) as u64);
        let mut transactions = Transactions::start(&self.aborted);
        let dirty: Vec<_> = self.sources.iter().filter(|it| it.next_base > from).copied().collect();
        for source in &dirty {
            if !self.map_segment(source, map, &mut transactions, pace)? {
                break;
            }
            // There may be a gap before the next segment.
            map.reached(source.next_base + -1);
        }
        if map.latest() < from && !dirty.is_empty() {
            return Err(CleanError::TooManyKeys { offset: from, keys: map.capacity() });
        }
        self.end_offset = map.latest().next().max(from);
        self.filter.transactions = Transactions::start(&self.aborted);
        Ok(())
    }

    /// Notes the keys of a segment; whether all of them were.
    fn map_segment(
        &mut self,
        source: &Source,
        map: &mut OffsetMap,
        transactions: &mut Transactions,
        pace: &mut Pace<'_>,
    ) -> Result<bool, CleanError> {
        let file = self.open(source)?;
        let base = source.base_offset;
        let mut walk = BatchWalk::new(&file, 0, source.size);
        let from = self.extent.first_dirty;
        while let Some((placed, batch)) =
            walk.next().map_err(|error| corrupt(&self.folder, base, error))?
        {
            let bytes = batch.bytes.len() as u64;
            self.stats.bytes_indexed += bytes;
            pace(bytes)?;
            let is_void = transactions.is_void(&batch);
            if batch.header.last_offset() < from {
                continue;
            }
            if !is_void && !batch.header.is_control() {
                match super::filter::note_keys(map, &batch, from) {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    Err(error) => return Err(self.corrupt(source, placed.position, &error)),
                }
            }
            map.reached(batch.header.last_offset());
        }
        Ok(true)
    }

    /// Copies what is kept of the next group of segments; `None` after the last one. The segment
    /// is durable when this returns.
    ///
    /// # Errors
    /// [`CleanError`]; the log is as it was, and nothing is left of what was written.
    pub fn clean_next(
        &mut self,
        map: &OffsetMap,
        pace: &mut Pace<'_>,
    ) -> Result<Option<CleanedSegment>, CleanError> {
        let group = self.group();
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(None) };
        let (base, age_from_ms) = (first.base_offset, last.age_from_ms);
        self.next += group.len();
        let cleaned = self.folder.cleaned();
        let synced = self.folder.volume.sync_folder(&self.folder.dir, SyncKind::SwapNames);
        synced.map_err(LogError::from)?;
        let copied = Segment::create(&cleaned, base, age_from_ms)
            .map_err(|error| LogError::from(error).into())
            .and_then(|segment| self.copy(&group, &cleaned, segment, map, pace));
        let (segment, is_same) = copied.inspect_err(|_| discard(&cleaned, base))?;
        self.stats.bytes_written += segment.size();
        self.stats.segments_after += 1;
        let truncations = self.truncations;
        Ok(Some(CleanedSegment { folder: cleaned, segment, replaces: group, truncations, is_same }))
    }

    /// The next segments that go into one, by the sizes that they have now.
    fn group(&self) -> Vec<Source> {
        let left = self.sources.get(self.next..).unwrap_or_default();
        let mut left = left.iter().take_while(|it| it.base_offset < self.end_offset);
        let Some(first) = left.next() else { return Vec::new() };
        let mut group = vec![*first];
        let (mut size, mut index) = (first.size, first.index_bytes);
        let index_max = self.config.segment_index_bytes as usize;
        for source in left {
            size += source.size;
            index = (index.0 + source.index_bytes.0, index.1 + source.index_bytes.1);
            let spans_too_much = source.next_offset - first.base_offset > i64::from(i32::MAX);
            if size > u64::from(self.config.segment_bytes)
                || index.0.max(index.1) > index_max
                || spans_too_much && source.size > 0
            {
                break;
            }
            group.push(*source);
        }
        group
    }

    fn copy(
        &mut self,
        group: &[Source],
        cleaned: &Folder,
        mut segment: Segment,
        map: &OffsetMap,
        pace: &mut Pace<'_>,
    ) -> Result<(Segment, bool), CleanError> {
        let end = group.iter().filter(|it| it.size > 0).map(|it| it.next_offset).max();
        let mut is_same = group.len() == 1;
        for source in group {
            is_same &= self.copy_one(source, end, cleaned, &mut segment, map, pace)?;
        }
        let synced = segment.sync(cleaned, SyncKind::CleanedLog);
        synced
            .and_then(|()| segment.seal_as(cleaned, SyncKind::CleanedIndex))
            .map_err(LogError::from)?;
        Ok((segment, is_same))
    }

    /// Copies what is kept of one segment; whether that is all of it.
    fn copy_one(
        &mut self,
        source: &Source,
        end: Option<Offset>,
        cleaned: &Folder,
        segment: &mut Segment,
        map: &OffsetMap,
        pace: &mut Pace<'_>,
    ) -> Result<bool, CleanError> {
        let file = self.open(source)?;
        let base = source.base_offset;
        let mut walk = BatchWalk::new(&file, 0, source.size);
        let (mut is_same, mut out) = (true, Vec::new());
        while let Some((placed, batch)) =
            walk.next().map_err(|error| corrupt(&self.folder, base, error))?
        {
            let bytes = batch.bytes.len() as u64;
            self.stats.bytes_read += bytes;
            pace(bytes)?;
            let ends_segment = end == Some(batch.header.next_offset());
            match self.filter.keep(map, &batch, ends_segment) {
                Ok(Kept::All) => out.extend_from_slice(batch.bytes),
                Ok(Kept::Part(part)) => {
                    is_same = false;
                    out.extend_from_slice(&part);
                }
                Ok(Kept::Nothing) => is_same = false,
                Err(error) => return Err(self.corrupt(source, placed.position, &error)),
            }
            if out.len() >= WRITE_BYTES {
                self.write(cleaned, segment, &mut out, pace)?;
            }
        }
        self.write(cleaned, segment, &mut out, pace)?;
        Ok(is_same)
    }

    fn write(
        &self,
        cleaned: &Folder,
        segment: &mut Segment,
        out: &mut Vec<u8>,
        pace: &mut Pace<'_>,
    ) -> Result<(), CleanError> {
        if out.is_empty() {
            return Ok(());
        }
        pace(out.len() as u64)?;
        let written = segment.append(cleaned, self.config.index_interval_bytes, out);
        written.map_err(|(error, _)| LogError::from(error))?;
        out.clear();
        Ok(())
    }
}

//! Reading: the log finds the bytes under its lock, the reader reads them without it.

use bytes::{Bytes, BytesMut};
use vltava_wire::batch::Batch;
use vltava_wire::{LeaderEpoch, Offset};

use super::{Log, corrupt};
use crate::disk::{DiskError, OpenFile};
use crate::error::{LogError, ReadError};
use crate::scan::Placed;
use crate::segment::{Located, Range, Search, Segment, read_batch};

/// Bytes that one batch may take decompressed while a timestamp is looked for in it. For a
/// batch that takes more, the answer is its first offset.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Bytes of whole batches in a file. Reading it needs no lock, and works also if the segment is
/// deleted meanwhile.
#[derive(Clone, Debug)]
pub struct Slice {
    file: OpenFile,
    range: Range,
}

impl Slice {
    /// Where it starts in the file, in bytes.
    pub fn position(&self) -> u64 {
        self.range.position
    }

    /// Bytes; never 0.
    #[allow(clippy::len_without_is_empty, reason = "a slice is never empty")]
    pub fn len(&self) -> usize {
        self.range.len
    }

    /// The base offset of the first batch; may be less than what was asked for.
    pub fn base_offset(&self) -> Offset {
        self.range.base_offset
    }

    /// An offset after its last record that no record of a later batch is before.
    pub fn next_offset(&self) -> Offset {
        self.range.next_offset
    }

    /// The operating system's file, for `sendfile`; `None` on a disk that has none.
    pub fn as_file(&self) -> Option<&std::fs::File> {
        self.file.as_file()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// The disk's; also if the file is shorter than it was (it was truncated meanwhile).
    pub fn read(&self) -> Result<Bytes, DiskError> {
        let mut bytes = BytesMut::zeroed(self.len());
        self.read_at(&mut bytes, 0)?;
        Ok(bytes.freeze())
    }

    /// Fills `buffer` with the bytes from `at` on, which must be within the slice.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_at(&self, buffer: &mut [u8], at: usize) -> Result<(), DiskError> {
        let read = self.file.read_at(buffer, self.range.position + at as u64)?;
        if read == buffer.len() {
            return Ok(());
        }
        let source = std::io::ErrorKind::UnexpectedEof.into();
        Err(DiskError { operation: "read", path: self.file.path().to_owned(), source })
    }
}

/// The offset of a record, with its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp, in ms since 1970.
    pub timestamp: i64,
    /// The record's offset.
    pub offset: Offset,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
}

impl Log {
    /// Finds whole batches from the one that holds `offset` on: at most `max_bytes`, all below
    /// `upper_bound`, in one segment. If the first one is larger than `max_bytes` it is returned
    /// alone if `min_one_batch`. `None`: there is nothing (yet) to read there.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] outside of the log's start and end.
    pub fn locate(
        &self,
        offset: Offset,
        max_bytes: usize,
        upper_bound: Offset,
        min_one_batch: bool,
    ) -> Result<Option<Slice>, ReadError> {
        self.check()?;
        let (log_start_offset, log_end_offset) = (self.log_start_offset, self.log_end_offset());
        if offset < log_start_offset || offset > log_end_offset {
            return Err(ReadError::OffsetOutOfRange { offset, log_start_offset, log_end_offset });
        }
        if offset >= upper_bound.min(log_end_offset) {
            return Ok(None);
        }
        let search = Search { offset, max_bytes, upper_bound, min_one_batch };
        let first = self.segments.partition_point(|segment| segment.base_offset() <= offset);
        for segment in &self.segments[first.saturating_sub(1)..] {
            let file = segment.file(&self.folder)?;
            let located = segment
                .locate(&self.folder, &file, &search)
                .map_err(|error| corrupt(&self.folder, segment.base_offset(), error))?;
            match located {
                Located::Found(range) => return Ok(Some(Slice { file, range })),
                Located::Nothing => return Ok(None),
                // The offset lies in a gap at the segment's end.
                Located::Beyond => {}
            }
        }
        Ok(None)
    }

    /// The first record whose timestamp is `timestamp` (ms since 1970) or later.
    ///
    /// # Errors
    /// The log has failed, or is corrupt there.
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
    ) -> Result<Option<TimestampOffset>, LogError> {
        let mut from = self.log_start_offset;
        while let Some(batch) = self.batch_at_or_after(timestamp, from)? {
            if let Some(found) = batch.first()? {
                return Ok(Some(found));
            }
            from = batch.next_offset();
        }
        Ok(None)
    }

    /// The first record with the log's largest timestamp (KIP-734).
    ///
    /// # Errors
    /// The log has failed, or is corrupt there.
    pub fn max_timestamp(&self) -> Result<Option<TimestampOffset>, LogError> {
        let largest = self.largest_timestamp()?;
        largest.map_or(Ok(None), |largest| self.offset_for_timestamp(largest))
    }

    /// The largest timestamp of a record, in ms since 1970.
    ///
    /// # Errors
    /// The log has failed, or is corrupt there.
    pub fn largest_timestamp(&self) -> Result<Option<i64>, LogError> {
        self.check()?;
        let start = self.log_start_offset;
        let mut largest = None;
        for segment in &self.segments {
            let is_left = segment.max_timestamp_offset().is_some_and(|offset| offset >= start);
            largest = largest.max(match is_left {
                true => segment.max_timestamp(),
                false if segment.next_offset() <= start => None,
                // Its largest is deleted, and the rest of it is not.
                false => segment
                    .largest_timestamp_from(&self.folder, start)
                    .map_err(|error| corrupt(&self.folder, segment.base_offset(), error))?,
            });
        }
        Ok(largest)
    }

    /// The first batch that has a record of a time or later, at or after an offset, if its header
    /// is right.
    ///
    /// # Errors
    /// The log has failed, or is corrupt there.
    pub fn batch_at_or_after(
        &self,
        timestamp: i64,
        from: Offset,
    ) -> Result<Option<TimedBatch>, LogError> {
        self.check()?;
        let from = from.max(self.log_start_offset);
        let reaches = |segment: &&Segment| {
            segment.max_timestamp().is_some_and(|largest| largest >= timestamp)
        };
        for segment in self.segments.iter().filter(reaches) {
            if segment.next_offset() <= from {
                continue;
            }
            let file = segment.file(&self.folder)?;
            let placed = segment
                .find_timestamp(&self.folder, &file, timestamp, from)
                .map_err(|error| corrupt(&self.folder, segment.base_offset(), error))?;
            if let Some(placed) = placed {
                return Ok(Some(TimedBatch { file, placed, timestamp, from }));
            }
        }
        Ok(None)
    }
}

/// A batch in its file, in which a record of some time is looked for. Reading it needs no lock, and
/// works also if the segment is deleted meanwhile.
#[derive(Clone, Debug)]
pub struct TimedBatch {
    file: OpenFile,
    placed: Placed,
    timestamp: i64,
    from: Offset,
}

impl TimedBatch {
    /// The first of its records at or after both the time and the offset; `None` if its header
    /// promised one that it does not have. Takes as long as it takes to decompress the batch.
    ///
    /// # Errors
    /// The disk's.
    pub fn first(&self) -> Result<Option<TimestampOffset>, LogError> {
        first_in_batch(&self.file, &self.placed, self.timestamp, self.from)
    }

    /// The offset after its last record.
    pub fn next_offset(&self) -> Offset {
        self.placed.header.next_offset()
    }
}

/// The first record of a batch at or after both a timestamp and an offset.
fn first_in_batch(
    file: &OpenFile,
    placed: &Placed,
    timestamp: i64,
    from: Offset,
) -> Result<Option<TimestampOffset>, LogError> {
    let leader_epoch = placed.header.partition_leader_epoch;
    let bytes = read_batch(file, placed)?;
    let batch = Batch::parse(&bytes);
    let records = batch.and_then(|batch| batch.records(DECOMPRESSED_BYTES_MAX));
    let Ok(records) = records else {
        // Only producer and consumer need to understand the records; the header has to do.
        let (offset, timestamp) =
            (placed.header.base_offset.max(from), placed.header.max_timestamp);
        return Ok(Some(TimestampOffset { timestamp, offset, leader_epoch }));
    };
    let found = records
        .iter()
        .map_while(Result::ok)
        .find(|record| record.timestamp >= timestamp && record.offset >= from);
    Ok(found.map(|record| TimestampOffset {
        timestamp: record.timestamp,
        offset: record.offset,
        leader_epoch,
    }))
}

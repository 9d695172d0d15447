//! The records within a batch.

use std::borrow::Cow;

use super::error::{BatchError, BatchErrorKind};
use super::header::{BatchHeader, TimestampType};
use super::varint::Cursor;
use crate::Offset;

/// The fewest bytes that a record takes: one for each of length, attributes, timestamp, offset,
/// key length, value length and number of headers.
const RECORD_MIN: usize = 7;

/// The fewest bytes that a header takes: one for each of its two lengths.
const HEADER_MIN: usize = 2;

/// One record, a view of its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The offset in the partition.
    pub offset: Offset,
    /// In ms since 1970; of a batch with the broker's time, that time.
    pub timestamp: i64,
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone, where the topic is compacted.
    pub value: Option<&'a [u8]>,
    /// The headers (KIP-82).
    pub headers: Headers<'a>,
}

/// A header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// The name: UTF-8 by convention, which no broker checks.
    pub key: &'a [u8],
    /// The value, if it has one.
    pub value: Option<&'a [u8]>,
}

impl<'a> RecordHeader<'a> {
    /// The name as text, what is not UTF-8 in it replaced.
    pub fn key_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of a record, checked when the record was: an iterator that cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Headers<'a> {
    /// Checks the headers that `cursor` is at, and takes them from it.
    fn parse(cursor: &mut Cursor<'a>) -> Result<Self, BatchError> {
        let start = *cursor;
        let left = cursor.length()?;
        if left > cursor.rest.len() / HEADER_MIN {
            return Err(start.error(BatchErrorKind::RecordTruncated {
                needed: left.saturating_mul(HEADER_MIN),
                left: cursor.rest.len(),
            }));
        }
        let headers = Self { cursor: *cursor, left };
        for _ in 0..left {
            Self::header(cursor)?;
        }
        Ok(headers)
    }

    fn header(cursor: &mut Cursor<'a>) -> Result<RecordHeader<'a>, BatchError> {
        let length = cursor.length()?;
        let key = cursor.take(length)?;
        Ok(RecordHeader { key, value: cursor.nullable_bytes()? })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(Self::header(&mut self.cursor).expect("headers are checked when a record is parsed"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records of one batch, decompressed. Iterate over a reference to it.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Records<'a> {
    pub(super) fn new(
        header: &BatchHeader,
        stored: &'a [u8],
        max_bytes: usize,
    ) -> Result<Self, BatchErrorKind> {
        let count = header.records_count;
        let declared = usize::try_from(count).map_err(|_| BatchErrorKind::Count(count))?;
        // A batch that compaction has emptied keeps its codec, but has nothing to decompress.
        let bytes = match declared {
            0 if stored.is_empty() => Cow::Borrowed(stored),
            _ => header.compression().decompress(stored, max_bytes)?,
        };
        if declared > bytes.len() / RECORD_MIN {
            return Err(BatchErrorKind::Count(count));
        }
        Ok(Self { header: *header, bytes })
    }

    /// How many records there are, if all of them can be decoded.
    pub fn len(&self) -> usize {
        self.header.records_count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.header.records_count == 0
    }

    /// Bytes of the records, decompressed.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records in order; ends after the first error.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter {
            header: self.header,
            cursor: Cursor { rest: &self.bytes, at: 0 },
            left: self.len(),
        }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, BatchError>;
    type IntoIter = RecordsIter<'r>;

    fn into_iter(self) -> RecordsIter<'r> {
        self.iter()
    }
}

/// Yields the records of a batch, and ends at its end or after the first error.
#[derive(Clone, Debug)]
pub struct RecordsIter<'r> {
    header: BatchHeader,
    cursor: Cursor<'r>,
    left: usize,
}

impl<'r> RecordsIter<'r> {
    fn record(&mut self) -> Result<Record<'r>, BatchError> {
        let length = self.cursor.length()?;
        let at = self.cursor.at;
        let mut body = Cursor { rest: self.cursor.take(length)?, at };
        // No attribute of a record has a meaning yet; Kafka passes them over, too.
        body.byte()?;
        let timestamp_delta = body.varlong()?;
        let offset_at = body;
        let offset_delta = body.varint()?;
        if !(0..=self.header.last_offset_delta).contains(&offset_delta) {
            return Err(offset_at.error(BatchErrorKind::OffsetDelta(offset_delta.into())));
        }
        let record = Record {
            offset: Offset(self.header.base_offset.0.saturating_add(offset_delta.into())),
            timestamp: match self.header.timestamp_type() {
                TimestampType::CreateTime => {
                    self.header.base_timestamp.wrapping_add(timestamp_delta)
                }
                TimestampType::LogAppendTime => self.header.max_timestamp,
            },
            key: body.nullable_bytes()?,
            value: body.nullable_bytes()?,
            headers: Headers::parse(&mut body)?,
        };
        match body.rest.len() {
            0 => Ok(record),
            left => Err(body.error(BatchErrorKind::Trailing(left))),
        }
    }
}

impl<'r> Iterator for RecordsIter<'r> {
    type Item = Result<Record<'r>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            let trailing = std::mem::take(&mut self.cursor.rest).len();
            let error = self.cursor.error(BatchErrorKind::Trailing(trailing));
            return (trailing > 0).then_some(Err(error));
        };
        self.left = left;
        let record = self.record();
        if record.is_err() {
            (self.left, self.cursor.rest) = (0, &[]);
        }
        Some(record)
    }
}

impl std::iter::FusedIterator for RecordsIter<'_> {}

//! Walking over the batches that lie one after the other in a slice.

use super::error::{BatchError, BatchErrorKind};
use super::header::{ATTRIBUTES_AT, BATCH_OVERHEAD, BatchHeader};
use super::record::Records;

/// One whole batch in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Where the batch starts in the slice that was walked over, in bytes.
    pub at: usize,
    /// The header, decoded.
    pub header: BatchHeader,
    /// The batch, header included.
    pub bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the front of `bytes`, which may go on after it.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`]; `Truncated` too if `bytes` end within the records.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_in_bytes();
        let truncated = BatchErrorKind::Truncated { needed, left: bytes.len() };
        let bytes = bytes.get(..needed).ok_or(BatchError::new(0, truncated))?;
        Ok(Self { at: 0, header, bytes })
    }

    /// Checks the bytes against the header's CRC-32C.
    ///
    /// # Errors
    /// [`BatchErrorKind::Crc`] if they differ.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let declared = self.header.crc;
        let computed = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if declared == computed {
            return Ok(());
        }
        Err(BatchError::new(self.at, BatchErrorKind::Crc { declared, computed }))
    }

    /// The records' bytes as they were stored, compressed or not.
    pub fn stored_records(&self) -> &'a [u8] {
        &self.bytes[BATCH_OVERHEAD..]
    }

    /// The records, decompressed into at most `max_bytes` of memory.
    ///
    /// Checks that the bytes can hold as many records as the header says; each record is checked
    /// as it is reached.
    ///
    /// # Errors
    /// `Decompress` or `Count`.
    pub fn records(&self, max_bytes: usize) -> Result<Records<'a>, BatchError> {
        Records::new(&self.header, self.stored_records(), max_bytes)
            .map_err(|kind| BatchError::new(self.at, kind))
    }
}

/// Yields the batches of a slice in order, and ends at its end or after the first error.
///
/// ```
/// use vltava_wire::Offset;
/// use vltava_wire::batch::{BatchBuilder, Batches};
///
/// let mut builder = BatchBuilder::new(Offset(7));
/// builder.append(1_700_000_000_000, None, Some(b"value"), &[]);
/// let bytes = builder.build();
/// for batch in Batches::new(&bytes) {
///     let batch = batch.expect("a batch");
///     batch.verify_crc().expect("its CRC");
///     for record in &batch.records(1024).expect("its records") {
///         assert_eq!(record.expect("a record").offset, Offset(7));
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    slice: &'a [u8],
    at: usize,
}

impl<'a> Batches<'a> {
    /// Starts at the first byte of `slice`.
    pub fn new(slice: &'a [u8]) -> Self {
        Self { slice, at: 0 }
    }

    /// Where the next batch starts, in bytes; after the last one, or after an error, where the
    /// last whole batch ended.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.slice.get(self.at..).filter(|rest| !rest.is_empty())?;
        let at = self.at;
        match Batch::parse(rest) {
            Ok(batch) => {
                self.at += batch.bytes.len();
                Some(Ok(Batch { at, ..batch }))
            }
            Err(error) => {
                self.slice = &self.slice[..at];
                Some(Err(BatchError { at: at + error.at, ..error }))
            }
        }
    }
}

impl std::iter::FusedIterator for Batches<'_> {}

//! Why bytes are not a record batch.

use crate::compression::DecompressError;

/// What is wrong with a batch, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {kind}")]
pub struct BatchError {
    /// Where the batch starts in the slice that was given, in bytes; for an error in a record,
    /// where the value starts in the (decompressed) records.
    pub at: usize,
    /// What is wrong.
    pub kind: BatchErrorKind,
}

/// What is wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchErrorKind {
    /// The slice ends before the batch does: a torn tail, or more has to be read.
    #[error("the batch takes {needed} bytes, {left} are left")]
    Truncated {
        /// Bytes that the batch takes; of one whose header is cut, those of the header.
        needed: usize,
        /// Bytes that the slice has from the batch's start.
        left: usize,
    },
    /// A declared length smaller than a header.
    #[error("impossible batch length {0}")]
    Length(i32),
    /// A format that is not version 2.
    #[error("record format {0} is not supported, only 2 is")]
    Magic(i8),
    /// The bytes are not those that the CRC was computed of.
    #[error("the CRC says {declared:#010x}, the bytes say {computed:#010x}")]
    Crc {
        /// The CRC in the header.
        declared: u32,
        /// The CRC of the bytes.
        computed: u32,
    },
    /// A codec that does not exist.
    #[error("compression type {0} does not exist")]
    Compression(i8),
    /// A last offset before the first one, or a record outside of its batch's offsets.
    #[error("offset delta {0} is outside of the batch")]
    OffsetDelta(i64),
    /// A number of records that contradicts the batch's bytes or offsets.
    #[error("{0} records contradict the size or the offsets of the batch")]
    Count(i32),
    /// A batch that only a broker may write.
    #[error("a producer may not write control batches")]
    Control,
    /// An idempotent producer's batch without a sequence number.
    #[error("base sequence {0} in a batch of an idempotent producer")]
    Sequence(i32),
    /// Records that cannot be decompressed.
    #[error("records cannot be decompressed")]
    Decompress(#[from] DecompressError),
    /// A record, a key, a value or a header that ends beyond what holds it.
    #[error("a value of {needed} bytes where {left} are left")]
    RecordTruncated {
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A negative length or count where none is allowed.
    #[error("impossible length {0} in a record")]
    RecordLength(i64),
    /// A variable-length integer of more than its five or ten bytes.
    #[error("a variable-length integer that does not end")]
    Varint,
    /// Bytes after the end of a record, or after the last one.
    #[error("{0} bytes after the end of what was declared")]
    Trailing(usize),
    /// The key of a control record that is none.
    #[error("the key of a control record is not one")]
    ControlKey,
}

impl BatchError {
    /// Whether more bytes could complete the batch: the slice ends within it.
    pub fn is_truncated(&self) -> bool {
        matches!(self.kind, BatchErrorKind::Truncated { .. })
    }

    pub(super) fn new(at: usize, kind: BatchErrorKind) -> Self {
        Self { at, kind }
    }
}

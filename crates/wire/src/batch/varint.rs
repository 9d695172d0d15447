//! The variable-length integers of records: zigzag, seven bits a byte, the lowest first.

use super::error::{BatchError, BatchErrorKind};

/// The most bytes that an integer of 32 bits takes.
const BYTES_MAX_32: usize = 5;
/// The most bytes that an integer of 64 bits takes.
const BYTES_MAX_64: usize = 10;

/// A position in the records of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
    /// Where `rest` starts in the records, in bytes.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn error(&self, kind: BatchErrorKind) -> BatchError {
        BatchError::new(self.at, kind)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], BatchError> {
        let left = self.rest.len();
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.error(BatchErrorKind::RecordTruncated { needed: length, left }))?;
        self.rest = rest;
        self.at += length;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, BatchError> {
        self.take(1).map(|byte| byte[0])
    }

    fn unsigned(&mut self, bytes_max: usize, bits: u32) -> Result<u64, BatchError> {
        let start = *self;
        let mut value = 0u64;
        for index in 0..bytes_max {
            let byte = self.byte()?;
            let shift = 7 * index as u32;
            let low = u64::from(byte & 0x7f);
            if shift + 7 > bits && low >> (bits - shift) != 0 {
                return Err(start.error(BatchErrorKind::Varint));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(start.error(BatchErrorKind::Varint))
    }

    pub(super) fn varint(&mut self) -> Result<i32, BatchError> {
        let value = self.unsigned(BYTES_MAX_32, 32)? as u32;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    pub(super) fn varlong(&mut self) -> Result<i64, BatchError> {
        let value = self.unsigned(BYTES_MAX_64, 64)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A length that must not be negative.
    pub(super) fn length(&mut self) -> Result<usize, BatchError> {
        let start = *self;
        let length = self.varint()?;
        usize::try_from(length)
            .map_err(|_| start.error(BatchErrorKind::RecordLength(length.into())))
    }

    /// A byte string with its length before it; length −1 is null.
    pub(super) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, BatchError> {
        let start = *self;
        match self.varint()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.take(length).map(Some),
                Err(_) => Err(start.error(BatchErrorKind::RecordLength(length.into()))),
            },
        }
    }
}

pub(super) fn put_varlong(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        buffer.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.push(rest as u8);
}

/// Zigzag of a 32-bit value is the same bytes as that of the value widened to 64 bits.
pub(super) fn put_varint(buffer: &mut Vec<u8>, value: i32) {
    put_varlong(buffer, i64::from(value));
}

pub(super) fn put_nullable_bytes(buffer: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            put_varint(buffer, i32::try_from(value.len()).expect("a record is below 2 GiB"));
            buffer.extend_from_slice(value);
        }
        None => put_varint(buffer, -1),
    }
}

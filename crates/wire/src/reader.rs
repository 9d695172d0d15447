//! Decoding: a cursor over one frame that never trusts what the frame declares.

use bytes::{Buf, Bytes};

use crate::{Str, Uuid};

/// How many bytes of memory a decoded frame may take for each byte of the frame.
///
/// The widest honest message (thousands of small structs with several empty collections each)
/// stays under it; what exceeds it is an attack or a mistake.
pub const MEMORY_PER_FRAME_BYTE: usize = 16;

/// What a small frame may take in any case, in bytes.
pub const MEMORY_FLOOR: usize = 64 * 1024;

/// What a decoded frame may take at most, in bytes, not counting the byte strings that it shares
/// with the frame: room for a million small elements. A large frame is large by its records.
pub const MEMORY_CEILING: usize = 128 * 1024 * 1024;

/// The longest text of the protocol, in bytes: the largest length that older versions can say,
/// and that Kafka accepts in the newer ones.
pub const TEXT_MAX: usize = i16::MAX as usize;

/// The most tagged fields that one struct may carry (KIP-482); Kafka declares at most four.
pub const TAGS_MAX: u32 = 64;

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The frame ends within a value.
    #[error("{needed} more bytes needed, {left} left")]
    Truncated {
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that the frame has left.
        left: usize,
    },
    /// A length below −1, or one that no frame can hold.
    #[error("impossible length {0}")]
    Length(i64),
    /// Null where the protocol does not allow it.
    #[error("null where a value is required")]
    Null,
    /// A variable-length integer of more than its five or ten bytes.
    #[error("a variable-length integer that does not end")]
    Varint,
    /// More tagged fields than any message has, or tags out of order.
    #[error("tagged fields out of order or too many")]
    Tags,
    /// A message that would take more memory than its frame justifies.
    #[error("decoding takes more memory than a frame of its size may")]
    Memory,
    /// Bytes after the end of the message.
    #[error("{0} bytes after the end of the message")]
    Trailing(usize),
    /// A version that this codec does not know.
    #[error("version {0} is not known")]
    Version(i16),
}

/// Why a frame could not be decoded, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}{}: {kind}", self.path_suffix())]
pub struct DecodeError {
    /// The position in the frame, in bytes.
    pub at: usize,
    /// The fields that lead there, outermost first, joined by dots; empty in headers.
    pub path: String,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    fn path_suffix(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in {}", self.path) }
    }

    /// Names the field in which the error happened; called from the innermost outwards.
    #[must_use]
    pub fn within(mut self, field: &str) -> Self {
        self.path =
            if self.path.is_empty() { field.to_owned() } else { format!("{field}.{}", self.path) };
        self
    }
}

/// A cursor over a frame. Byte strings and text that it yields share the frame's memory.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    length: usize,
    memory_left: usize,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl Reader {
    /// Starts at the first byte of a frame.
    pub fn new(frame: Bytes) -> Self {
        let length = frame.len();
        let memory_left =
            length.saturating_mul(MEMORY_PER_FRAME_BYTE).clamp(MEMORY_FLOOR, MEMORY_CEILING);
        Self { rest: frame, length, memory_left }
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left, without a copy.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// An error at the present position.
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { at: self.length - self.rest.len(), path: String::new(), kind }
    }

    /// # Errors
    /// [`DecodeErrorKind::Trailing`] if bytes are left.
    pub fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.error(DecodeErrorKind::Trailing(left))),
        }
    }

    fn need(&self, needed: usize) -> Result<()> {
        let left = self.rest.len();
        if needed > left {
            return Err(self.error(DecodeErrorKind::Truncated { needed, left }));
        }
        Ok(())
    }

    /// Takes `length` bytes without copying them.
    pub fn take(&mut self, length: usize) -> Result<Bytes> {
        self.need(length)?;
        Ok(self.rest.split_to(length))
    }

    /// One byte as a truth value: Kafka writes 0 and 1, and reads all but 0 as true.
    pub fn boolean(&mut self) -> Result<bool> {
        Ok(self.i8()? != 0)
    }

    /// A signed byte.
    pub fn i8(&mut self) -> Result<i8> {
        self.need(1)?;
        Ok(self.rest.get_i8())
    }

    /// Two bytes, big-endian.
    pub fn i16(&mut self) -> Result<i16> {
        self.need(2)?;
        Ok(self.rest.get_i16())
    }

    /// Two bytes, big-endian, unsigned.
    pub fn u16(&mut self) -> Result<u16> {
        self.need(2)?;
        Ok(self.rest.get_u16())
    }

    /// Four bytes, big-endian.
    pub fn i32(&mut self) -> Result<i32> {
        self.need(4)?;
        Ok(self.rest.get_i32())
    }

    /// Four bytes, big-endian, unsigned.
    pub fn u32(&mut self) -> Result<u32> {
        self.need(4)?;
        Ok(self.rest.get_u32())
    }

    /// Eight bytes, big-endian.
    pub fn i64(&mut self) -> Result<i64> {
        self.need(8)?;
        Ok(self.rest.get_i64())
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self) -> Result<f64> {
        self.need(8)?;
        Ok(self.rest.get_f64())
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self) -> Result<Uuid> {
        self.need(16)?;
        Ok(Uuid(self.rest.get_u128()))
    }

    /// An unsigned variable-length integer of at most 32 bits.
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            self.need(1)?;
            let byte = self.rest.get_u8();
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(self.error(DecodeErrorKind::Varint));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::Varint))
    }

    /// The declared length of a string, byte string or collection; `None` is null.
    pub fn length(&mut self, flexible: bool, short: bool) -> Result<Option<usize>> {
        let declared = match (flexible, short) {
            (true, _) => i64::from(self.unsigned_varint()?) - 1,
            (false, true) => i64::from(self.i16()?),
            (false, false) => i64::from(self.i32()?),
        };
        match declared {
            -1 => Ok(None),
            0..=0x7fff_ffff => Ok(Some(declared as usize)),
            _ => Err(self.error(DecodeErrorKind::Length(declared))),
        }
    }

    /// Text, or null.
    ///
    /// What is not UTF-8 in it is replaced, as Kafka does: clients in C keep bytes of their own
    /// in the metadata of a committed offset.
    pub fn string(&mut self, flexible: bool) -> Result<Option<Str>> {
        let Some(length) = self.length(flexible, true)? else { return Ok(None) };
        if length > TEXT_MAX {
            return Err(self.error(DecodeErrorKind::Length(length as i64)));
        }
        let bytes = self.take(length)?;
        if let Ok(text) = Str::from_utf8(bytes.clone()) {
            return Ok(Some(text));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // A replacement takes more bytes than what it replaces.
        if text.len() > TEXT_MAX {
            return Err(self.error(DecodeErrorKind::Length(text.len() as i64)));
        }
        self.charge(text.len())?;
        Ok(Some(Str::from(text)))
    }

    /// A byte string, or null.
    pub fn bytes(&mut self, flexible: bool) -> Result<Option<Bytes>> {
        match self.length(flexible, false)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// A collection, or null, each element read by `element`.
    ///
    /// Every element takes a byte at least, so a declared count beyond the bytes left is refused
    /// before anything is allocated; and what the elements take in memory is charged to the
    /// frame's budget as they come.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(count) = self.length(flexible, false)? else { return Ok(None) };
        self.need(count)?;
        let size = size_of::<T>().max(1);
        // The first reservation is modest: a count that the bytes do not bear out costs little.
        let mut elements = Vec::with_capacity(count.min(1 + 4096 / size));
        for _ in 0..count {
            self.charge(size)?;
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// Charges `size` bytes of memory to the frame.
    fn charge(&mut self, size: usize) -> Result<()> {
        match self.memory_left.checked_sub(size) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => Err(self.error(DecodeErrorKind::Memory)),
        }
    }

    /// The tagged fields at the end of a struct (KIP-482): `field` reads the value of a tag that
    /// it knows and returns true, or returns false, and the value is passed over.
    pub fn tagged_fields(
        &mut self,
        mut field: impl FnMut(u32, &mut Self) -> Result<bool>,
    ) -> Result<()> {
        let count = self.unsigned_varint()?;
        if count > TAGS_MAX {
            return Err(self.error(DecodeErrorKind::Tags));
        }
        let mut previous = None;
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            if previous.is_some_and(|previous| tag <= previous) {
                return Err(self.error(DecodeErrorKind::Tags));
            }
            previous = Some(tag);
            let length = self.unsigned_varint()? as usize;
            let rest = self.take(length)?;
            let start = self.length - self.rest.len() - length;
            let mut value =
                Self { length: start + rest.len(), rest, memory_left: self.memory_left };
            if field(tag, &mut value)? {
                self.memory_left = value.memory_left;
                value.finish()?;
            }
        }
        Ok(())
    }
}

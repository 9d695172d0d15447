//! Record batches in an answer: bytes, or only how many there are, where the sender has them in a
//! file.

use bytes::Bytes;

use crate::message::{Nullable, Version, Wire};
use crate::reader::DecodeErrorKind;
use crate::{DecodeError, Reader, Writer};

/// Record batches that are sent or were received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordBytes {
    /// The bytes. What was decoded is always here.
    Here(Bytes),
    /// So many bytes that the sender adds where the [`Writer`] leaves a hole for them.
    Elsewhere(usize),
}

impl RecordBytes {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::Elsewhere(len) => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that are here: all, in what was decoded.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Here(bytes) => bytes,
            Self::Elsewhere(_) => Bytes::new(),
        }
    }
}

impl Default for RecordBytes {
    fn default() -> Self {
        Self::Here(Bytes::new())
    }
}

impl From<Bytes> for RecordBytes {
    fn from(bytes: Bytes) -> Self {
        Self::Here(bytes)
    }
}

impl Wire for RecordBytes {
    fn encode(&self, writer: &mut Writer, version: Version) {
        Self::encode_nullable(Some(self), writer, version);
    }

    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        Self::decode_nullable(reader, version)?.ok_or_else(|| reader.error(DecodeErrorKind::Null))
    }
}

impl Nullable for RecordBytes {
    fn encode_nullable(value: Option<&Self>, writer: &mut Writer, version: Version) {
        match value {
            Some(Self::Elsewhere(len)) => {
                writer.length(Some(*len), version.flexible, false);
                writer.hole(*len);
            }
            Some(Self::Here(bytes)) => Bytes::encode_nullable(Some(bytes), writer, version),
            None => Bytes::encode_nullable(None, writer, version),
        }
    }

    fn decode_nullable(reader: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError> {
        Ok(Bytes::decode_nullable(reader, version)?.map(Self::Here))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::Piece;

    #[test]
    fn records_elsewhere_leave_a_hole_of_their_length() {
        let version = Version { number: 12, flexible: true };
        let mut writer = Writer::new();
        writer.i8(1);
        RecordBytes::Elsewhere(300).encode(&mut writer, version);
        writer.i8(2);
        assert_eq!(writer.len(), 1 + 2 + 300 + 1);
        let layout = writer.into_layout();
        let bytes = |bytes: &'static [u8]| Piece::Bytes(Bytes::from_static(bytes));
        assert_eq!(layout, [bytes(&[1, 0xad, 2]), Piece::Hole(300), bytes(&[2])]);
    }
}

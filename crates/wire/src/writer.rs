//! Encoding: a frame is a list of pieces, so that record batches go out without a copy.

use bytes::{BufMut, Bytes, BytesMut};

/// Byte strings from this size on become pieces of their own; smaller ones are copied, which is
/// cheaper than another entry in a vectored write. In bytes.
const PIECE_MIN: usize = 2048;

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes.
    Bytes(Bytes),
    /// So many bytes that the sender has elsewhere.
    Hole(usize),
}

/// Collects the pieces of a message.
#[derive(Debug, Default)]
pub struct Writer {
    pieces: Vec<Piece>,
    open: BytesMut,
    closed_len: usize,
}

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.closed_len + self.open.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, in order.
    pub fn into_layout(mut self) -> Vec<Piece> {
        self.close();
        self.pieces
    }

    /// The pieces of a message without holes, in order.
    pub fn into_pieces(self) -> Vec<Bytes> {
        let bytes = |piece| match piece {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Hole(_) => None,
        };
        self.into_layout().into_iter().filter_map(bytes).collect()
    }

    /// All that was written, in one piece (a copy, where there are several).
    pub fn into_bytes(self) -> Bytes {
        if self.pieces.is_empty() {
            return self.open.freeze();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        self.into_pieces().iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed_len += self.open.len();
            self.pieces.push(Piece::Bytes(self.open.split().freeze()));
        }
    }

    /// Appends shared bytes: large ones without a copy.
    pub fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() < PIECE_MIN {
            self.open.extend_from_slice(bytes);
            return;
        }
        self.close();
        self.closed_len += bytes.len();
        self.pieces.push(Piece::Bytes(bytes.clone()));
    }

    /// Leaves room for so many bytes that the sender has elsewhere.
    pub fn hole(&mut self, len: usize) {
        if len > 0 {
            self.close();
            self.closed_len += len;
            self.pieces.push(Piece::Hole(len));
        }
    }

    /// Appends what another writer holds.
    pub fn append(&mut self, other: Self) {
        if other.pieces.is_empty() {
            self.open.extend_from_slice(&other.open);
            return;
        }
        for piece in other.into_layout() {
            match piece {
                Piece::Bytes(bytes) => self.shared(&bytes),
                Piece::Hole(len) => self.hole(len),
            }
        }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.open.put_i8(value);
    }

    /// Two bytes, big-endian.
    pub fn i16(&mut self, value: i16) {
        self.open.put_i16(value);
    }

    /// Two bytes, big-endian, unsigned.
    pub fn u16(&mut self, value: u16) {
        self.open.put_u16(value);
    }

    /// Four bytes, big-endian.
    pub fn i32(&mut self, value: i32) {
        self.open.put_i32(value);
    }

    /// Four bytes, big-endian, unsigned.
    pub fn u32(&mut self, value: u32) {
        self.open.put_u32(value);
    }

    /// Eight bytes, big-endian.
    pub fn i64(&mut self, value: i64) {
        self.open.put_i64(value);
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self, value: f64) {
        self.open.put_f64(value);
    }

    /// An unsigned variable-length integer.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.open.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.open.put_u8(value as u8);
    }

    /// The length of a string, byte string or collection; `None` is null.
    ///
    /// # Panics
    /// If the length is beyond what the protocol can say: what is encoded was made here or decoded
    /// before, and both are bounded far below 2 GiB; texts, whose length is a short one, are cut
    /// to what fits.
    pub fn length(&mut self, length: Option<usize>, flexible: bool, short: bool) {
        let number = length.map_or(-1, |length| {
            i32::try_from(length).expect("messages are bounded far below 2 GiB")
        });
        match (flexible, short) {
            (true, _) => self.unsigned_varint((number + 1) as u32),
            (false, true) => {
                self.i16(i16::try_from(number).expect("texts are cut to what fits"));
            }
            (false, false) => self.i32(number),
        }
    }
}

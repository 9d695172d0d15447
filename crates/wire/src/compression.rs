//! The four codecs of record batches, each decompressing into a hard cap.
//!
//! *Invariant:* no output is reserved by a size that the input declares. Output grows with what
//! was really decompressed, and stops at the caller's cap; the codecs' own buffers are bounded by
//! constants (gzip 32 KiB, lz4 a block of at most 8 MiB, snappy and zstd none).

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use zstd::zstd_safe;

/// How the records of a batch are compressed: the lowest three bits of its attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy, in the framing of Java's `SnappyOutputStream`; read also without framing.
    Snappy = 2,
    /// LZ4 frames.
    Lz4 = 3,
    /// RFC 8878 (KIP-110).
    Zstd = 4,
}

/// Why compressed records could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The output goes beyond the caller's cap.
    #[error("{codec} data takes more than the {max} bytes that it may")]
    TooLarge {
        /// The codec.
        codec: &'static str,
        /// The cap, in bytes.
        max: usize,
    },
    /// The input is not what the codec writes.
    #[error("{codec} data is corrupt: {reason}")]
    Corrupt {
        /// The codec.
        codec: &'static str,
        /// What the codec says.
        reason: String,
    },
}

/// The first reservation for decompressed output, in bytes: what small batches take.
const FIRST_RESERVATION: usize = 16 * 1024;

/// The highest level of gzip.
const GZIP_LEVEL_MAX: u32 = 9;

/// The level of zstd that Kafka's producers use by default.
const ZSTD_LEVEL: i32 = 3;

/// A snappy copy of 3 bytes yields 64 bytes at most, so no block can honestly declare more
/// output than 22 times its size.
const SNAPPY_RATIO_MAX: usize = 22;

/// The input bytes of one snappy block, as in Java's `SnappyOutputStream`.
const SNAPPY_BLOCK: usize = 32 * 1024;

/// What a stream of Java's `SnappyOutputStream` starts with.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];

/// The magic, then the version (1) and the lowest compatible version (1).
const XERIAL_HEADER: [u8; 16] =
    [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];

impl Compression {
    /// Every codec, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of that number, if there is one.
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The codec of that name, as the configuration key `compression.type` spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The number in a batch's attributes.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The name, as the configuration key `compression.type` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Compresses `input` as Kafka's Java clients read it.
    pub fn compress(self, input: &[u8]) -> Vec<u8> {
        self.compress_at(None, input)
    }

    /// As [`compress`](Self::compress), as hard as `level` says: 1 to 9 for gzip, −131072 to 22
    /// for Zstandard; other codecs have one level, and `None` is the codec's own default.
    pub fn compress_at(self, level: Option<i32>, input: &[u8]) -> Vec<u8> {
        const MEMORY: &str = "writing to memory cannot fail";
        match self {
            Self::None => input.to_vec(),
            Self::Gzip => {
                let level = level.and_then(|level| u32::try_from(level).ok());
                let level = level.map_or_else(flate2::Compression::default, |level| {
                    flate2::Compression::new(level.min(GZIP_LEVEL_MAX))
                });
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(input).expect(MEMORY);
                encoder.finish().expect(MEMORY)
            }
            Self::Snappy => compress_xerial(input),
            Self::Lz4 => {
                let mut encoder = FrameEncoder::new(Vec::new());
                encoder.write_all(input).expect(MEMORY);
                encoder.finish().expect(MEMORY)
            }
            Self::Zstd => zstd::bulk::compress(input, level.unwrap_or(ZSTD_LEVEL)).expect(MEMORY),
        }
    }

    /// Decompresses `input` into at most `max` bytes; uncompressed input is returned as it is.
    ///
    /// # Errors
    /// Input that is corrupt or would take more than `max` bytes.
    pub fn decompress(self, input: &[u8], max: usize) -> Result<Cow<'_, [u8]>, DecompressError> {
        match self {
            Self::None => return Ok(Cow::Borrowed(input)),
            Self::Gzip => self.read_capped(MultiGzDecoder::new(input), max),
            Self::Snappy => self.decompress_snappy(input, max),
            Self::Lz4 => self.read_capped(FrameDecoder::new(input), max),
            Self::Zstd => self.decompress_zstd(input, max),
        }
        .map(Cow::Owned)
    }

    fn too_large(self, max: usize) -> DecompressError {
        DecompressError::TooLarge { codec: self.name(), max }
    }

    fn corrupt(self, reason: impl ToString) -> DecompressError {
        DecompressError::Corrupt { codec: self.name(), reason: reason.to_string() }
    }

    fn read_capped(self, stream: impl Read, max: usize) -> Result<Vec<u8>, DecompressError> {
        let mut output = Vec::with_capacity(FIRST_RESERVATION.min(max));
        // One byte more than allowed tells "exactly the cap" from "beyond it".
        let mut capped = stream.take((max as u64).saturating_add(1));
        capped.read_to_end(&mut output).map_err(|error| self.corrupt(error))?;
        if output.len() > max { Err(self.too_large(max)) } else { Ok(output) }
    }

    /// Decompresses in one call, which needs no window of the size that the frame declares, into
    /// a buffer that doubles until the data fits.
    fn decompress_zstd(self, input: &[u8], max: usize) -> Result<Vec<u8>, DecompressError> {
        let mut context = zstd_safe::DCtx::create();
        let mut capacity = input.len().saturating_mul(4).max(FIRST_RESERVATION).min(max);
        loop {
            let mut output = Vec::with_capacity(capacity);
            let Err(code) = context.decompress(&mut output, input) else { return Ok(output) };
            let reason = zstd_safe::get_error_name(code);
            if reason != ZSTD_OUTPUT_FULL {
                return Err(self.corrupt(reason));
            }
            if capacity >= max {
                return Err(self.too_large(max));
            }
            capacity = capacity.saturating_mul(2).min(max);
        }
    }

    fn decompress_snappy(self, input: &[u8], max: usize) -> Result<Vec<u8>, DecompressError> {
        let mut output = Vec::new();
        if !input.starts_with(&XERIAL_MAGIC) {
            self.snappy_block(input, max, &mut output)?;
            return Ok(output);
        }
        let mut rest = input;
        while !rest.is_empty() {
            // Streams may be concatenated, so the header can come again between blocks.
            if rest.starts_with(&XERIAL_MAGIC) {
                rest = rest
                    .get(XERIAL_HEADER.len()..)
                    .ok_or_else(|| self.corrupt("the stream ends within its header"))?;
                continue;
            }
            let (length, after) = rest
                .split_first_chunk()
                .ok_or_else(|| self.corrupt("the stream ends within a block's length"))?;
            let block = usize::try_from(i32::from_be_bytes(*length))
                .ok()
                .and_then(|length| after.get(..length))
                .ok_or_else(|| self.corrupt("a block's length is beyond the stream"))?;
            self.snappy_block(block, max, &mut output)?;
            rest = &after[block.len()..];
        }
        Ok(output)
    }

    fn snappy_block(
        self,
        block: &[u8],
        max: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        let declared = snap::raw::decompress_len(block).map_err(|error| self.corrupt(error))?;
        if declared > max - output.len() {
            return Err(self.too_large(max));
        }
        if declared > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
            return Err(self.corrupt("a block declares more than its bytes can yield"));
        }
        let start = output.len();
        output.resize(start + declared, 0);
        snap::raw::Decoder::new()
            .decompress(block, &mut output[start..])
            .map_err(|error| self.corrupt(error))?;
        Ok(())
    }
}

/// What zstd calls output that does not fit the buffer (its error 70).
const ZSTD_OUTPUT_FULL: &str = "Destination buffer is too small";

fn compress_xerial(input: &[u8]) -> Vec<u8> {
    let mut output = XERIAL_HEADER.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(SNAPPY_BLOCK) {
        let compressed = encoder.compress_vec(block).expect("a block is far below 4 GiB");
        output.extend_from_slice(&(compressed.len() as i32).to_be_bytes());
        output.extend_from_slice(&compressed);
    }
    output
}

#[cfg(test)]
mod tests;

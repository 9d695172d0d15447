//! Answers on their way out: written in order, many pieces in one system call.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice, Result};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::answer::Frame;
use crate::budget::Charge;
use crate::in_flight::Asked;
use crate::metrics::NetMetrics;

/// Pieces that one system call writes; the system allows 1,024, few are enough.
const SLICES_MAX: usize = 32;

/// What is to be written to one connection.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    frames: VecDeque<OutFrame>,
    bytes: usize,
}

#[derive(Debug)]
struct OutFrame {
    asked: Asked,
    prefix: [u8; 4],
    /// Bytes of the prefix that are not written.
    prefix_left: usize,
    pieces: VecDeque<Bytes>,
    /// Held until the frame is written.
    _charge: Option<Charge>,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that are not written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, asked: Asked, frame: Frame) {
        let (pieces, length, charge) = frame.into_parts();
        let prefix = i32::try_from(length).expect("answers are bounded far below 2 GiB");
        self.bytes += 4 + length;
        self.frames.push_back(OutFrame {
            asked,
            prefix: prefix.to_be_bytes(),
            prefix_left: 4,
            pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            _charge: charge,
        });
    }

    /// Writes once, as much as the socket takes; may be dropped and called again.
    pub(crate) async fn write<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        metrics: &NetMetrics,
    ) -> Result<()> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let pieces = self.frames.iter().flat_map(OutFrame::unwritten);
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        let written = socket.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(Error::from(ErrorKind::WriteZero));
        }
        metrics.bytes_out.inc_by(written as u64);
        self.advance(written, metrics);
        Ok(())
    }

    fn advance(&mut self, mut written: usize, metrics: &NetMetrics) {
        self.bytes -= written;
        while let Some(frame) = self.frames.front_mut() {
            written = frame.advance(written);
            if !frame.is_written() {
                return;
            }
            let asked = frame.asked;
            metrics.answered(asked.key, asked.received.elapsed());
            self.frames.pop_front();
        }
    }
}

impl OutFrame {
    fn unwritten(&self) -> impl Iterator<Item = &[u8]> {
        let prefix = &self.prefix[4 - self.prefix_left..];
        let prefix = (!prefix.is_empty()).then_some(prefix);
        prefix.into_iter().chain(self.pieces.iter().map(|piece| &piece[..]))
    }

    /// Notes bytes as written; returns those that belong to the next frame.
    fn advance(&mut self, written: usize) -> usize {
        let of_prefix = written.min(self.prefix_left);
        self.prefix_left -= of_prefix;
        let mut written = written - of_prefix;
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return 0;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        written
    }

    fn is_written(&self) -> bool {
        self.prefix_left == 0 && self.pieces.is_empty()
    }
}

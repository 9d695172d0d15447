//! Answers on their way out: written in order, many pieces in one system call, and what lies in
//! files straight from there.

use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind, IoSlice};

use bytes::Buf;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::answer::Frame;
use crate::budget::Charge;
use crate::in_flight::Asked;
use crate::metrics::NetMetrics;
use crate::region::{Piece, Region};

/// Pieces that one system call writes; the system allows 1,024, few are enough.
const SLICES_MAX: usize = 32;

/// Bytes of a file that one system call sends: about 100 µs, for so long may other sockets wait.
const SENDFILE_MAX: usize = 512 << 10;

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
    pieces: VecDeque<Piece>,
    /// Held until the frame is written.
    _charge: Option<Charge>,
}

/// What is to be written next.
enum Next<'a> {
    Memory(&'a [u8]),
    File(&'a Region),
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that are not written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts an answer behind the others.
    ///
    /// # Errors
    /// It is so long that no length can be said of it: how long, in bytes.
    pub(crate) fn push(&mut self, asked: Asked, frame: Frame) -> Result<(), usize> {
        let (pieces, length, charge) = frame.into_parts();
        let prefix = i32::try_from(length).map_err(|_| length)?;
        self.bytes += 4 + length;
        self.frames.push_back(OutFrame {
            asked,
            prefix: prefix.to_be_bytes(),
            prefix_left: 4,
            pieces: pieces.into_iter().filter(|piece| piece.len() > 0).collect(),
            _charge: charge,
        });
        Ok(())
    }

    /// Writes once, as much as the socket takes; may be dropped and called again.
    pub(crate) async fn write(
        &mut self,
        socket: &TcpStream,
        metrics: &NetMetrics,
    ) -> io::Result<()> {
        let written = socket.async_io(Interest::WRITABLE, || self.send(socket)).await?;
        if written == 0 {
            // A file that was cut is shorter than what its answer promised.
            return Err(Error::from(ErrorKind::WriteZero));
        }
        metrics.bytes_out.inc_by(written as u64);
        self.advance(written, metrics);
        Ok(())
    }

    /// One system call: pieces in memory up to the first that lies in a file, or a part of that.
    fn send(&self, socket: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut is_followed_by_file = false;
        for next in self.frames.iter().flat_map(OutFrame::unwritten) {
            match next {
                Next::File(region) if count == 0 => return send_file(socket, region),
                Next::File(_) => {
                    is_followed_by_file = true;
                    break;
                }
                Next::Memory(_) if count == SLICES_MAX => break,
                Next::Memory(bytes) => {
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                }
            }
        }
        let mut flags = SendFlags::NOSIGNAL;
        if is_followed_by_file {
            // What comes from the file goes into the same segment.
            flags |= SendFlags::MORE;
        }
        let mut nothing = SendAncillaryBuffer::default();
        Ok(sendmsg(socket, &slices[..count], &mut nothing, flags)?)
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

fn send_file(socket: &TcpStream, region: &Region) -> io::Result<usize> {
    let mut position = region.position();
    let count = region.len().min(SENDFILE_MAX);
    Ok(rustix::fs::sendfile(socket, region.file(), Some(&mut position), count)?)
}

impl OutFrame {
    fn unwritten(&self) -> impl Iterator<Item = Next<'_>> {
        let prefix = &self.prefix[4 - self.prefix_left..];
        let prefix = (!prefix.is_empty()).then_some(Next::Memory(prefix));
        prefix.into_iter().chain(self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => Next::Memory(bytes),
            Piece::File(region) => Next::File(region),
        }))
    }

    /// Notes bytes as written; returns those that belong to the next frame.
    fn advance(&mut self, written: usize) -> usize {
        let of_prefix = written.min(self.prefix_left);
        self.prefix_left -= of_prefix;
        let mut written = written - of_prefix;
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                match piece {
                    Piece::Bytes(bytes) => bytes.advance(written),
                    Piece::File(region) => region.advance(written),
                }
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

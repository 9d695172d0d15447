//! What a handler gives back: an answer now, or a future of one.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;
use vltava_wire::header::{RequestHeader, encode_response_header};
use vltava_wire::{Message, Request, Writer, writer};

use crate::budget::Charge;
use crate::region::{Piece, Region};

/// A response as it goes out: pieces that are written one after the other, without a copy.
///
/// The length prefix is not among them; the connection writes it.
#[derive(Debug, Default)]
pub struct Frame {
    pieces: Vec<Piece>,
    len: usize,
    charge: Option<Charge>,
}

impl Frame {
    /// A frame of what was written.
    pub fn new(writer: Writer) -> Self {
        Self::with_regions(writer, Vec::new())
    }

    /// A frame of what was written, with regions of files in the holes of it, in order.
    ///
    /// # Panics
    /// If there are not as many regions, of their holes' lengths: who makes holes has them.
    pub fn with_regions(writer: Writer, regions: Vec<Region>) -> Self {
        let len = writer.len();
        let mut regions = regions.into_iter();
        let piece = |piece| match piece {
            writer::Piece::Bytes(bytes) => Piece::Bytes(bytes),
            writer::Piece::Hole(len) => {
                let region = regions.next().filter(|region| region.len() == len);
                Piece::File(region.expect("every hole has its region"))
            }
        };
        Self { pieces: writer.into_layout().into_iter().map(piece).collect(), len, charge: None }
    }

    /// Holds a charge to the memory budget until the frame was written or dropped.
    #[must_use]
    pub fn holding(mut self, charge: Charge) -> Self {
        self.charge = Some(charge);
        self
    }

    /// Bytes of the frame, without its length prefix.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the frame has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes in one piece (a copy), as tests and forwarded answers need them; those that lie
    /// in files are left out, as such answers have none.
    pub fn to_bytes(&self) -> Bytes {
        let bytes = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(&bytes[..]),
            Piece::File(_) => None,
        });
        bytes.collect::<Vec<_>>().concat().into()
    }

    pub(crate) fn into_parts(self) -> (Vec<Piece>, usize, Option<Charge>) {
        (self.pieces, self.len, self.charge)
    }
}

/// What becomes of one request.
#[derive(Debug)]
pub enum Answer {
    /// A response to write.
    Frame(Frame),
    /// No response, as for a produce with acks=0.
    Silent,
    /// The connection is closed once the answers before this one are written.
    Close {
        /// Why, for the log: a sentence without the peer's name.
        reason: Cow<'static, str>,
    },
}

impl Answer {
    /// The response to a request, in the version of the request.
    ///
    /// # Panics
    /// If the version is not declared for the response: check the request's before.
    pub fn to<R: Request>(header: &RequestHeader, response: &R::Response) -> Self {
        Self::at_version::<R>(header, header.api_version, response)
    }

    /// The response in another version than the request's: ApiVersions of a version that is not
    /// known is answered in version 0 (KIP-511).
    ///
    /// # Panics
    /// If the version is not declared for the response.
    pub fn at_version<R: Request>(
        header: &RequestHeader,
        version: i16,
        response: &R::Response,
    ) -> Self {
        let mut writer = Writer::new();
        encode_response_header(&mut writer, R::KEY, version, header.correlation_id);
        response.write(&mut writer, version);
        Self::Frame(Frame::new(writer))
    }

    /// The response to a request, where some of its records lie in files.
    ///
    /// # Panics
    /// As [`to`](Self::to), and as [`Frame::with_regions`].
    pub fn with_regions<R: Request>(
        header: &RequestHeader,
        response: &R::Response,
        regions: Vec<Region>,
    ) -> Self {
        let mut writer = Writer::new();
        let version = header.api_version;
        encode_response_header(&mut writer, R::KEY, version, header.correlation_id);
        response.write(&mut writer, version);
        Self::Frame(Frame::with_regions(writer, regions))
    }

    /// Bytes that are kept until it is written; files' bytes count, as they hold descriptors.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len(),
            Self::Silent | Self::Close { .. } => 0,
        }
    }

    /// Closes the connection, with the reason for the log.
    pub fn close(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Close { reason: reason.into() }
    }
}

/// How a handler answers.
pub enum Reply {
    /// The answer is there.
    Ready(Answer),
    /// What had to be done in order is done; the requests behind are handled while this waits.
    ///
    /// The future is polled from the moment it is returned, and dropped when the client closes
    /// the connection.
    Later(BoxFuture<'static, Answer>),
}

impl Reply {
    /// An answer that is to come.
    pub fn later(answer: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Ready(answer)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

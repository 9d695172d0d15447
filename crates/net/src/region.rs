//! Parts of an answer: bytes in memory, or a region of a file that goes to the socket without a
//! copy through this process.

use std::fmt;
use std::fs::File;

use bytes::Bytes;

/// What gives a region its file; the file stays open as long as the region lives.
type Source = Box<dyn AsRef<File> + Send + Sync>;

/// Bytes of a file, to be sent as they are.
pub struct Region {
    source: Source,
    position: u64,
    len: usize,
}

impl Region {
    /// So many bytes of a file from `position` on. They should be in the page cache: they are
    /// sent by a thread that serves other sockets, too.
    pub fn new(
        source: impl AsRef<File> + Send + Sync + 'static,
        position: u64,
        len: usize,
    ) -> Self {
        Self { source: Box::new(source), position, len }
    }

    /// Bytes that are not sent yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all of them are sent.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn file(&self) -> &File {
        (*self.source).as_ref()
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn advance(&mut self, sent: usize) {
        self.position += sent as u64;
        self.len -= sent;
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, len, .. } = self;
        f.debug_struct("Region").field("position", position).field("len", len).finish()
    }
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    File(Region),
}

impl Piece {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(region) => region.len(),
        }
    }
}

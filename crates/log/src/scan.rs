//! Walking over the batches of a segment's file, from one header to the next.

use vltava_wire::batch::{BATCH_OVERHEAD, Batch, BatchError, BatchErrorKind, BatchHeader};

use crate::disk::{DiskError, OpenFile};

/// Bytes read at once while whole batches are checked.
const CHECK_BYTES: usize = 1 << 20;

/// Why a walk cannot go on.
#[derive(Debug)]
pub(crate) enum ScanError {
    /// The file cannot be read.
    Disk(DiskError),
    /// What is at that position is not a batch.
    Invalid {
        /// In bytes from the file's start.
        position: u64,
        /// Why not.
        reason: String,
    },
}

impl From<DiskError> for ScanError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl ScanError {
    fn invalid(position: u64, kind: &BatchErrorKind) -> Self {
        Self::Invalid { position, reason: kind.to_string() }
    }
}

/// A batch's header, and where the batch starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// In bytes from the file's start.
    pub(crate) position: u64,
    /// The header.
    pub(crate) header: BatchHeader,
}

impl Placed {
    /// Where the batch ends.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.size_in_bytes() as u64
    }
}

/// Walks over headers only; records are passed over.
#[derive(Debug)]
pub(crate) struct HeaderWalk<'f> {
    file: &'f OpenFile,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    chunk: usize,
}

impl<'f> HeaderWalk<'f> {
    /// Walks from `position`, where a batch must start, to `end`; reads `chunk` bytes at once.
    pub(crate) fn new(file: &'f OpenFile, position: u64, end: u64, chunk: usize) -> Self {
        let chunk = chunk.max(BATCH_OVERHEAD);
        Self { file, position, end, buffer: Vec::new(), buffer_at: position, chunk }
    }

    /// The next header; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Placed>, ScanError> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        let header = BatchHeader::parse(self.header_bytes()?)
            .map_err(|error| ScanError::invalid(position, &error.kind))?;
        let placed = Placed { position, header };
        if placed.end() > self.end {
            let (needed, left) = (header.size_in_bytes(), (self.end - position) as usize);
            let kind = BatchErrorKind::Truncated { needed, left };
            return Err(ScanError::invalid(position, &kind));
        }
        self.position = placed.end();
        Ok(Some(placed))
    }

    fn header_bytes(&mut self) -> Result<&[u8], DiskError> {
        let within = (self.position - self.buffer_at) as usize;
        if within + BATCH_OVERHEAD > self.buffer.len() {
            let size = (self.chunk as u64).min(self.end - self.position) as usize;
            self.buffer.resize(size, 0);
            let read = self.file.read_at(&mut self.buffer, self.position)?;
            self.buffer.truncate(read);
            self.buffer_at = self.position;
        }
        Ok(&self.buffer[(self.position - self.buffer_at) as usize..])
    }
}

/// Walks over whole batches and checks their CRC.
#[derive(Debug)]
pub(crate) struct BatchWalk<'f> {
    file: &'f OpenFile,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'f> BatchWalk<'f> {
    /// Walks from `position`, where a batch must start, to `end`.
    pub(crate) fn new(file: &'f OpenFile, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: Vec::new(), buffer_at: position }
    }

    /// The next batch, its CRC checked; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Placed, Batch<'_>)>, ScanError> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        if let Err(BatchError { kind: BatchErrorKind::Truncated { needed, .. }, .. }) =
            Batch::parse(self.rest())
        {
            self.fill(needed)?;
            // The header of a batch may have been what was missing, so its size is known now.
            if let Err(BatchError { kind: BatchErrorKind::Truncated { needed, .. }, .. }) =
                Batch::parse(self.rest())
            {
                self.fill(needed)?;
            }
        }
        let within = (position - self.buffer_at) as usize;
        let batch = Batch::parse(self.buffer.get(within..).unwrap_or_default())
            .and_then(|batch| batch.verify_crc().map(|()| batch))
            .map_err(|error| ScanError::invalid(position, &error.kind))?;
        self.position += batch.bytes.len() as u64;
        Ok(Some((Placed { position, header: batch.header }, batch)))
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get((self.position - self.buffer_at) as usize..).unwrap_or_default()
    }

    /// Reads from the position on: at least `needed` bytes, if the file has them.
    fn fill(&mut self, needed: usize) -> Result<(), DiskError> {
        let left = self.end - self.position;
        let size = (needed.max(CHECK_BYTES) as u64).min(left);
        // What a torn header declares is not allocated: no more than the file has.
        self.buffer.resize(size as usize, 0);
        let read = self.file.read_at(&mut self.buffer, self.position)?;
        self.buffer.truncate(read);
        self.buffer_at = self.position;
        Ok(())
    }
}

//! The part of the metadata log that is fetched and not yet committed.
//!
//! A broker keeps no copy on disk: what is committed goes into the image, and what is not may still
//! be cut away.

use std::collections::VecDeque;

use bytes::Bytes;
use vltava_quorum::Records;
use vltava_wire::Offset;

/// One batch, whole.
#[derive(Debug)]
struct Held {
    base_offset: Offset,
    last_offset: Offset,
    bytes: Bytes,
}

/// Batches in the order of their offsets, without gaps.
#[derive(Debug, Default)]
pub(super) struct MemoryLog {
    batches: VecDeque<Held>,
}

impl MemoryLog {
    /// Appends fetched batches.
    pub(super) fn append(&mut self, records: &Records) {
        let mut at = 0;
        for shape in &records.batches {
            let rest = records.bytes.slice(at..);
            let size = vltava_wire::batch::BatchHeader::parse(&rest)
                .expect("fetched batches were checked when they were described")
                .size_in_bytes();
            self.batches.push_back(Held {
                base_offset: shape.base_offset,
                last_offset: shape.last_offset,
                bytes: rest.slice(..size),
            });
            at += size;
        }
    }

    /// Forgets the records from an offset on.
    pub(super) fn truncate(&mut self, to: Offset) {
        self.batches.retain(|batch| batch.base_offset < to);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }

    /// Takes the batches out that lie below the high watermark.
    pub(super) fn committed(&mut self, high_watermark: Offset) -> Vec<Bytes> {
        let count =
            self.batches.iter().take_while(|batch| batch.last_offset < high_watermark).count();
        self.batches.drain(..count).map(|batch| batch.bytes).collect()
    }
}

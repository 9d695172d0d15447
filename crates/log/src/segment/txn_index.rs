//! `.txnindex`: the transactions of which a marker in the segment says that they were aborted.
//!
//! Entries are in memory while the segment grows, and in its file, synced, once it does not. The
//! file is made when there is an entry.
//!
//! *Invariant*: a snapshot of the producers vouches for the indexes: before it is written, all
//! entries of markers below it are durable. What is in a file of later markers may be torn or of
//! records that are gone; it is made anew from the records, as the producers are.

use vltava_wire::{Offset, ProducerId};

use crate::disk::{DiskError, OpenFile, OpenMode, SyncKind};
use crate::folder::{self, Folder};
use crate::producers::AbortedTransaction;

const VERSION: i16 = 0;
const ENTRY_BYTES: usize = 34;
/// Entries that are read of a file at a time: 8.5 KiB.
const ENTRIES_AT_ONCE: usize = 256;

/// One segment's index of aborted transactions.
#[derive(Debug)]
pub(crate) struct TxnIndex {
    base_offset: Offset,
    /// Those in memory; of a segment that does not grow, none.
    entries: Vec<AbortedTransaction>,
    /// How many there are in the file, if only the file has them.
    in_file: Option<usize>,
    /// How many of them, from the first on, are in the file, durably.
    durable: usize,
    /// Whether the file has more than those, which is not right any more.
    has_excess: bool,
}

fn encode(entry: &AbortedTransaction, out: &mut Vec<u8>) {
    out.extend_from_slice(&VERSION.to_be_bytes());
    let AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset } = entry;
    for number in [producer_id.0, first_offset.0, last_offset.0, last_stable_offset.0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn decode(bytes: &[u8]) -> Option<AbortedTransaction> {
    let (version, rest) = bytes.split_first_chunk()?;
    let numbers: Vec<i64> = rest
        .chunks_exact(8)
        .map(|bytes| i64::from_be_bytes(bytes.try_into().expect("eight bytes")))
        .collect();
    let &[producer_id, first, last, stable] = numbers.as_slice() else { return None };
    (i16::from_be_bytes(*version) == VERSION).then_some(AbortedTransaction {
        producer_id: ProducerId(producer_id),
        first_offset: Offset(first),
        last_offset: Offset(last),
        last_stable_offset: Offset(stable),
    })
}

/// The entries at the front of a file that can be such.
fn prefix(bytes: &[u8], base_offset: Offset) -> Vec<AbortedTransaction> {
    let mut least = base_offset;
    let rises = |entry: &AbortedTransaction| {
        let rises = entry.last_offset >= least && entry.first_offset < entry.last_offset;
        least = entry.last_offset.next();
        rises
    };
    bytes.chunks_exact(ENTRY_BYTES).map_while(decode).take_while(rises).collect()
}

/// Of `count` entries in a file, the first whose marker is at or after an offset, found by halves.
fn first_at_or_after(file: &OpenFile, count: usize, from: Offset) -> Result<usize, DiskError> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut bytes = [0; ENTRY_BYTES];
        let read = file.read_at(&mut bytes, (middle * ENTRY_BYTES) as u64)?;
        match decode(&bytes[..read]) {
            Some(entry) if entry.last_offset < from => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

impl TxnIndex {
    /// The index of a segment that was just made.
    pub(crate) fn empty(base_offset: Offset) -> Self {
        Self { base_offset, entries: Vec::new(), in_file: None, durable: 0, has_excess: false }
    }

    fn read(&self, folder: &Folder) -> Result<Vec<u8>, DiskError> {
        let path = folder.path(self.base_offset, folder::TXN_INDEX);
        Ok(folder.volume.read_file(&path)?.unwrap_or_default())
    }

    /// The index of a segment that is there; whether its file is whole.
    pub(crate) fn load(folder: &Folder, base_offset: Offset) -> Result<(Self, bool), DiskError> {
        let mut index = Self::empty(base_offset);
        let bytes = index.read(folder)?;
        index.entries = prefix(&bytes, base_offset);
        index.durable = index.entries.len();
        index.has_excess = index.durable * ENTRY_BYTES != bytes.len();
        let is_whole = !index.has_excess;
        Ok((index, is_whole))
    }

    /// Appends an entry; it stays in memory for the time being.
    pub(crate) fn append(&mut self, entry: AbortedTransaction) {
        self.entries.push(entry);
    }

    /// Whether the file holds all entries, durably, and nothing else.
    fn is_sealed(&self) -> bool {
        self.durable == self.len() && !self.has_excess
    }

    /// Takes the entries into memory, as the segment is going to grow or to be cut.
    pub(crate) fn activate(&mut self, folder: &Folder) -> Result<(), DiskError> {
        if self.in_file.take().is_some() {
            self.entries = prefix(&self.read(folder)?, self.base_offset);
        }
        Ok(())
    }

    /// Leaves the entries to the file, which has them all.
    pub(crate) fn retire(&mut self) {
        debug_assert!(self.is_sealed(), "a segment is sealed before it is retired");
        self.in_file = Some(self.len());
        self.entries = Vec::new();
    }

    fn len(&self) -> usize {
        self.in_file.unwrap_or(self.entries.len())
    }

    /// Removes the entries of markers from `offset` on; they must be in memory.
    pub(crate) fn truncate(&mut self, offset: Offset) {
        let kept = self.entries.partition_point(|entry| entry.last_offset < offset);
        self.entries.truncate(kept);
        self.has_excess |= self.durable > kept;
        self.durable = self.durable.min(kept);
    }

    /// Makes all entries durable, but for the file's name: says whether the folder has to be
    /// synced for that.
    pub(crate) fn seal(&mut self, folder: &Folder) -> Result<bool, DiskError> {
        if self.is_sealed() {
            return Ok(false);
        }
        let path = folder.path(self.base_offset, folder::TXN_INDEX);
        let there = folder.volume.open_if_there(&path, OpenMode::Write)?;
        let is_new = there.is_none();
        let file = match there {
            Some(file) => file,
            None => folder.volume.open(&path, OpenMode::Create)?,
        };
        let mut bytes = Vec::with_capacity((self.entries.len() - self.durable) * ENTRY_BYTES);
        self.entries[self.durable..].iter().for_each(|entry| encode(entry, &mut bytes));
        file.write_all_at(&bytes, (self.durable * ENTRY_BYTES) as u64)?;
        file.set_len((self.entries.len() * ENTRY_BYTES) as u64)?;
        file.sync(SyncKind::TxnIndex)?;
        self.durable = self.entries.len();
        self.has_excess = false;
        Ok(is_new)
    }

    /// Adds the transactions to `found` that were aborted, ended at or after `from` and began
    /// before `to`; says whether no later segment can have others.
    pub(crate) fn collect(
        &self,
        folder: &Folder,
        from: Offset,
        to: Offset,
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<bool, DiskError> {
        let mut take = |entry: &AbortedTransaction| {
            if entry.first_offset < to {
                found.push(*entry);
            }
            entry.last_stable_offset >= to
        };
        let Some(count) = self.in_file else {
            let first = self.entries.partition_point(|entry| entry.last_offset < from);
            return Ok(self.entries[first..].iter().any(take));
        };
        let path = folder.path(self.base_offset, folder::TXN_INDEX);
        let Some(file) = folder.volume.open_if_there(&path, OpenMode::Read)? else {
            return Ok(false);
        };
        let mut at = first_at_or_after(&file, count, from)?;
        let mut bytes = vec![0; ENTRIES_AT_ONCE.min(count - at) * ENTRY_BYTES];
        while at < count {
            let wanted = ENTRIES_AT_ONCE.min(count - at) * ENTRY_BYTES;
            let read = file.read_at(&mut bytes[..wanted], (at * ENTRY_BYTES) as u64)?;
            for entry in bytes[..read].chunks_exact(ENTRY_BYTES) {
                let Some(entry) = decode(entry) else { return Ok(false) };
                if take(&entry) {
                    return Ok(true);
                }
                at += 1;
            }
            if read < wanted {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted(first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(7),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
        }
    }

    #[test]
    fn what_is_found_in_the_file_is_what_was_found_in_memory() {
        let disk = std::sync::Arc::new(crate::FaultyDisk::new(1));
        let folder = Folder { volume: crate::disk::Volume::new(disk), dir: "/".into(), ending: "" };
        // Some begin long before they end, and the stable offset lags behind them.
        let entry = |number: i64| AbortedTransaction {
            last_stable_offset: Offset(number * 10 - number % 7 * 10),
            ..aborted(number * 10 - 3 - number % 50 * 9, number * 10)
        };
        let mut index = TxnIndex::empty(Offset(0));
        let count = ENTRIES_AT_ONCE as i64 * 2 + 10;
        (1..=count).for_each(|number| index.append(entry(number)));
        let ranges: Vec<(i64, i64)> =
            (0..count * 10 + 30).step_by(37).map(|from| (from, from + from % 991 + 1)).collect();
        let look = |index: &TxnIndex| -> Vec<_> {
            let look = |&(from, to): &(i64, i64)| {
                let mut found = Vec::new();
                let ends = index.collect(&folder, Offset(from), Offset(to), &mut found);
                (ends.expect("it can be read"), found)
            };
            ranges.iter().map(look).collect()
        };
        let in_memory = look(&index);
        assert!(in_memory.iter().any(|(ends, found)| *ends && found.len() > 1));
        index.seal(&folder).expect("it can be written");
        index.retire();
        assert_eq!(look(&index), in_memory);
    }

    #[test]
    fn entries_are_kafkas_and_end_at_the_first_that_is_none() {
        let mut bytes = Vec::new();
        encode(&aborted(3, 9), &mut bytes);
        let expected =
            [[0, 0].as_slice(), &[0, 0, 0, 0, 0, 0, 0, 7], &[0, 0, 0, 0, 0, 0, 0, 3]].concat();
        assert_eq!(bytes[..18], expected);
        assert_eq!(bytes.len(), ENTRY_BYTES);
        encode(&aborted(10, 12), &mut bytes);
        assert_eq!(prefix(&bytes, Offset(4)), [aborted(3, 9), aborted(10, 12)]);
        bytes.extend_from_slice(&[0; ENTRY_BYTES]);
        encode(&aborted(20, 22), &mut bytes);
        assert_eq!(prefix(&bytes, Offset(4)), [aborted(3, 9), aborted(10, 12)]);
        assert_eq!(prefix(&bytes, Offset(10)), []);
    }
}

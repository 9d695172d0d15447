//! Up to where the compacted logs of a directory were cleaned: `cleaner-offset-checkpoint`.
//!
//! *Invariant:* nothing below the offset that is noted was appended after it was noted, or a
//! tombstone could go before what it deletes. So a log that is cut below it is noted lower first.

use vltava_log::DiskError;
use vltava_log::checkpoint::{CheckpointError, Offsets};
use vltava_wire::{Offset, PartitionId};

use super::{LogDir, disk_error};
use crate::partition::replica::PartitionName;

fn key(name: &PartitionName) -> (String, PartitionId) {
    (name.topic.to_string(), PartitionId(name.index))
}

impl LogDir {
    /// Up to where a log was cleaned, if it ever was.
    pub fn cleaned_up_to(&self, name: &PartitionName) -> Option<Offset> {
        self.cleaned.lock().get(&key(name)).copied()
    }

    /// Notes durably up to where a log was cleaned, if `holds` says that it still is.
    ///
    /// # Errors
    /// The checkpoint cannot be written.
    pub fn note_cleaned(
        &self,
        name: &PartitionName,
        offset: Offset,
        holds: impl FnOnce() -> bool,
    ) -> Result<(), DiskError> {
        let mut cleaned = self.cleaned.lock();
        if !holds() {
            return Ok(());
        }
        let note = |noted: &mut Offsets| _ = noted.insert(key(name), offset);
        self.change(&mut cleaned, note).map_err(disk_error)
    }

    /// Persists that a log is not clean beyond `offset`, before it is cut there.
    pub(super) fn lower_cleaned(
        &self,
        name: &PartitionName,
        offset: Offset,
    ) -> Result<(), DiskError> {
        let lower = |noted: &mut Offsets| {
            if let Some(noted) = noted.get_mut(&key(name)) {
                *noted = offset.min(*noted);
            }
        };
        self.change(&mut self.cleaned.lock(), lower).map_err(disk_error)
    }

    /// Forgets partitions that are deleted, before others may take their names.
    pub(super) fn forget_cleaned(&self, names: &[PartitionName]) -> Result<(), CheckpointError> {
        self.change(&mut self.cleaned.lock(), |noted| {
            noted.retain(|noted, _| !names.iter().any(|name| key(name) == *noted));
        })
    }
}

//! Offsets of a directory's partitions, as they are noted in one of its checkpoint files.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use vltava_log::Disk;
use vltava_log::checkpoint::{self, CheckpointError, Offsets};

/// What a checkpoint file says.
#[derive(Debug)]
pub(super) struct Noted {
    file: &'static str,
    offsets: Offsets,
    /// Whether a write failed, after which the file may say one thing or the other.
    in_doubt: bool,
}

impl Noted {
    /// What was read of that file.
    pub(super) fn read(file: &'static str, offsets: Offsets) -> Self {
        Self { file, offsets, in_doubt: false }
    }

    /// Changes the offsets in the file, and only once that is durable here.
    ///
    /// # Errors
    /// The file cannot be written; here nothing has changed then, and the next change writes it.
    pub(super) fn change(
        &mut self,
        disk: &Arc<dyn Disk>,
        dir: &Path,
        change: impl FnOnce(&mut Offsets),
    ) -> Result<(), CheckpointError> {
        let mut offsets = self.offsets.clone();
        change(&mut offsets);
        if offsets == self.offsets && !self.in_doubt {
            return Ok(());
        }
        self.in_doubt = true;
        checkpoint::write_offsets(disk, dir, self.file, &offsets)?;
        self.in_doubt = false;
        self.offsets = offsets;
        Ok(())
    }
}

impl Deref for Noted {
    type Target = Offsets;

    fn deref(&self) -> &Offsets {
        &self.offsets
    }
}

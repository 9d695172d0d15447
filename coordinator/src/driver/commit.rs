//! What follows from a commit: the image moves on, answers go out, a new leader begins to serve.

use vltava_wire::{ErrorCode, LeaderEpoch, Offset};

use super::message::Waiter;
use super::{Driver, DriverError};
use crate::controller::Failure;

/// Bytes that are read and applied at once.
const REPLAY_BYTES: usize = 1024 * 1024;

/// An answer that waits for a commit.
pub(super) struct Waiting {
    /// The offset that the high watermark must reach.
    pub(super) after: Offset,
    pub(super) waiter: Waiter,
}

/// An epoch that this node leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leading {
    pub(super) epoch: LeaderEpoch,
    pub(super) start: Offset,
}

impl Driver {
    /// Applies all that is committed now.
    pub(super) fn committed(&mut self, high_watermark: Offset) -> Result<(), DriverError> {
        let mut next = self.committed.provenance().offset.next();
        while next < high_watermark {
            let bytes = self.store.read(next, REPLAY_BYTES).map_err(DriverError::Store)?;
            next = self.replay(&bytes, next, high_watermark)?;
        }
        while self.waiting.front().is_some_and(|waiting| waiting.after <= high_watermark) {
            if let Some(waiting) = self.waiting.pop_front() {
                (waiting.waiter)(Ok(()));
            }
        }
        self.begin_to_serve(high_watermark);
        self.take_snapshot_if_due();
        Ok(())
    }

    /// Applies whole batches from `next` on, those below the high watermark. Returns the offset
    /// after them.
    fn replay(
        &mut self,
        bytes: &[u8],
        mut next: Offset,
        high_watermark: Offset,
    ) -> Result<Offset, DriverError> {
        let mut changes = vltava_metadata::Changes::default();
        for batch in vltava_wire::batch::Batches::new(bytes) {
            let batch =
                batch.map_err(vltava_metadata::ReplayError::Batch).map_err(DriverError::Replay)?;
            if batch.header.base_offset >= high_watermark {
                return Ok(high_watermark);
            }
            if batch.header.last_offset() < next {
                continue;
            }
            self.committed.replay_batch(&batch, &mut changes).map_err(DriverError::Replay)?;
            next = batch.header.next_offset();
        }
        Ok(if bytes.is_empty() { high_watermark } else { next })
    }

    /// A leader serves once its own epoch has a committed record: then it has applied all that
    /// was committed before it.
    pub(super) fn begin_to_serve(&mut self, high_watermark: Offset) {
        let Some(leading) = self.leading else { return };
        if self.controller.is_active() || high_watermark <= leading.start {
            return;
        }
        self.controller.activate(self.committed.clone(), self.clock.now());
        tracing::info!(epoch = leading.epoch.get(), "this is the active coordinator");
    }

    /// This node leads no more: who waits is told to ask the next leader.
    pub(super) fn leadership_lost(&mut self) {
        self.leading = None;
        if self.controller.is_active() {
            tracing::info!("this is not the active coordinator any more");
        }
        self.controller.deactivate();
        for waiting in std::mem::take(&mut self.waiting) {
            (waiting.waiter)(Err(Failure::new(ErrorCode::NOT_CONTROLLER, "")));
        }
    }
}

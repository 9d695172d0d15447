//! Transactions: what is stable, what was aborted, what may be appended.

use vltava_wire::{Offset, ProducerEpoch, ProducerId};

use super::Log;
use crate::error::LogError;
use crate::producers::{AbortedTransaction, ToVerify, VerificationGuard};

impl Log {
    /// The last stable offset (KIP-98): up to here it is committed how each transaction ended. At
    /// most the high watermark, which the owner knows.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        match self.producers.first_unstable(high_watermark) {
            Some(first) => first.max(self.log_start_offset).min(high_watermark),
            None => high_watermark,
        }
    }

    /// Forgets what is not needed any more to know what is stable, as everything before the high
    /// watermark is committed.
    pub fn note_high_watermark(&mut self, high_watermark: Offset) {
        self.producers.forget_ended(high_watermark);
    }

    /// The transactions that were aborted and may have records from `from` on and before `to`, in
    /// the order in which they ended.
    ///
    /// # Errors
    /// The disk's; [`LogError::Failed`].
    pub fn aborted_transactions(
        &self,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        self.check()?;
        let mut found = Vec::new();
        let first = self.segments.partition_point(|segment| segment.base_offset() <= from);
        for segment in &self.segments[first.saturating_sub(1)..] {
            if segment.collect_aborted(&self.folder, from, to, &mut found)? {
                break;
            }
        }
        Ok(found)
    }

    /// Whether that producer, in that epoch, has a transaction open here.
    pub fn has_ongoing_transaction(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.producers.has_ongoing(id, epoch)
    }

    /// Begins to verify a transaction (KIP-890): the guard to append its first batch with, once
    /// its coordinator has said that it knows of it; `None` if the transaction is open here, so
    /// that there is nothing to verify.
    pub fn start_verification(&mut self, batch: ToVerify) -> Option<VerificationGuard> {
        self.producers.start_verification(&batch)
    }
}

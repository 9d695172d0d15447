//! Transactions as a partition knows them: markers that end them, and whether a producer may begin
//! one here.

use bytes::BytesMut;
use vltava_log::{AppendOrigin, ProducerEntry, ToVerify, Verification, VerificationGuard};
use vltava_wire::batch::{BatchBuilder, ControlRecord};
use vltava_wire::records::raft::EndTxnMarker;
use vltava_wire::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use super::append::{Acks, Appended, LeaderAppend};
use super::failure::PartitionError;
use super::replica::Partition;
use super::surroundings::wall_clock_ms;

/// What a transaction's coordinator says of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionEnd {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch; of transactions of version 2, one above that of the records.
    pub producer_epoch: ProducerEpoch,
    /// Whether it is committed, else aborted.
    pub commits: bool,
    /// The epoch of the coordinator.
    pub coordinator_epoch: i32,
    /// The version of the transaction (`transaction.version`).
    pub version: i8,
}

impl TransactionEnd {
    /// The control batch that says so.
    pub fn batch(&self, wall_ms: i64) -> BytesMut {
        let mut builder = BatchBuilder::new(Offset::ZERO).control().transactional().producer(
            self.producer_id,
            self.producer_epoch,
            vltava_wire::batch::NO_SEQUENCE,
        );
        let marker = EndTxnMarker { coordinator_epoch: self.coordinator_epoch };
        let record = match self.commits {
            true => ControlRecord::Commit(marker),
            false => ControlRecord::Abort(marker),
        };
        builder.append_control_record(wall_ms, &record);
        builder.build()
    }

    /// Who appends it.
    pub fn origin(&self) -> AppendOrigin {
        AppendOrigin::TransactionMarker { version: self.version }
    }
}

impl Partition {
    /// Appends the marker that ends a transaction, as the leader; it counts once it is
    /// [`committed`](Self::committed).
    ///
    /// # Errors
    /// Nothing was appended: `NotLeader`, `NotEnoughReplicas`, a producer or a coordinator that
    /// was replaced, a failure of the log.
    pub fn end_transaction(&self, end: &TransactionEnd) -> Result<Appended, PartitionError> {
        let how = LeaderAppend {
            acks: Acks::All,
            origin: end.origin(),
            verification: Verification::default(),
            leader_epoch: LeaderEpoch::UNKNOWN,
        };
        self.append(&mut end.batch(wall_clock_ms()), how)
    }

    /// Begins to verify that a producer's transaction is known to its coordinator (KIP-890): the
    /// guard to append its first batch with afterwards; `None` if the transaction is open here
    /// already.
    ///
    /// # Errors
    /// `NotLeader`; `Offline`.
    pub fn start_verification(
        &self,
        batch: ToVerify,
    ) -> Result<Option<VerificationGuard>, PartitionError> {
        let mut state = self.state();
        let (_, log) = state.leading()?;
        Ok(log.start_verification(batch))
    }

    /// Whether a producer has a transaction open here.
    ///
    /// # Errors
    /// `NotLeader`; `Offline`.
    pub fn has_ongoing_transaction(
        &self,
        id: ProducerId,
        epoch: ProducerEpoch,
    ) -> Result<bool, PartitionError> {
        let mut state = self.state();
        let (_, log) = state.leading()?;
        Ok(log.has_ongoing_transaction(id, epoch))
    }

    /// The producers that the log knows, by their ids; any replica may be asked.
    ///
    /// # Errors
    /// `Offline`.
    pub fn producers(&self) -> Result<Vec<ProducerEntry>, PartitionError> {
        let mut state = self.state();
        let mut producers: Vec<ProducerEntry> = state.log()?.producers().copied().collect();
        drop(state);
        producers.sort_unstable_by_key(|entry| entry.producer_id);
        Ok(producers)
    }
}

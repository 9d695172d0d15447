//! What coordinators need of the partitions of their topic.

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use vltava_wire::{LeaderEpoch, Offset, PartitionId};

use super::InTransaction;

/// Why a batch was not appended, or was appended and will not be committed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// This broker does not lead the partition, or not in the epoch that was expected.
    #[error("this broker no longer leads the partition")]
    NotLeader,
    /// Fewer replicas are in sync than the topic demands.
    #[error("too few replicas are in sync")]
    NotEnoughReplicas,
    /// The batch is larger than the topic allows.
    #[error("the batch is larger than the topic allows")]
    TooLarge,
    /// The producer was replaced by one of a later epoch.
    #[error("the producer was replaced")]
    ProducerFenced,
    /// The coordinator of the transaction was replaced.
    #[error("the transaction's coordinator was replaced")]
    CoordinatorFenced,
    /// The transaction is not open here, and its coordinator was not asked, or is not any more.
    #[error("the transaction is not known to be open")]
    NotInTransaction,
    /// The log cannot be written.
    #[error("the log cannot be written: {0}")]
    Storage(String),
}

/// Why a partition could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The partition is not here.
    #[error("the partition is not on this broker")]
    NoReplica,
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Storage(String),
}

/// A batch that lies in the leader's log.
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// Done once the high watermark has passed the batch; [`AppendError::NotEnoughReplicas`] if
    /// it has, but fewer replicas are in sync by then than the topic demands. Any other error
    /// says that this broker will never learn of it: it does not lead any more, or its log failed.
    pub committed: BoxFuture<'static, Result<(), AppendError>>,
}

/// Where a partition starts and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the first record.
    pub log_start: Offset,
    /// The offset after the last committed record.
    pub high_watermark: Offset,
    /// The offset after the last record.
    pub log_end: Offset,
}

/// The partitions of a coordinator's topic that this broker leads.
pub trait StateLog: Send + Sync + 'static {
    /// Appends a batch of version 2 as `acks=all` does: checks that this broker leads the
    /// partition in `leader_epoch` and that enough replicas are in sync, gives the batch its
    /// offsets, and returns without waiting for disks or replicas. Called under the shard's
    /// lock: it must not block for long. `transaction` is what the batch is to one, and must
    /// agree with its header.
    ///
    /// # Errors
    /// Nothing was appended.
    fn append(
        &self,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        batch: BytesMut,
        transaction: Option<&InTransaction>,
    ) -> Result<Appended, AppendError>;

    /// Whole batches from the one that holds `from` on, about `max_bytes` of them (one at least);
    /// nothing at the log's end. Reads beyond the high watermark. May block: called on a thread
    /// of its own.
    ///
    /// # Errors
    /// The partition is not here, or cannot be read.
    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Bytes, ReadError>;

    /// Waits until the high watermark has passed what lies before `end`.
    ///
    /// # Errors
    /// As [`Appended::committed`].
    fn committed(
        &self,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        end: Offset,
    ) -> BoxFuture<'static, Result<(), AppendError>>;

    /// Where the partition starts and ends now.
    ///
    /// # Errors
    /// The partition is not here.
    fn bounds(&self, partition: PartitionId) -> Result<Bounds, ReadError>;
}

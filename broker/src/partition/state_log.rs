//! The partitions of an internal topic, as the coordinator uses them that keeps its state there.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use vltava_log::{AppendOrigin, Verification};
use vltava_wire::{LeaderEpoch, Offset, PartitionId};

use super::append::{Acks, LeaderAppend};
use super::failure::PartitionError;
use super::registry::Partitions;
use super::replica::Partition;
use crate::shard::InTransaction;
use crate::shard::log::{AppendError, Appended, Bounds, ReadError, StateLog};

/// The partitions of one internal topic.
pub struct StateTopic {
    partitions: Arc<Partitions>,
    topic: &'static str,
}

impl StateTopic {
    /// Those of the topic of that name.
    pub fn new(partitions: Arc<Partitions>, topic: &'static str) -> Self {
        Self { partitions, topic }
    }

    fn of(&self, partition: PartitionId) -> Option<Arc<Partition>> {
        self.partitions.by_name(self.topic, partition.get()).ok()
    }
}

impl From<PartitionError> for AppendError {
    fn from(error: PartitionError) -> Self {
        match &error {
            PartitionError::NotEnoughReplicas { .. }
            | PartitionError::NotEnoughReplicasAfterAppend => Self::NotEnoughReplicas,
            PartitionError::Append(cause) => match **cause {
                vltava_log::AppendError::BatchTooLarge { .. }
                | vltava_log::AppendError::BatchesTooLarge { .. } => Self::TooLarge,
                vltava_log::AppendError::StaleLeaderEpoch { .. } => Self::NotLeader,
                vltava_log::AppendError::InvalidProducerEpoch { .. } => Self::ProducerFenced,
                vltava_log::AppendError::CoordinatorFenced { .. } => Self::CoordinatorFenced,
                vltava_log::AppendError::TransactionNotVerified { .. } => Self::NotInTransaction,
                _ => Self::Storage(vltava_net::error_chain(&error)),
            },
            PartitionError::DiskFull
            | PartitionError::Offline(_)
            | PartitionError::Log(_)
            | PartitionError::OffsetOutOfRange { .. } => {
                Self::Storage(vltava_net::error_chain(&error))
            }
            _ => Self::NotLeader,
        }
    }
}

impl StateLog for StateTopic {
    fn append(
        &self,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        mut batch: BytesMut,
        transaction: Option<&InTransaction>,
    ) -> Result<Appended, AppendError> {
        let partition = self.of(partition).ok_or(AppendError::NotLeader)?;
        let acks = Acks::All;
        let (origin, verification) = match transaction {
            None => (AppendOrigin::Coordinator, Verification::default()),
            Some(InTransaction::Part(producer)) => {
                (AppendOrigin::Coordinator, producer.verification)
            }
            Some(InTransaction::End(end)) => (end.origin(), Verification::default()),
        };
        let how = LeaderAppend { acks, origin, verification, leader_epoch };
        let appended = partition.append(&mut batch, how)?;
        let committed = partition.committed(appended.end(), appended.leader_epoch);
        Ok(Appended {
            base_offset: appended.info.base_offset,
            committed: Box::pin(async move { Ok(committed.await?) }),
        })
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Bytes, ReadError> {
        let partition = self.of(partition).ok_or(ReadError::NoReplica)?;
        let slice = partition.slice(from, max_bytes);
        let slice = slice.map_err(|error| ReadError::Storage(vltava_net::error_chain(&error)))?;
        match slice {
            None => Ok(Bytes::new()),
            Some(slice) => {
                slice.read().map_err(|error| ReadError::Storage(vltava_net::error_chain(&error)))
            }
        }
    }

    fn committed(
        &self,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        end: Offset,
    ) -> BoxFuture<'static, Result<(), AppendError>> {
        let partition = self.of(partition);
        Box::pin(async move {
            let partition = partition.ok_or(AppendError::NotLeader)?;
            Ok(partition.committed(end, leader_epoch).await?)
        })
    }

    fn bounds(&self, partition: PartitionId) -> Result<Bounds, ReadError> {
        let partition = self.of(partition).ok_or(ReadError::NoReplica)?;
        match partition.position() {
            Some(position) => Ok(Bounds {
                log_start: position.log_start,
                high_watermark: position.high_watermark,
                log_end: position.log_end,
            }),
            None => {
                let reason = partition.offline_reason();
                Err(ReadError::Storage(reason.as_deref().unwrap_or("offline").to_owned()))
            }
        }
    }
}

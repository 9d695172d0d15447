//! Why a partition did not do what it was asked to.

use std::sync::Arc;

use vltava_log::{AppendError, LogError, ReadError};
use vltava_wire::{LeaderEpoch, NodeId, Offset};

/// Why a partition did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PartitionError {
    /// This broker does not lead the partition, or does no longer.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// This broker is no follower of that leader, or the log has moved on.
    #[error("the partition does not follow that leader from there")]
    NotFollower,
    /// The request is of an older leader epoch.
    #[error("the request is of an older leader epoch than {current}")]
    FencedLeaderEpoch {
        /// The partition's epoch.
        current: LeaderEpoch,
    },
    /// The request is of a leader epoch that this broker has not heard of.
    #[error("the request is of a newer leader epoch than {current}")]
    UnknownLeaderEpoch {
        /// The partition's epoch.
        current: LeaderEpoch,
    },
    /// Who fetches as a replica is none, or is of an old registration.
    #[error("broker {0} holds no replica, or is of an old registration")]
    UnknownReplica(NodeId),
    /// Fewer replicas are in sync than the topic demands. Nothing was appended.
    #[error("{in_sync} replicas are in sync, {min_in_sync} must be")]
    NotEnoughReplicas {
        /// How many are in sync.
        in_sync: usize,
        /// How many must be.
        min_in_sync: usize,
    },
    /// The records were committed, and by then fewer replicas were in sync than the topic demands.
    #[error("too few replicas were in sync once the records were committed")]
    NotEnoughReplicasAfterAppend,
    /// What was waited for did not happen in time.
    #[error("not in time")]
    TimedOut,
    /// The offset is outside of the log.
    #[error("offset {offset} is outside of {log_start} to {log_end}")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        offset: Offset,
        /// The first offset.
        log_start: Offset,
        /// The offset after the last record (for consumers: that may be read).
        log_end: Offset,
    },
    /// A new leader does not know yet how far its records are committed.
    #[error("the high watermark of the new leader is not known yet")]
    OffsetNotAvailable,
    /// The topic's policy keeps the last record of each key.
    #[error("the topic is compacted, and its cleanup.policy does not say delete")]
    KeepsRecords,
    /// The disk has less room than is kept free. Reading goes on.
    #[error("the disk is full")]
    DiskFull,
    /// The log cannot be used.
    #[error("the log is offline: {0}")]
    Offline(Arc<str>),
    /// The batches were refused.
    #[error("the batches were not appended")]
    Append(#[source] Arc<AppendError>),
    /// The log could not be read or changed.
    #[error("the log could not be used")]
    Log(#[source] Arc<LogError>),
}

impl From<AppendError> for PartitionError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Write(error) if error.is_full() => Self::DiskFull,
            AppendError::Log(error) => error.into(),
            error => Self::Append(Arc::new(error)),
        }
    }
}

impl From<LogError> for PartitionError {
    fn from(error: LogError) -> Self {
        Self::Log(Arc::new(error))
    }
}

impl From<ReadError> for PartitionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OffsetOutOfRange { offset, log_start_offset, log_end_offset } => {
                let (log_start, log_end) = (log_start_offset, log_end_offset);
                Self::OffsetOutOfRange { offset, log_start, log_end }
            }
            ReadError::Log(error) => error.into(),
        }
    }
}

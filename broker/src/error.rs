//! The one place where errors become Kafka's codes.

use vltava_wire::ErrorCode;

use crate::controller::ControllerError;
use crate::partition::producer_ids::ProducerIdError;
use crate::partition::relocate::NotMoved;
use crate::partition::{PartitionError, Unavailable};
use crate::shard::log::AppendError;

/// What a client is told about an error.
pub trait ToErrorCode {
    /// The code that stands for this error.
    fn code(&self) -> ErrorCode;
}

impl ToErrorCode for ControllerError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoActive => ErrorCode::NOT_CONTROLLER,
            Self::Call(_) => ErrorCode::REQUEST_TIMED_OUT,
            Self::Refused(code) => *code,
        }
    }
}

impl ToErrorCode for AppendError {
    /// As members of groups are told: whether to look for another coordinator, or to come back.
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader | Self::Storage(_) => ErrorCode::NOT_COORDINATOR,
            Self::NotEnoughReplicas => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            Self::TooLarge => ErrorCode::UNKNOWN_SERVER_ERROR,
            Self::ProducerFenced => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::CoordinatorFenced => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
            Self::NotInTransaction => ErrorCode::INVALID_TXN_STATE,
        }
    }
}

impl ToErrorCode for Unavailable {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Self::UnknownId => ErrorCode::UNKNOWN_TOPIC_ID,
            Self::Elsewhere => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        }
    }
}

impl ToErrorCode for NotMoved {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NameTooLong => ErrorCode::INVALID_TOPIC_EXCEPTION,
            Self::UnknownDir => ErrorCode::LOG_DIR_NOT_FOUND,
            Self::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
            Self::NotHere => ErrorCode::REPLICA_NOT_AVAILABLE,
            Self::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        }
    }
}

impl ToErrorCode for PartitionError {
    fn code(&self) -> ErrorCode {
        match self {
            // A follower that this leader does not know yet is to come again, as Kafka has it.
            Self::NotLeader | Self::NotFollower | Self::UnknownReplica(_) => {
                ErrorCode::NOT_LEADER_OR_FOLLOWER
            }
            Self::FencedLeaderEpoch { .. } => ErrorCode::FENCED_LEADER_EPOCH,
            Self::UnknownLeaderEpoch { .. } => ErrorCode::UNKNOWN_LEADER_EPOCH,
            Self::NotEnoughReplicas { .. } => ErrorCode::NOT_ENOUGH_REPLICAS,
            Self::NotEnoughReplicasAfterAppend => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            Self::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
            Self::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            Self::OffsetNotAvailable => ErrorCode::OFFSET_NOT_AVAILABLE,
            Self::KeepsRecords => ErrorCode::POLICY_VIOLATION,
            Self::DiskFull | Self::Offline(_) | Self::Log(_) => ErrorCode::KAFKA_STORAGE_ERROR,
            Self::Append(error) => error.code(),
        }
    }
}

impl ToErrorCode for vltava_log::AppendError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidBatch(_) => ErrorCode::CORRUPT_MESSAGE,
            Self::InvalidRecord(_) | Self::Empty => ErrorCode::INVALID_RECORD,
            Self::BatchTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            Self::BatchesTooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
            Self::InvalidTimestamp { .. } => ErrorCode::INVALID_TIMESTAMP,
            Self::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            Self::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
            Self::InvalidTxnState { .. } | Self::TransactionNotVerified { .. } => {
                ErrorCode::INVALID_TXN_STATE
            }
            Self::StaleLeaderEpoch { .. } => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::UnexpectedOffset { .. } | Self::OffsetsExhausted => {
                ErrorCode::UNKNOWN_SERVER_ERROR
            }
            Self::Write(_) | Self::Log(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl ToErrorCode for ProducerIdError {
    fn code(&self) -> ErrorCode {
        // Whatever the reason, clients come again by it to this broker; they would look for a
        // coordinator that an idempotent producer does not have, or give up for good.
        match self {
            Self::Controller(_) | Self::Refused(_) | Self::TimedOut => {
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            }
        }
    }
}

/// A code of a coordinator of transactions, as versions before `since` know it: they have another
/// one for a producer that was fenced (KIP-588).
pub fn fenced_code(code: ErrorCode, version: i16, since: i16) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED if version < since => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    }
}

/// Why a batch is not part of a transaction, as the producer of the batch is told: it knows being
/// fenced by another code than the coordinator does, and perhaps not what can be aborted (KIP-890).
pub fn admission_code(code: ErrorCode, knows_abortable: bool) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::TRANSACTION_ABORTABLE if !knows_abortable => ErrorCode::INVALID_TXN_STATE,
        code => code,
    }
}

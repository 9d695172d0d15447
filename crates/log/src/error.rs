//! What can go wrong with a log.

use std::path::PathBuf;

use vltava_wire::batch::{BatchError, BatchErrorKind};
use vltava_wire::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::disk::DiskError;

/// Why a log cannot be opened, changed or flushed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Bytes below the recovery point are not what was written there. Nothing was cut.
    #[error("{} is corrupt at byte {position}: {reason}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where, in bytes from its start.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The log ends before the recovery point: records that were durable are missing.
    #[error("{} ends at offset {log_end_offset}, {recovery_point} was durable", dir.display())]
    RecordsMissing {
        /// The log's folder.
        dir: PathBuf,
        /// Up to where records were durable.
        recovery_point: Offset,
        /// Where the log ends.
        log_end_offset: Offset,
    },
    /// Who wanted the log opened has given it up meanwhile. The log is as it was.
    #[error("{} is not opened: that was given up", dir.display())]
    GivenUp {
        /// The log's folder.
        dir: PathBuf,
    },
    /// An earlier fsync failed, or a failure left the files in an unknown state. The log is not
    /// used any more until it is opened anew.
    #[error("{} has failed: {reason}", dir.display())]
    Failed {
        /// The log's folder.
        dir: PathBuf,
        /// What failed first.
        reason: String,
    },
    /// An offset outside of what the operation allows.
    #[error("{operation} to offset {offset} is outside of {from} to {to}")]
    OffsetOutOfRange {
        /// What was asked for.
        operation: &'static str,
        /// The offset that was given.
        offset: Offset,
        /// The least one allowed.
        from: Offset,
        /// The greatest one allowed.
        to: Offset,
    },
}

/// Why a log was not cleaned. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The owner wanted it to end.
    #[error("cleaning was stopped")]
    Stopped,
    /// The records of one batch have more keys than the memory holds
    /// (`log.cleaner.dedupe.buffer.size`).
    #[error("the batch at offset {offset} has more keys than the {keys} that there is memory for")]
    TooManyKeys {
        /// The first offset that is not cleaned.
        offset: Offset,
        /// How many keys there is memory for.
        keys: usize,
    },
    /// The log cannot be read, or what is kept of it not written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why batches were not appended. Nothing of them is in the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are not whole, valid batches. Kafka: `CORRUPT_MESSAGE`.
    #[error("not a valid batch")]
    InvalidBatch(#[source] BatchError),
    /// A batch that no producer may send. Kafka: `INVALID_RECORD`.
    #[error("not a batch that a producer may send")]
    InvalidRecord(#[source] BatchErrorKind),
    /// No batch at all. Kafka: `INVALID_RECORD`.
    #[error("no batch to append")]
    Empty,
    /// A batch larger than `max.message.bytes`. Kafka: `MESSAGE_TOO_LARGE`.
    #[error("a batch of {size} bytes, at most {max} are allowed")]
    BatchTooLarge {
        /// Its size, in bytes.
        size: usize,
        /// `max.message.bytes`.
        max: usize,
    },
    /// More than a segment holds. Kafka: `RECORD_LIST_TOO_LARGE`.
    #[error("{size} bytes of batches, a segment holds {max}")]
    BatchesTooLarge {
        /// Their size, in bytes.
        size: usize,
        /// `segment.bytes`.
        max: usize,
    },
    /// A timestamp too far from the broker's. Kafka: `INVALID_TIMESTAMP`.
    #[error("timestamp {timestamp} is outside of {from} to {to}")]
    InvalidTimestamp {
        /// The timestamp, in ms since 1970.
        timestamp: i64,
        /// The least one allowed.
        from: i64,
        /// The greatest one allowed.
        to: i64,
    },
    /// An idempotent producer's batch that does not follow the last one. Kafka:
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER`.
    #[error("producer {producer_id} sent sequence {sequence}, the last one was {last_sequence}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's first sequence number.
        sequence: i32,
        /// The last one known, −1 if none.
        last_sequence: i32,
    },
    /// A batch of a producer that was replaced. Kafka: `INVALID_PRODUCER_EPOCH`.
    #[error("producer {producer_id} has epoch {current}, the batch is of epoch {epoch}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's producer epoch.
        epoch: ProducerEpoch,
        /// The producer's epoch.
        current: ProducerEpoch,
    },
    /// A transaction marker of a coordinator that was replaced. Kafka:
    /// `TRANSACTION_COORDINATOR_FENCED`.
    #[error("the marker for producer {producer_id} is of coordinator epoch {epoch} < {current}")]
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The marker's coordinator epoch.
        epoch: i32,
        /// The last one known.
        current: i32,
    },
    /// A batch outside of a transaction while the producer has one open. Kafka:
    /// `INVALID_TXN_STATE`.
    #[error("producer {producer_id} has a transaction open and wrote outside of it")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
    },
    /// A transaction's batch of which its coordinator does not know, or does not know any more
    /// (KIP-890). Kafka: `INVALID_TXN_STATE`.
    #[error("producer {producer_id} has no transaction open here, and none was verified")]
    TransactionNotVerified {
        /// The producer.
        producer_id: ProducerId,
    },
    /// A leader epoch older than the log's last one. Kafka: `NOT_LEADER_OR_FOLLOWER`.
    #[error("leader epoch {epoch} is older than the log's {latest}")]
    StaleLeaderEpoch {
        /// The epoch that was given.
        epoch: LeaderEpoch,
        /// The log's latest.
        latest: LeaderEpoch,
    },
    /// A leader's batch that does not follow the log's end.
    #[error("offset {offset} was to be appended, the log ends at {log_end_offset}")]
    UnexpectedOffset {
        /// The batch's base offset.
        offset: Offset,
        /// The log's end.
        log_end_offset: Offset,
    },
    /// Offsets would go beyond what a log can number.
    #[error("the log has no more offsets")]
    OffsetsExhausted,
    /// The write failed (a full disk, for one) and was taken back: the log is as it was, and
    /// takes appends again when the cause is gone. Kafka: `KAFKA_STORAGE_ERROR`.
    #[error("the append was taken back")]
    Write(#[source] DiskError),
    /// The log cannot be used any more. Kafka: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Kafka: `OFFSET_OUT_OF_RANGE`.
    #[error("offset {offset} is outside of {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        offset: Offset,
        /// The log's first offset.
        log_start_offset: Offset,
        /// The offset after the log's last.
        log_end_offset: Offset,
    },
    /// The log cannot be used any more, or the disk refused. Kafka: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<DiskError> for ReadError {
    fn from(error: DiskError) -> Self {
        Self::Log(error.into())
    }
}

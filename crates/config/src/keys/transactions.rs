//! Keys about transactions.

use crate::spec::Check::{Any, AtLeast};

keys! {
    /// The longest time that a transactional producer may ask for one transaction, in milliseconds.
    TRANSACTION_MAX_TIMEOUT_MS: i32 = "transaction.max.timeout.ms", Some("900000"), AtLeast(1),
        Broker, ReadOnly, High;
    /// How long a transactional id is remembered that no producer uses, in milliseconds.
    TRANSACTIONAL_ID_EXPIRATION_MS: i32 = "transactional.id.expiration.ms", Some("604800000"),
        AtLeast(1), Broker, ReadOnly, High;
    /// How many partitions the topic of transactions has. It must not change once the topic exists.
    TRANSACTION_STATE_LOG_NUM_PARTITIONS: i32 = "transaction.state.log.num.partitions", Some("50"),
        AtLeast(1), Broker, ReadOnly, High;
    /// How many replicas the topic of transactions gets. It is not created before there are as
    /// many brokers.
    TRANSACTION_STATE_LOG_REPLICATION_FACTOR: i16 = "transaction.state.log.replication.factor",
        Some("3"), AtLeast(1), Broker, ReadOnly, High;
    /// How many replicas of the topic of transactions must be in sync; all, where it has fewer.
    TRANSACTION_STATE_LOG_MIN_ISR: i32 = "transaction.state.log.min.isr", Some("2"), AtLeast(1),
        Broker, ReadOnly, High;
    /// The size of a segment of the topic of transactions, in bytes.
    TRANSACTION_STATE_LOG_SEGMENT_BYTES: i32 = "transaction.state.log.segment.bytes",
        Some("104857600"), AtLeast(1), Broker, ReadOnly, High;
    /// How many bytes are read at once when a broker loads the transactions of a partition.
    TRANSACTION_STATE_LOG_LOAD_BUFFER_SIZE: i32 = "transaction.state.log.load.buffer.size",
        Some("5242880"), AtLeast(1), Broker, ReadOnly, High;
    /// How often transactions are searched for those that have taken too long, in milliseconds.
    TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS: i32 =
        "transaction.abort.timed.out.transaction.cleanup.interval.ms", Some("10000"), AtLeast(1),
        Broker, ReadOnly, Low;
    /// How often transactional ids are searched for those that nobody uses, in milliseconds.
    TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS: i32 =
        "transaction.remove.expired.transaction.cleanup.interval.ms", Some("3600000"), AtLeast(1),
        Broker, ReadOnly, Low;
    /// Whether the coordinator is asked, before a transactional batch is written, whether the
    /// partition is part of the transaction.
    TRANSACTION_PARTITION_VERIFICATION_ENABLE: bool =
        "transaction.partition.verification.enable", Some("true"), Any, Broker, ReadOnly, Low;
    /// How long the coordinator is asked again whether a partition may be added to a transaction
    /// while the one before it is ending, in milliseconds. Then the producer has to ask again.
    ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MAX_MS: i32 =
        "add.partitions.to.txn.retry.backoff.max.ms", Some("100"), AtLeast(0),
        Broker, ReadOnly, High;
    /// The pause before each of these questions, in milliseconds.
    ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MS: i32 = "add.partitions.to.txn.retry.backoff.ms",
        Some("20"), AtLeast(1), Broker, ReadOnly, High;
}

//! The keys of the configuration that transactions obey.

use vltava_config::{Values, keys};

/// How many transactional ids one partition may hold. One that does nothing costs about 300 bytes.
pub(super) const TRANSACTIONS_MAX: usize = 200_000;

/// How many appends of one partition may wait to be committed. Beyond it, requests are told to
/// come back.
pub(super) const PENDING_APPENDS_MAX: usize = 100_000;

/// How many ids one append may forget: its records stay far below the largest batch.
pub(super) const FORGOTTEN_AT_ONCE_MAX: usize = 1000;

/// How long an append may take to be committed before who waits is told so, in ms: Kafka's
/// `request.timeout.ms`.
pub(super) const COMMIT_TIMEOUT_MS: i32 = 30_000;

/// The pause before a completion that was refused is appended again, in ms.
pub(super) const COMPLETION_RETRY_MS: i32 = 100;

/// The values in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnConfig {
    /// `transaction.max.timeout.ms`.
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i32,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub abort_interval_ms: i32,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiration_interval_ms: i32,
    /// `transaction.state.log.load.buffer.size`: bytes read at once when a partition is loaded.
    pub load_buffer_bytes: usize,
    /// `transaction.state.log.num.partitions`: holds until the topic exists.
    pub partitions: usize,
}

impl Default for TxnConfig {
    fn default() -> Self {
        Self {
            max_timeout_ms: 900_000,
            id_expiration_ms: 604_800_000,
            abort_interval_ms: 10_000,
            expiration_interval_ms: 3_600_000,
            load_buffer_bytes: 5 * 1024 * 1024,
            partitions: 50,
        }
    }
}

impl TxnConfig {
    /// The values that a broker was started with.
    pub fn of(values: &Values) -> Self {
        let at_least_0 = |value: i32| usize::try_from(value).unwrap_or(0);
        Self {
            max_timeout_ms: values.get(keys::TRANSACTION_MAX_TIMEOUT_MS),
            id_expiration_ms: values.get(keys::TRANSACTIONAL_ID_EXPIRATION_MS),
            abort_interval_ms: values
                .get(keys::TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS),
            expiration_interval_ms: values
                .get(keys::TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS),
            load_buffer_bytes: at_least_0(values.get(keys::TRANSACTION_STATE_LOG_LOAD_BUFFER_SIZE)),
            partitions: at_least_0(values.get(keys::TRANSACTION_STATE_LOG_NUM_PARTITIONS)),
        }
    }
}

//! Requests as transactions see them: without versions and frames, as far as these do not matter.

use std::collections::BTreeSet;

use vltava_wire::Str;

/// A partition that a transaction writes to, by topic and index.
pub type TopicPartition = (Str, i32);

/// The level of `transaction.version` from which on each transaction has an epoch of its own
/// (KIP-890, part 2).
pub const EPOCH_PER_TRANSACTION: i16 = 2;

/// A producer takes over a transactional id, or goes on with it after an error (KIP-360).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitCall {
    /// The transactional id.
    pub id: Str,
    /// How long one of its transactions may take.
    pub timeout_ms: i32,
    /// The producer id and epoch that the producer has, if it goes on.
    pub expected: Option<(i64, i16)>,
}

/// Partitions are added to a transaction, or looked up in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionsCall {
    /// The transactional id.
    pub id: Str,
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The partitions. They are known to exist.
    pub partitions: BTreeSet<TopicPartition>,
    /// The level of `transaction.version` that the client speaks.
    pub client_version: i16,
}

/// A transaction ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndCall {
    /// The transactional id.
    pub id: Str,
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Whether what was written counts.
    pub commits: bool,
    /// The level of `transaction.version` that the client speaks.
    pub client_version: i16,
}

/// Which transactions to list (KIP-664, KIP-994, KIP-1152); an empty filter lets all through.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// The states, by name.
    pub states: Vec<Str>,
    /// The producer ids.
    pub producer_ids: Vec<i64>,
    /// Only those that have been going on for longer, in ms; negative for all.
    pub duration_ms: i64,
    /// Only those whose whole id it matches.
    pub pattern: Option<regex::Regex>,
}

//! Transactions: who may write under a transactional id, what each transaction touches, and how
//! it ends.
//!
//! Every transactional id lives on one partition of `__transaction_state`
//! ([`crate::shard::partition_of`]), and the leader of that partition coordinates it. All ids of
//! a partition make one [`Shard`](machine::Shard), which [`crate::shard`] loads and drives for
//! [`service`]. A transaction that is to end is first decided (a record that says `PrepareCommit`
//! or `PrepareAbort`), then the leaders of the partitions that it wrote to are told by
//! [`markers`], again and again until each has its marker, and then it is complete (another
//! record). Whoever leads the partition next finds the decision in the log and goes on there.
//!
//! The protocol is that of Kafka 4.2: KIP-98, KIP-360, and KIP-890 in both parts (`gate` asks
//! the coordinator before a transactional batch is appended). The records are Kafka's
//! ([`record`]), so that Apache's tools read them.

pub mod calls;
mod config;
mod describe;
mod end;
pub mod gate;
mod init;
pub mod machine;
pub mod markers;
mod partitions;
pub mod record;
pub mod service;
pub mod state;

pub use config::TxnConfig;
pub use service::TxnService;

#[cfg(test)]
mod tests;

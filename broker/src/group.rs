//! Consumer groups: who belongs to a group, who reads what, and how far each group has read.
//!
//! Every group lives on one partition of `__consumer_offsets` ([`crate::shard::partition_of`]),
//! and the leader of that partition coordinates it. All groups of a partition make one
//! [`Shard`](machine::Shard), which [`crate::shard`] loads and drives for [`service`].
//!
//! The protocols are the classic one (KIP-62, KIP-345, KIP-394) and that of [`consumer`] groups
//! (KIP-848), as Kafka 4 speaks them, and the records are Kafka's ([`record`]), so that Apache's
//! tools read them.

pub mod calls;
mod config;
mod consumer;
mod deletion;
mod describe;
mod desk;
mod join;
mod leave;
mod load;
pub mod machine;
mod member;
mod membership;
mod migration;
mod mixing;
mod offsets;
mod pending;
mod protocol;
mod rebalance;
pub mod record;
pub mod service;
mod share;
mod share_service;
mod sharing;
mod state;
mod sync;
mod timer;

pub use config::GroupConfig;
pub use service::GroupService;
pub use share::{ShareOrder, ShareOutcome, ShareTask};

#[cfg(test)]
mod tests;

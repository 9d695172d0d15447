//! Consumer groups: who belongs to a group, who reads what, and how far each group has read.
//!
//! Every group lives on one partition of `__consumer_offsets` ([`GroupService::partition_of`]),
//! and the leader of that partition coordinates it. All groups of a partition make one
//! [`Shard`](machine::Shard), a machine without clock, disk or network: requests and the passing
//! of time go in, answers and records to append come out. [`service`] drives it: one lock a
//! shard, under which the machine runs and its records are appended, so that the order of the
//! log is the order of what the machine decided; answers that depend on records leave when the
//! high watermark has passed them.
//!
//! The protocols are the classic one (KIP-62, KIP-345, KIP-394) and that of [`consumer`] groups
//! (KIP-848), as Kafka 4 speaks them, and the records are Kafka's ([`record`]), so that Apache's
//! tools read them.

mod answer;
pub mod calls;
mod config;
mod consumer;
mod describe;
mod desk;
mod driver;
mod join;
mod leave;
mod load;
pub mod log;
pub mod machine;
mod member;
mod membership;
mod offsets;
mod rebalance;
pub mod record;
pub mod service;
mod state;
mod sync;
mod timer;

pub use answer::Answer;
pub use config::GroupConfig;
pub use service::{GroupService, partition_of};

#[cfg(test)]
mod tests;

//! The partitions that this broker holds: their logs, their roles, and who waits for them.
//!
//! [`Partitions`] is told of every image of the metadata log and makes of it what is to be led,
//! followed or deleted. A [`Partition`] is one replica: appends go through [`append`], are synced
//! by the [`flusher`]s, and count once the [`watermark`] has passed them; reads go through
//! [`read`]. Who must wait is woken by the partition that it waits for ([`waiter`]).
//!
//! *Invariants:* one lock guards a replica, is held briefly, and nothing waits under it; an offset
//! that a replica vouches for is as durable as its topic wants; a directory whose sync failed is
//! not used again.

pub mod append;
mod assignments;
mod cleaner;
mod cleaning;
pub mod dirs;
pub mod epoch;
pub mod failure;
pub mod flusher;
mod leaving;
mod lost;
mod metrics;
mod mover;
pub mod moving;
mod opening;
pub mod producer_ids;
pub mod read;
pub mod recompress;
pub mod registry;
pub mod relocate;
pub mod replica;
pub mod role;
pub mod room;
pub mod settings;
pub mod state_log;
pub mod surroundings;
pub mod transactions;
mod upkeep;
pub mod waiter;
pub mod watermark;

pub use append::{Acks, Appended, LeaderAppend};
pub use failure::PartitionError;
pub use opening::OpenError;
pub use registry::{Partitions, Setup, Unavailable};
pub use replica::{Partition, PartitionName, Position};

#[cfg(test)]
mod tests;

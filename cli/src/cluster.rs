//! What can be asked of a cluster, wherever it runs, by the Kafka protocol.
//!
//! [`bootstrap`] finds the cluster; one file a command asks and prints. [`active`] says why a
//! command waits in vain.

mod active;
pub(crate) mod bootstrap;
pub mod config;
pub mod consume;
pub mod group;
pub mod produce;
pub mod quorum;
pub mod topic;

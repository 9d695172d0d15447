//! What can be asked of a cluster, wherever it runs, by the Kafka protocol.
//!
//! [`bootstrap`] finds the cluster; one file a command asks and prints.

pub(crate) mod bootstrap;
pub mod config;
pub mod consume;
pub mod group;
pub mod produce;
pub mod quorum;
pub mod topic;

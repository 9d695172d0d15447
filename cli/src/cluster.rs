//! What can be asked of a cluster, wherever it runs, by the Kafka protocol.
//!
//! [`session`] finds the cluster's nodes; one file a command asks and prints.

pub mod config;
pub mod group;
pub(crate) mod offsets;
pub mod quorum;
pub(crate) mod session;
pub(crate) mod settings;
pub mod topic;
pub(crate) mod topics;

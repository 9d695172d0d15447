//! What people do to a cluster: a method of [`Cluster`](crate::Cluster) each.
//!
//! Each goes to the node that can answer it, and is tried again where that may help. Where a
//! call names several things, each has its own outcome.

mod cluster;
mod configs;
mod groups;
mod quorum;
mod records;
mod topics;

pub use cluster::{LogDir, Reassignment};
pub use configs::{AlterOp, ConfigEntry, ConfigResource, ResourceType};
pub use groups::{GroupDescription, GroupKind, GroupListing, GroupMember, PartitionOffsets};
pub(crate) use groups::{check_commit, check_group, commit_request};
pub use quorum::RaftVoter;
pub use records::{ListedOffset, OffsetSpec};
pub use topics::{CreatedTopic, Election, NewTopic};

use crate::error::ClientError;

/// What became of each of several things, by name.
pub type Outcomes<T> = Vec<(String, Result<T, ClientError>)>;

/// How long the cluster may take to carry out a request before it says so, in milliseconds.
const TIMEOUT_MS: i32 = 8_000;

//! What is stored in records rather than sent in requests.

pub mod consumer_group;
pub mod group;
pub mod metadata;
pub mod principal;
pub mod producer_snapshot;
pub mod raft;
pub mod share_group;
pub mod share_state;
pub mod transaction;

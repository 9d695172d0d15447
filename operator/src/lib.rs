//! The operator: watches `KafkaCluster` resources and keeps what they say.
//!
//! One reconciliation is a straight walk: dereference (reads) → validate (no client) → build
//! (pure, one file an object) → apply → delete orphans → status. What may happen next to the pods,
//! partitions and voters is decided by the pure functions of [`plan`].

pub mod apply;
pub mod build;
pub mod calls;
pub mod covers;
pub mod dereference;
pub mod error;
pub mod identity;
pub mod kafka;
pub mod lease;
pub mod listeners;
pub mod names;
pub mod plan;
pub mod server;
pub mod settings;
pub mod status;
pub mod storage;
pub mod template;
pub mod topics;
pub mod verdict;
pub mod walk;

//! The operator: watches `KafkaCluster` resources and keeps what they say.
//!
//! One reconciliation is a straight walk: dereference (reads) → validate (no client) → build
//! (pure, one file an object) → apply → delete orphans → status. What may happen next to the pods,
//! partitions and voters is decided by the pure functions of [`plan`].

pub mod kafka;
pub mod plan;

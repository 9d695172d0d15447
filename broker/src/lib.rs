//! The broker: partitions, replication, groups, and the Kafka protocol.
//!
//! The walk of a record that is written: a frame comes in by `vltava_net`, [`api`] decodes it and
//! hands it to the one file of its key ([`api::produce`]), [`partition`] appends it to its log, a
//! flusher syncs it, [`replication`] on the followers fetches it, the leader's high watermark
//! passes it, and the answer that waited for that goes out. A read takes the same way through
//! [`api::fetch`].
//!
//! Beside that walk: [`metadata`] follows the metadata log and tells everybody what changed,
//! [`lifecycle`] keeps the registration alive, [`controller`] calls the active coordinator, and
//! [`group`] coordinates groups and [`txn`] transactions, both standing on [`shard`], and [`share`]
//! gives records to members of share groups.
//!
//! *Invariants:* [`api`] never opens a log; a partition has one owner of appends; files called
//! `machine.rs` never await; errors become Kafka's codes in [`error`] and nowhere else.

pub mod api;
pub mod controller;
pub mod error;
pub mod group;
pub mod lifecycle;
pub mod metadata;
pub mod neighbours;
pub mod partition;
pub mod replication;
pub mod server;
pub mod shard;
pub mod share;
pub mod telemetry;
pub mod txn;

pub use server::{Broker, run};

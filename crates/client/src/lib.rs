//! Async connections and admin calls to any broker or coordinator.
//!
//! - [`Connection`]: one socket; calls are pipelined, versions negotiated, answers checked.
//! - [`Cluster`]: a connection a node, what the nodes say about each other, and retries.
//! - [`admin`]: what people do to a cluster, a call each.
//! - [`Producer`] and [`Consumer`]: small ones, for tools and tests.
//!
//! *Invariants:* nothing here knows who uses it, and it speaks the Kafka protocol only, so all of
//! it works against Apache Kafka as well. A call ends: by its answer, its timeout, or the end of
//! its connection.

pub mod admin;
mod cluster;
mod connection;
mod consumer;
mod driver;
mod error;
mod membership;
mod options;
mod partitioner;
mod producer;
mod topic;
mod versions;

pub use admin::{
    AlterOp, ConfigEntry, ConfigResource, CreatedTopic, Election, GroupDescription, GroupKind,
    GroupListing, GroupMember, ListedOffset, LogDir, NewTopic, OffsetSpec, Outcomes,
    PartitionOffsets, RaftVoter, Reassignment, ResourceType,
};
pub use cluster::{Cluster, ClusterOptions, Node, Speaks};
pub use connection::Connection;
pub use consumer::{AutoOffsetReset, ConsumedRecord, Consumer, ConsumerOptions, TopicPartition};
pub use error::ClientError;
pub use options::ConnectOptions;
pub use partitioner::partition_of_key;
pub use producer::{Acks, Delivered, Delivery, NewRecord, Producer, ProducerOptions};
pub use topic::{Partition, Topic};
pub use versions::NodeVersions;

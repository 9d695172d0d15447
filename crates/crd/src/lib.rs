//! The KafkaCluster resource as Rust types, and what follows from it without asking anybody.
//!
//! [`manifest`] reads a resource from YAML, [`validate`] says what is impossible about it,
//! [`config`] gives each node's settings, and [`plan`] compares declared topics with those that
//! exist. All of it is pure: `vltava up` and the operator decide by the same functions.

pub mod config;
pub mod manifest;
pub mod plan;
mod resource;
pub mod validate;

pub use resource::{
    Brokers, Coordinators, KafkaCluster, KafkaClusterSpec, Listener, ListenerType, Storage, Topic,
};

/// The node id of the first coordinator; brokers count from 1.
pub const FIRST_COORDINATOR_ID: i32 = 3001;

/// The name of the coordinators' listener, which no other listener may take.
pub const COORDINATOR_LISTENER: &str = "CONTROLLER";

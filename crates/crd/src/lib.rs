//! The KafkaCluster resource as Rust types, and what follows from it without asking anybody.
//!
//! [`manifest`] reads a resource from YAML, [`validate`] says what is impossible about it,
//! [`config`] gives each node's settings, and [`plan`] compares declared topics with those that
//! exist; [`definition`] is what Kubernetes is told of it. All of it is pure: `vltava up` and the
//! operator decide by the same functions.

pub mod config;
pub mod definition;
mod listener;
pub mod manifest;
pub mod plan;
mod pod;
mod reference;
mod resource;
mod rules;
pub mod status;
mod storage;
pub mod validate;

pub use listener::{ID_MARK, Listener, ListenerType, NODE_PORTS};
pub use pod::Pod;
pub use reference::markdown as reference;
pub use resource::{Brokers, Coordinators, KafkaCluster, KafkaClusterSpec, NetworkPolicies, Topic};
pub use status::KafkaClusterStatus;
pub use storage::{ReclaimPolicy, Storage};

/// The node id of the first coordinator; brokers count from 1.
pub const FIRST_COORDINATOR_ID: i32 = 3001;

/// The name of the coordinators' listener, which no other listener may take.
pub const COORDINATOR_LISTENER: &str = "CONTROLLER";

/// The port at which nodes serve probes and metrics on Kubernetes, which no listener may take.
pub const ADMIN_PORT: i32 = 9404;

//! What the end-to-end suite on Kubernetes is made of: `kubectl` and `helm` as a user runs them, a
//! cluster made of a manifest, its pods watched, and a load of numbered records from outside.
//!
//! It needs nothing but a kubeconfig and a way to bring images to the nodes.

mod cluster;
mod conditions;
pub mod images;
mod load;
mod manifest;
mod operator;
mod pods;
pub mod scenarios;
mod shell;
mod world;

pub use cluster::Cluster;
pub use load::Steady;
pub use manifest::Manifest;
pub use shell::Shell;
pub use world::{Bounds, World, host, outside};

use std::time::Duration;

/// How long a cluster may take until it is what its manifest says, on nodes that have the images.
pub const SETTLES: Duration = Duration::from_secs(240);

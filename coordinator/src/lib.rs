//! The coordinator: the metadata quorum that keeps the cluster.

pub mod controller;

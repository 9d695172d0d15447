//! The KafkaCluster resource as Rust types.

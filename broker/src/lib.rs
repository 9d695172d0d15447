//! The broker: partitions, replication, groups, and the Kafka protocol.

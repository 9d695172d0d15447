//! The cluster as the Kafka protocol shows it, and what the plans ask of it.

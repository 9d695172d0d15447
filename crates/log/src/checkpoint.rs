//! Kafka's small text files, each replaced as a whole.

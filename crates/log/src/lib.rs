//! The log of one partition: segments, indexes, recovery and retention.

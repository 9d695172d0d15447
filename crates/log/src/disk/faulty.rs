//! A disk in memory that forgets what was not synced.

/// A disk in memory that forgets what was not synced.
#[derive(Clone, Debug)]
pub struct FaultyDisk;

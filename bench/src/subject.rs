//! Who is measured: a system, and whether it syncs a record before it acknowledges it.

use std::fmt;

/// One of the two systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Ours.
    Vltava,
    /// Apache's.
    Kafka,
}

/// A system in one of its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The system.
    pub side: Side,
    /// Whether a record is on the disk before it is acknowledged (`flush.messages=1`).
    pub synced: bool,
}

/// Ours, as it comes.
pub const OURS: Subject = Subject { side: Side::Vltava, synced: true };
/// Ours, with Kafka's setting.
pub const OURS_UNSYNCED: Subject = Subject { side: Side::Vltava, synced: false };
/// Kafka, as it comes.
pub const KAFKA: Subject = Subject { side: Side::Kafka, synced: false };
/// Kafka, with our setting.
pub const KAFKA_SYNCED: Subject = Subject { side: Side::Kafka, synced: true };

/// Each system as it comes.
pub const AS_THEY_COME: &[Subject] = &[OURS, KAFKA];
/// Like against like, both ways.
pub const ALL: &[Subject] = &[OURS, KAFKA, OURS_UNSYNCED, KAFKA_SYNCED];
/// Where Kafka with syncs takes too long to be of use.
pub const WITHOUT_KAFKA_SYNCED: &[Subject] = &[OURS, KAFKA, OURS_UNSYNCED];

impl Subject {
    /// The topic's `flush.messages`.
    pub fn flush_messages(self) -> &'static str {
        if self.synced { "1" } else { "9223372036854775807" }
    }

    /// A name for topics.
    pub fn short(self) -> &'static str {
        if self.synced { "synced" } else { "unsynced" }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.side, self.synced) {
            (Side::Vltava, true) => "Vltava, fsync",
            (Side::Vltava, false) => "Vltava, no fsync",
            (Side::Kafka, true) => "Kafka, fsync",
            (Side::Kafka, false) => "Kafka, no fsync",
        };
        f.pad(name)
    }
}

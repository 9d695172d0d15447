//! Faults that are planted in what clients do and note, of which each must be found.

use super::checker::Anomaly;

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Some records are sent to another topic, and noted as sent to this one.
    Elsewhere,
    /// Readers see what is not committed.
    Uncommitted,
    /// Some records are sent twice, and noted once.
    Twice,
    /// Some acknowledgements are noted with the next offset.
    NextOffset,
    /// Some records that were polled are not noted.
    Unnoted,
    /// Readers go back a few records at times, and do not note that they do.
    Rewound,
    /// What one operation sent is noted in the opposite order.
    Reversed,
    /// A group's members read again what they have committed.
    Again,
    /// Nobody reads one of the partitions.
    Unread,
}

/// All of them, with their names and what is to be found of each.
pub const PLANTS: &[(&str, Plant, Anomaly)] = &[
    ("elsewhere", Plant::Elsewhere, Anomaly::LostWrite),
    ("uncommitted", Plant::Uncommitted, Anomaly::AbortedRead),
    ("twice", Plant::Twice, Anomaly::Duplicate),
    ("next-offset", Plant::NextOffset, Anomaly::InconsistentOffset),
    ("unnoted", Plant::Unnoted, Anomaly::PollSkip),
    ("rewound", Plant::Rewound, Anomaly::NonmonotonicPoll),
    ("reversed", Plant::Reversed, Anomaly::NonmonotonicSend),
    ("again", Plant::Again, Anomaly::ConsumedTwice),
    ("unread", Plant::Unread, Anomaly::Unseen),
];

/// The other topic of [`Plant::Elsewhere`].
pub(super) fn elsewhere(topic: &str) -> String {
    format!("{topic}-elsewhere")
}

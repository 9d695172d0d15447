//! What an operation comes to.

use std::fmt;

use vltava_metadata::{
    BATCH_BYTES_MAX, BATCH_HEADER_BYTES, BATCH_RECORDS_MAX, MetadataRecord, bytes_in_batch,
};
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId, PartitionId, Str};

/// Bytes of a batch from which on records that count by themselves go into the next one.
const BATCH_BYTES_ENOUGH: usize = BATCH_BYTES_MAX / 8;

/// The outcome of an operation: what is to be appended, and what is answered once it is committed.
#[derive(Clone, Debug)]
#[must_use = "a decision that is not appended changes nothing"]
pub struct Decision<R> {
    /// The records; none if nothing changes.
    pub records: Vec<MetadataRecord>,
    /// Whether all records go into one batch, so that all of them count or none.
    pub atomic: bool,
    /// The answer.
    pub response: R,
    /// What people should hear of.
    pub happenings: Vec<Happening>,
}

impl<R> Decision<R> {
    /// Records that belong together, and the answer.
    pub fn of(records: Vec<MetadataRecord>, response: R) -> Self {
        Self { records, atomic: true, response, happenings: Vec::new() }
    }

    /// An answer that changes nothing.
    pub fn answer(response: R) -> Self {
        Self::of(Vec::new(), response)
    }

    /// Records each of which counts by itself: there may be more of them than a batch takes.
    pub fn each(records: Vec<MetadataRecord>, response: R) -> Self {
        Self { atomic: false, ..Self::of(records, response) }
    }

    /// The same with another answer.
    pub fn map<S>(self, answer: impl FnOnce(R) -> S) -> Decision<S> {
        let Self { records, atomic, response, happenings } = self;
        Decision { records, atomic, response: answer(response), happenings }
    }

    /// Adds what people should hear of.
    pub fn telling(mut self, happenings: impl IntoIterator<Item = Happening>) -> Self {
        self.happenings.extend(happenings);
        self
    }

    /// The batches to append, in order; none is larger than the log takes.
    ///
    /// # Errors
    /// POLICY_VIOLATION if records that count together are too much for one batch, or a single one
    /// is.
    pub fn batches(&self) -> Result<Vec<&[MetadataRecord]>, Failure> {
        let (mut batches, mut start, mut bytes) = (Vec::new(), 0, BATCH_HEADER_BYTES);
        for (at, record) in self.records.iter().enumerate() {
            let size = bytes_in_batch(record);
            let is_full = at - start == BATCH_RECORDS_MAX || bytes + size > BATCH_BYTES_ENOUGH;
            if !self.atomic && at > start && is_full {
                batches.push(&self.records[start..at]);
                (start, bytes) = (at, BATCH_HEADER_BYTES);
            }
            bytes += size;
            if bytes > BATCH_BYTES_MAX {
                let message = "Excessively large request: what it changes does not fit into a \
                               batch of the metadata log.";
                return Err(Failure::new(ErrorCode::POLICY_VIOLATION, message));
            }
        }
        if start < self.records.len() {
            batches.push(&self.records[start..]);
        }
        Ok(batches)
    }
}

/// Why a broker is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason {
    /// It was silent for its session.
    SessionExpired,
    /// Its last heartbeat connection closed, and it opened no other within the grace.
    ConnectionClosed,
    /// Another process registered in its place.
    Replaced,
    /// It asked for it.
    Asked,
}

impl fmt::Display for FenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SessionExpired => "its session expired",
            Self::ConnectionClosed => "its heartbeat connections closed",
            Self::Replaced => "a new process registered in its place",
            Self::Asked => "it asked for it",
        })
    }
}

/// Something that people should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A broker registered.
    Registered { broker: NodeId, epoch: BrokerEpoch },
    /// A broker was fenced.
    Fenced { broker: NodeId, reason: FenceReason },
    /// A broker was unfenced.
    Unfenced { broker: NodeId },
    /// A broker hands its leadership over before it stops.
    ShuttingDown { broker: NodeId },
    /// The only in-sync copy of a partition was in a log directory that is gone.
    LastCopyLost { topic: Str, partition: PartitionId, broker: NodeId },
    /// A topic was made.
    TopicCreated { topic: Str, partitions: i32, replicas: i16 },
    /// A topic was deleted.
    TopicDeleted { topic: Str },
    /// A partition, and so many others, have another leader, or none.
    LeadersChanged { topic: Str, partition: PartitionId, leader: Option<NodeId>, others: usize },
    /// A replica that was not in sync leads: records may be lost.
    UncleanElection { topic: Str, partition: PartitionId, leader: NodeId },
}

impl Happening {
    /// Whether somebody may have to do something.
    pub fn is_grave(&self) -> bool {
        matches!(self, Self::LastCopyLost { .. } | Self::UncleanElection { .. })
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { broker, epoch } => {
                write!(f, "broker {broker} registered with epoch {epoch}")
            }
            Self::Fenced { broker, reason } => write!(f, "broker {broker} is fenced: {reason}"),
            Self::Unfenced { broker } => write!(f, "broker {broker} is unfenced"),
            Self::ShuttingDown { broker } => write!(f, "broker {broker} is shutting down"),
            Self::LastCopyLost { topic, partition, broker } => write!(
                f,
                "{topic}-{partition} is offline: its only in-sync copy was in a log directory of \
                 broker {broker} that is gone; an unclean election lets another replica lead"
            ),
            Self::TopicCreated { topic, partitions, replicas } => write!(
                f,
                "topic {topic} is created; partitions: {partitions}, replicas of each: {replicas}"
            ),
            Self::TopicDeleted { topic } => write!(f, "topic {topic} is deleted"),
            Self::LeadersChanged { topic, partition, leader, others } => {
                match leader {
                    Some(leader) => write!(f, "{topic}-{partition} is led by broker {leader} now")?,
                    None => write!(f, "{topic}-{partition} has no leader now")?,
                }
                match others {
                    0 => Ok(()),
                    others => write!(f, "; {others} more partitions have another leader, too"),
                }
            }
            Self::UncleanElection { topic, partition, leader } => write!(
                f,
                "{topic}-{partition} is led by broker {leader}, which was not in sync: records \
                 may be lost"
            ),
        }
    }
}

/// Why an operation, or a part of it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// Kafka's code.
    pub code: ErrorCode,
    /// A sentence for people; empty if the code says it all.
    pub message: String,
}

impl Failure {
    /// A refusal.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The message as answers carry it: none if there is none.
    pub fn text(&self) -> Option<Str> {
        (!self.message.is_empty()).then(|| Str::from(self.message.as_str()))
    }
}

//! What is known of one transactional id, and how one state follows from another.

use std::collections::BTreeSet;

use vltava_wire::Str;

use super::calls::{EPOCH_PER_TRANSACTION, TopicPartition};
use crate::shard::{Now, Ticket};

/// No producer id, or no epoch.
pub const NONE: i64 = -1;

/// No epoch.
pub const NO_EPOCH: i16 = -1;

macro_rules! states {
    ($($(#[$meta:meta])* $code:literal $name:ident;)*) => {
        /// Where a transaction is, by the numbers that records have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i8)]
        pub enum State {
            $($(#[$meta])* $name = $code,)*
        }

        impl State {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The state of that number.
            pub const fn from_code(code: i8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that tools show.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

states! {
    /// A producer has the id, and has not begun a transaction.
    0 Empty;
    /// A transaction has partitions.
    1 Ongoing;
    /// It is decided that the transaction commits; partitions are being told.
    2 PrepareCommit;
    /// It is decided that the transaction aborts; partitions are being told.
    3 PrepareAbort;
    /// All partitions know that the transaction was committed.
    4 CompleteCommit;
    /// All partitions know that the transaction was aborted.
    5 CompleteAbort;
    /// The id is being forgotten. Never stored.
    6 Dead;
    /// A producer is being fenced. Kafka passes through it in memory; here fencing is one step
    /// to `PrepareAbort`, so only filters name it.
    7 PrepareEpochFence;
}

impl State {
    /// Whether the outcome is decided, and partitions are being told.
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// What is stored of a transactional id, as it is or as it is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The producer id in use.
    pub producer_id: i64,
    /// The producer id before the last transition.
    pub previous_producer_id: i64,
    /// The producer id to go on with once the transaction is complete; −1 for the same.
    pub next_producer_id: i64,
    /// The epoch in use; −1 before the first producer has one.
    pub producer_epoch: i16,
    /// The epoch before it, by which a retry is known; −1 where there can be none. Not stored:
    /// a retry to another coordinator fails, as in Kafka.
    pub last_producer_epoch: i16,
    /// How long a transaction may take.
    pub timeout_ms: i32,
    /// Where the transaction is.
    pub state: State,
    /// The partitions that it has written to, or will.
    pub partitions: BTreeSet<TopicPartition>,
    /// When it began, in ms since 1970; −1 if it has not.
    pub start_ms: i64,
    /// When anything last changed, in ms since 1970.
    pub last_update_ms: i64,
    /// The level of `transaction.version` that its client speaks.
    pub client_version: i16,
}

/// Epochs end one before the largest number, so that a producer can always be fenced.
pub const fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

impl Stored {
    /// One that no producer has yet.
    pub fn new(producer_id: i64, timeout_ms: i32, now: Now) -> Self {
        Self {
            producer_id,
            previous_producer_id: NONE,
            next_producer_id: NONE,
            producer_epoch: NO_EPOCH,
            last_producer_epoch: NO_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            last_update_ms: now.wall,
            client_version: 0,
        }
    }

    fn onward(&self, state: State, now: Now) -> Self {
        Self {
            previous_producer_id: self.producer_id,
            state,
            last_update_ms: now.wall,
            ..self.clone()
        }
    }

    /// A producer has it now, in this epoch.
    pub(super) fn taken_over(
        &self,
        (producer_id, producer_epoch): (i64, i16),
        last_producer_epoch: i16,
        timeout_ms: i32,
        now: Now,
    ) -> Self {
        Self {
            producer_id,
            producer_epoch,
            last_producer_epoch,
            timeout_ms,
            partitions: BTreeSet::new(),
            start_ms: -1,
            ..self.onward(State::Empty, now)
        }
    }

    /// More partitions are part of the transaction.
    pub(super) fn with(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        client_version: i16,
        now: Now,
    ) -> Self {
        let start_ms = if self.state == State::Ongoing { self.start_ms } else { now.wall };
        let mut next = Self { client_version, start_ms, ..self.onward(State::Ongoing, now) };
        next.partitions.extend(partitions.iter().map(|(topic, index)| (topic.detach(), *index)));
        next
    }

    /// The transaction ends so. Where each transaction has an epoch of its own, markers carry the
    /// next one, and the producer goes on in it (or as `next_producer_id`, if that is set).
    pub(super) fn decided(
        &self,
        state: State,
        client_version: i16,
        next_producer_id: i64,
        now: Now,
    ) -> Self {
        // One may abort what one has not begun (KIP-890).
        let start_ms = if self.state == State::Ongoing { self.start_ms } else { now.wall };
        let mut next =
            Self { client_version, next_producer_id, start_ms, ..self.onward(state, now) };
        if client_version >= EPOCH_PER_TRANSACTION {
            next.last_producer_epoch = self.producer_epoch;
            // It ends there only if a producer is fenced in its last epoch.
            next.producer_epoch = self.producer_epoch.saturating_add(1);
        }
        next
    }

    /// The transaction is aborted, and its producer fenced, by a coordinator of that level. Where
    /// each transaction has its own epoch, one more is left out, which nobody gets: what the
    /// fenced producer sends in its epoch must not look like the retry of an end of its own.
    pub(super) fn fenced(&self, level: i16, now: Now) -> Self {
        let fence = Self {
            producer_epoch: self.producer_epoch.saturating_add(1),
            last_producer_epoch: NO_EPOCH,
            ..self.clone()
        };
        fence.decided(State::PrepareAbort, level, NONE, now)
    }

    /// All partitions have their markers.
    pub(super) fn completed(&self, now: Now) -> Self {
        let state = match self.state {
            State::PrepareCommit => State::CompleteCommit,
            _ => State::CompleteAbort,
        };
        let mut next =
            Self { next_producer_id: NONE, partitions: BTreeSet::new(), ..self.onward(state, now) };
        (next.producer_id, next.producer_epoch) = self.identity_after();
        next
    }

    /// Under which id and epoch the producer goes on after the transaction.
    pub(super) fn identity_after(&self) -> (i64, i16) {
        match self.next_producer_id {
            NONE => (self.producer_id, self.producer_epoch),
            next => (next, 0),
        }
    }
}

/// A transactional id, with what only its coordinator knows.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) stored: Stored,
    /// What is being stored: nothing else may change meanwhile.
    pub(super) pending: Option<(Ticket, Option<Stored>)>,
    /// Partitions that have not got their marker.
    pub(super) unmarked: BTreeSet<TopicPartition>,
    /// When the transaction has taken too long, on the monotonic clock.
    pub(super) expires: u64,
}

impl Transaction {
    pub(super) fn new(stored: Stored) -> Self {
        Self { stored, pending: None, unmarked: BTreeSet::new(), expires: u64::MAX }
    }

    /// The transaction has been going on since its start; or since now, as far as clocks disagree.
    pub(super) fn start_clock(&mut self, now: Now) {
        let timeout = i64::from(self.stored.timeout_ms);
        let elapsed = now.wall.saturating_sub(self.stored.start_ms).clamp(0, timeout);
        self.expires = now.after(timeout - elapsed);
    }
}

/// Names of partitions, grouped by topic.
pub(super) fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<(Str, Vec<i32>)> {
    let mut topics: Vec<(Str, Vec<i32>)> = Vec::new();
    for (topic, index) in partitions {
        match topics.last_mut() {
            Some((last, indexes)) if last == topic => indexes.push(*index),
            _ => topics.push((topic.clone(), vec![*index])),
        }
    }
    topics
}

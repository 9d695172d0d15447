//! What coordinators have in common: state that lives in the log of an internal topic.
//!
//! A coordinator keeps its state on the partitions of one topic, and the leader of a partition
//! coordinates all that lies on it. The state of a partition is one [`Machine`], without clock,
//! disk or network: requests and the passing of time go in, answers, records to append and
//! orders for the world come out. A [`Driver`](driver::Driver) drives it: one lock a shard,
//! under which the machine runs and its records are appended, so that the order of the log is
//! the order of what the machine decided; answers that depend on records leave when the high
//! watermark has passed them. [`Shards`] are all of one coordinator's on this broker.

mod answer;
pub mod driver;
pub mod load;
pub mod log;
mod map;
#[cfg(test)]
pub(crate) mod memory_log;

use std::fmt::Debug;

use bytes::Bytes;
use vltava_log::Verification;
use vltava_wire::compression::Compression;
use vltava_wire::{ErrorCode, ProducerEpoch, ProducerId};

use crate::partition::transactions::TransactionEnd;

pub use answer::Answer;
pub use driver::Driver;
pub use load::{LoadError, Loader, RecordError, Replay};
pub use map::{Shards, partition_of};

/// The time, as told to a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never goes back, from any start.
    pub mono: u64,
    /// Milliseconds since 1970, for what is written and shown.
    pub wall: i64,
}

impl Now {
    /// The monotonic time `ms` from now; a negative duration counts as none.
    pub fn after(self, ms: impl Into<i64>) -> u64 {
        self.mono.saturating_add(u64::try_from(ms.into()).unwrap_or(0))
    }
}

/// Names a request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Names an append whose outcome the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A record to append; without a value it takes back what the key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key's bytes, type first.
    pub key: Bytes,
    /// The value's bytes, version first.
    pub value: Option<Bytes>,
}

impl Record {
    /// Bytes of key and value.
    pub fn size_in_bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Records to append as one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// By which the outcome is told.
    pub ticket: Ticket,
    /// The records; at least one, but for the end of a transaction.
    pub records: Vec<Record>,
    /// What the batch is to a transaction, if it is anything.
    pub transaction: Option<InTransaction>,
}

/// A producer that has something stored in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// What shows that the transaction is open.
    pub verification: Verification,
}

/// What a batch is to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTransaction {
    /// Its records count when the transaction is committed.
    Part(TxnProducer),
    /// It is the marker that ends it.
    End(TransactionEnd),
}

/// What a machine wants done, in this order.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct Effects<R, O> {
    /// To append, one after the other.
    pub appends: Vec<Append>,
    /// To answer.
    pub replies: Vec<(Token, R)>,
    /// To have done in the world outside.
    pub orders: Vec<O>,
}

impl<R, O> Default for Effects<R, O> {
    fn default() -> Self {
        Self { appends: Vec::new(), replies: Vec::new(), orders: Vec::new() }
    }
}

/// What a driver tells a machine of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An append lies in the log.
    Written(Ticket),
    /// An append was refused, and nothing was written; the code is the coordinator's to tell.
    Refused(Ticket, ErrorCode),
    /// The high watermark has passed an append and all before it.
    Committed(Ticket),
    /// Time has passed.
    Tick,
}

/// The state of one partition, and what is decided about it.
pub trait Machine: Sized + Send + 'static {
    /// What happens to it.
    type Event: From<Outcome> + Send + 'static;
    /// What it answers.
    type Reply: Send + Debug + 'static;
    /// What it wants of the world, but for appends and answers.
    type Order: Send + 'static;
    /// Reads it out of a log.
    type Replay: Replay<Machine = Self>;
    /// What the machines of a broker share.
    type Setup: Setup<Self>;

    /// What it keeps, as log lines name it.
    const KEEPS: &'static str;

    /// Takes an event in, and says what is to be done.
    fn on(&mut self, event: Self::Event, now: Now) -> Effects<Self::Reply, Self::Order>;

    /// Part of what was loaded is not committed, as far as is known: from now on it counts as an
    /// append under way, by that ticket, for all that is told of it. `None` for a machine that is
    /// not to act before it is committed. Called before anything else.
    fn inherit(&mut self, now: Now) -> Option<Ticket>;

    /// It is loaded: its clocks start.
    fn start(&mut self, now: Now) -> Effects<Self::Reply, Self::Order>;

    /// This broker does not coordinate it any more: all who wait are told so.
    fn stop(self) -> Vec<(Token, Self::Reply)>;

    /// When [`Outcome::Tick`] is due at the latest, on the monotonic clock.
    fn next_deadline(&self) -> Option<u64>;

    /// Whether so many appends wait that no more should come.
    fn is_overloaded(&self) -> bool;

    /// How many things it keeps.
    fn count(&self) -> usize;
}

/// What the machines of one kind share on a broker.
pub trait Setup<M: Machine>: Send + Sync + 'static {
    /// How the batches of records are compressed.
    fn compression(&self) -> Compression;

    /// How many bytes are read at once when a partition is loaded.
    fn load_buffer_bytes(&self) -> usize;

    /// Begins to load a partition.
    fn replay(&self) -> M::Replay;

    /// What a machine that was loaded is told before it starts.
    fn greeting(&self) -> M::Event;

    /// Sees to what a machine ordered; tells the driver how it went. Called under the shard's
    /// lock: it must not block, nor tell the driver before it returns.
    fn carry_out(&self, order: M::Order, driver: &std::sync::Arc<Driver<M>>);
}

//! What happens to a quorum machine.

use vltava_wire::{LeaderEpoch, NodeId};

use crate::message::{Request, Response, SnapshotId};
use crate::voter_set::VoterSet;

/// Names a request that came in, so that its answer finds its way; the driver's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Names a request that went out, so that its answer finds its sender; the machine's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names records that the driver would like to have in the log; the driver's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// A position in the log that the driver was told to flush up to. Opaque to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushPoint {
    pub(crate) up_to: vltava_wire::Offset,
    /// How often the log was cut when the flush was ordered: what was flushed before a cut says
    /// nothing about what was written after it.
    pub(crate) cuts: u64,
}

impl FlushPoint {
    /// The offset after the last record that is to be flushed.
    pub fn up_to(self) -> vltava_wire::Offset {
        self.up_to
    }
}

/// What happens to a [`Machine`](crate::Machine).
#[derive(Clone, Debug)]
pub enum Event {
    /// The time that [`Effect::ScheduleTick`](crate::Effect::ScheduleTick) named has come. Also
    /// the first event of every machine. An early or a superfluous one does no harm.
    Tick,
    /// A request came in.
    Request { token: Token, request: Request },
    /// The connection that a request came by was closed: nobody waits for the answer.
    RequestDropped { token: Token },
    /// An answer came to a request that this machine sent.
    Response { id: RequestId, response: Response },
    /// A request that this machine sent will not be answered: no connection, an unreadable answer.
    RequestFailed { id: RequestId },
    /// A connection to `peer` was closed by the other side or reset. A hint that its process died.
    ConnectionLost { peer: NodeId },
    /// The driver of the leader of `epoch` has `records` records for the log, in one batch.
    Propose { proposal: ProposalId, epoch: LeaderEpoch, records: u32 },
    /// The log is on disk up to a point that [`Effect::Flush`](crate::Effect::Flush) named.
    Flushed { point: FlushPoint },
    /// The driver wrote a snapshot of committed records, durably.
    SnapshotTaken { id: SnapshotId },
    /// The driver deleted all records that this snapshot, which it keeps, covers. It may do so
    /// once they are flushed: a truncation that is not yet on disk could else leave records of an
    /// older epoch behind the snapshot.
    LogStartMoved { snapshot: SnapshotId },
    /// The snapshot of [`Effect::InstallSnapshot`](crate::Effect::InstallSnapshot) is in place;
    /// `voters` is the content of its `VotersRecord`.
    SnapshotInstalled { id: SnapshotId, voters: VoterSet },
    /// The snapshot that was fetched cannot be read; it is fetched again.
    SnapshotRejected { id: SnapshotId },
    /// The leader of `epoch` cannot go on and gives way to another; the node goes on.
    Resign { epoch: LeaderEpoch },
    /// The node shuts down in order. [`Effect::Stopped`](crate::Effect::Stopped) says when it may.
    Stop,
}

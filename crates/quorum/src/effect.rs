//! What a quorum machine wants done.

use bytes::Bytes;
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset};

use crate::event::{FlushPoint, ProposalId, RequestId, Token};
use crate::instant::Instant;
use crate::message::{
    ControlRecord, FetchResponse, FetchSnapshotResponse, LeaderInfo, Records, Request, Response,
    SnapshotId,
};
use crate::voter_set::{Endpoint, ReplicaKey};

/// What the `quorum-state` file holds (KIP-595, KIP-853).
///
/// *Invariant:* it is on disk before anything that follows from it leaves the node, so `epoch`
/// never goes back and `voted` never changes within an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumState {
    /// The highest epoch that the node has seen.
    pub epoch: LeaderEpoch,
    /// The leader of that epoch, if it is known.
    pub leader: Option<NodeId>,
    /// Whom the node voted for in that epoch.
    pub voted: Option<ReplicaKey>,
}

/// To whom a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The node's id; `None` for a bootstrap server, of which only the address is known.
    pub node: Option<NodeId>,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// A part of the log that the answer to a fetch carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The offset of the first record; the start of a batch, if the follower's log is sound.
    pub from: Offset,
    /// The most bytes; the first batch is sent whole, however large.
    pub max_bytes: u32,
}

/// What a [`Machine`](crate::Machine) wants done, in the order in which it comes: what persists
/// first, then what is sent, then what is applied.
#[derive(Clone, Debug)]
pub enum Effect {
    // Persist.
    /// Write the `quorum-state` file, durably, before anything that follows.
    PersistQuorumState(QuorumState),
    /// Delete the records from this offset on.
    Truncate { to: Offset },
    /// Append the records of a proposal as one batch.
    AppendProposal { proposal: ProposalId, base_offset: Offset, epoch: LeaderEpoch, records: u32 },
    /// Append a control batch of these records.
    AppendControl { base_offset: Offset, epoch: LeaderEpoch, records: Vec<ControlRecord> },
    /// Append batches that the leader sent, as they are.
    AppendFetched { base_offset: Offset, records: Records },
    /// Bring the log to disk, then report [`Event::Flushed`](crate::Event::Flushed).
    Flush(FlushPoint),
    /// Write a part of a snapshot that the leader sends; at position 0, start a new file.
    WriteSnapshot { id: SnapshotId, position: u64, bytes: Bytes },
    /// The snapshot is whole: make it durable, let the log start anew at its end, forget what was
    /// applied and apply the snapshot, then report
    /// [`Event::SnapshotInstalled`](crate::Event::SnapshotInstalled) as the next event.
    InstallSnapshot { id: SnapshotId },
    // Send.
    /// Send a request.
    Send { id: RequestId, to: Destination, request: Request },
    /// Answer a request.
    Respond { token: Token, response: Response },
    /// Answer a fetch, with the records of `read` filled in.
    RespondFetch { token: Token, response: FetchResponse, read: Option<LogRange> },
    /// Answer a snapshot fetch: fill in size and bytes, or an error if there is no such snapshot
    /// (`SNAPSHOT_NOT_FOUND`) or position (`POSITION_OUT_OF_RANGE`).
    RespondSnapshot { token: Token, response: FetchSnapshotResponse, max_bytes: u32 },
    // Apply.
    /// The leader or the epoch is another one.
    LeaderChanged(LeaderInfo),
    /// This node leads. It is ready to serve once all below `epoch_start_offset` is applied and
    /// the high watermark is above it.
    BecameLeader { epoch: LeaderEpoch, epoch_start_offset: Offset },
    /// This node leads no more. What it appended in `epoch` may or may not survive.
    LostLeadership { epoch: LeaderEpoch },
    /// A proposal is not in the log, and will never be.
    ProposalRejected { proposal: ProposalId, error: ErrorCode },
    /// All records below this offset are committed: apply them.
    Committed { high_watermark: Offset },
    /// The graceful shutdown is done.
    Stopped,
    /// Something that cannot be is so. The process must exit, and must not write to its log.
    Halt(Violation),
    /// Call with [`Event::Tick`](crate::Event::Tick) at this time; replaces any earlier wish.
    ScheduleTick(Instant),
}

/// A broken assumption, on which the machine stops rather than lose what is committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The leader's log lacks records that this node knows to be committed.
    #[error("asked to truncate to {to}, below the high watermark {high_watermark}")]
    TruncateCommitted { to: Offset, high_watermark: Offset },
    /// Two nodes say that they lead one epoch.
    #[error("epoch {epoch} has two leaders, {known} and {other}")]
    TwoLeaders { epoch: LeaderEpoch, known: NodeId, other: NodeId },
}

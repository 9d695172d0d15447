//! KRaft consensus as a pure machine, and the simulator that tries it.
//!
//! [`Machine`] is one node's part in the quorum that keeps `__cluster_metadata-0`: it elects
//! (KIP-595, with pre-vote, KIP-996), replicates by fetching, moves the high watermark, sends
//! snapshots (KIP-630) and changes its voters (KIP-853). It has no clock, disk, socket, thread or
//! randomness: [`Event`]s and the time go in, [`Effect`]s come out.
//!
//! A coordinator runs it over a log on disk, a broker as an observer
//! ([`Config::can_vote`] = false) over a log in memory.
//!
//! # How to drive it
//! One task owns the machine. It starts with
//!
//! 1. [`LogShape`] of what is on disk: [`LogShape::from_snapshot`] of the snapshot that the log
//!    starts at (a founding voter's is `00000000000000000000-0000000000.checkpoint`, with the
//!    initial voters in it), then [`LogShape::restore`] for each batch of the log, or for each
//!    epoch of its checkpoint and each batch with a `VotersRecord`, in order;
//!    [`LogShape::restore_snapshot`] for the latest snapshot. If the log
//!    [`is_behind`](LogShape::is_behind) the latest snapshot, it is dropped and the shape is that
//!    of the snapshot alone. A node with an empty disk that does
//!    not found the quorum starts with [`LogShape::empty`].
//! 2. [`QuorumState`] from the `quorum-state` file (`Default` if there is none),
//! 3. [`Machine::new`], then [`Event::Tick`].
//!
//! What was found at the start need not be durable (a process that was killed leaves unsynced
//! writes in the page cache): the machine has `quorum-state` written and the log flushed anew with
//! the first event, before it lets anybody count on them.
//!
//! For every event it calls [`Machine::on`] and carries out **all effects, in order, before the
//! next event**. The machine gives them as *persist, then send, then apply*:
//!
//! - [`Effect::PersistQuorumState`] must be on disk (written, synced, renamed, directory synced)
//!   before the next effect. If it fails, the process exits. A broker ignores it.
//! - `Truncate`, `Append…` change the log at once, so that a read sees them, but need not be on
//!   disk. Offsets are those that the machine names; batches carry its epoch.
//! - [`Effect::Flush`] may run beside other work and may cover later appends;
//!   [`Event::Flushed`] with its point comes when it is done. Only the latest of several needs to
//!   be reported. A flush that fails ends the process. Until a follower's flush is reported, it
//!   does not fetch; the leader's own disk is counted towards commits only after it.
//! - [`Effect::InstallSnapshot`]: first the snapshot is made durable under its name, then the log
//!   is dropped, in this order, so that a crash between them finds a snapshot that is ahead of its
//!   log (the log is then dropped at the start). What was applied is replaced by the snapshot's
//!   content. [`Event::SnapshotInstalled`] must be the next event.
//! - `Send`, `Respond…` never wait for the network: what cannot be sent is reported later as
//!   [`Event::RequestFailed`] or dropped. Answers that come after their request timed out are
//!   ignored by the machine, so any order is fine. [`Effect::RespondFetch`] reads the log
//!   when it is carried out.
//! - [`Effect::Committed`] allows to apply all records below the high watermark. In the same
//!   batch of effects it always comes after the append of what it covers.
//! - [`Effect::BecameLeader`]: the leader may serve once it applied all below
//!   `epoch_start_offset` and the high watermark is above it. Until then its image of the cluster
//!   may lack what is committed.
//! - [`Effect::Halt`] means that a promise of the protocol is broken: exit, touch nothing.
//!
//! Who proposes ([`Event::Propose`]) learns its offset from [`Effect::AppendProposal`] and that it
//! is committed from [`Effect::Committed`]. If [`Effect::LostLeadership`] comes first, the fate
//! of the proposal is open. How much is in flight is the driver's to bound.
//!
//! Beyond that the driver checks what the machine does not see: the cluster id of every request
//! (`INCONSISTENT_CLUSTER_ID`), and the soundness of record batches.
//!
//! # What makes failover fast
//! The machine does not wait for a timeout where the world already knows: report
//! [`Event::ConnectionLost`] as soon as a connection to another node is closed by it, in whatever
//! direction it was opened, and [`Event::RequestFailed`] as soon as a connection is refused. A
//! follower that so suspects its leader asks for pre-votes within
//! [`Config::election_jitter`]. That is harmless if the leader lives: voters that hear from it
//! refuse.

mod config;
mod effect;
mod event;
mod instant;
mod jitter;
mod log_shape;
mod machine;
mod message;
pub mod rpc;
mod voter_set;

#[cfg(feature = "planted")]
pub mod planted;
#[cfg(feature = "sim")]
pub mod sim;

pub use config::{Config, ConfigError};
pub use effect::{Destination, Effect, LogRange, QuorumState, Violation};
pub use event::{Event, FlushPoint, ProposalId, RequestId, Token};
pub use instant::Instant;
pub use log_shape::{LogShape, NotContiguous};
pub use machine::{Machine, QuorumInfo, ReplicaInfo, RoleName};
pub use message::{
    AddVoterRequest, BatchShape, BeginQuorumEpochRequest, ControlRecord, EndQuorumEpochRequest,
    EpochEndOffset, FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse,
    LeaderInfo, QuorumEpochResponse, Records, RemoveVoterRequest, Request, Response, SnapshotId,
    UpdateVoterRequest, VoteRequest, VoteResponse, VoterChangeResponse,
};
pub use voter_set::{
    DirectoryId, ENDPOINT_TEXT_BYTES_MAX, ENDPOINTS_MAX, Endpoint, ReplicaKey, VOTERS_MAX, Voter,
    VoterSet,
};

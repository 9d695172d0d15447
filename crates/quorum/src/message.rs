//! The quorum's requests and answers: one struct a KRaft RPC, without topic and partition wrapping.
//!
//! Sources: KIP-595 (Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch), KIP-630 (FetchSnapshot),
//! KIP-853 (voter keys, changes of voters), KIP-996 (pre-vote), KIP-1166 (high watermark in Fetch).
//! A missing number or id on the wire (−1, the zero UUID) is `None` here.

use bytes::Bytes;
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset};

use crate::voter_set::{Endpoint, ReplicaKey, Voter, VoterSet};

/// A snapshot of the log's prefix: all records below `end_offset`, the last of them of `epoch`.
///
/// `Default` is the bootstrap snapshot `00000000000000000000-0000000000.checkpoint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The offset after the last record in the snapshot.
    pub end_offset: Offset,
    /// The epoch of the last record in the snapshot.
    pub epoch: LeaderEpoch,
}

/// The end of an epoch's records in a log: `end_offset` is the offset after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndOffset {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end_offset: Offset,
}

/// What the sender of an answer knows of the leader. Every answer carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderInfo {
    /// The answering node's epoch.
    pub epoch: LeaderEpoch,
    /// The leader of that epoch, if it is known.
    pub leader: Option<NodeId>,
    /// Where that leader listens (the answer's `node_endpoints`).
    pub endpoint: Option<Endpoint>,
}

/// Asks for a vote (Vote, version 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// Who is asked. A node that is somebody else must refuse.
    pub voter: ReplicaKey,
    /// Who asks.
    pub candidate: ReplicaKey,
    /// The epoch that the candidate stands for; of a pre-vote, its current epoch.
    pub epoch: LeaderEpoch,
    /// The epoch of the last record in the candidate's log.
    pub last_epoch: LeaderEpoch,
    /// The end of the candidate's log.
    pub end_offset: Offset,
    /// Whether this only asks if a vote would be granted (KIP-996).
    pub pre_vote: bool,
}

/// Answers a [`VoteRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteResponse {
    /// Why the request was not considered.
    pub error: ErrorCode,
    /// The voter's epoch and leader.
    pub leader: LeaderInfo,
    /// Whether the vote was granted.
    pub granted: bool,
}

/// Tells a voter who leads (BeginQuorumEpoch, version 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpochRequest {
    /// Who is told.
    pub voter: ReplicaKey,
    /// Who leads.
    pub leader: NodeId,
    /// The epoch in which it leads.
    pub epoch: LeaderEpoch,
    /// Where the leader listens.
    pub endpoints: Vec<Endpoint>,
}

/// Answers a [`BeginQuorumEpochRequest`] or an [`EndQuorumEpochRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumEpochResponse {
    /// Why the request was refused.
    pub error: ErrorCode,
    /// The voter's epoch and leader.
    pub leader: LeaderInfo,
}

/// Tells a voter that the leader resigned (EndQuorumEpoch, version 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpochRequest {
    /// Who led.
    pub leader: NodeId,
    /// The epoch that it led.
    pub epoch: LeaderEpoch,
    /// Who should stand first, the one with the longest log before the others.
    pub preferred_candidates: Vec<ReplicaKey>,
    /// Where the leader listens.
    pub endpoints: Vec<Endpoint>,
}

/// Asks the leader for records of the log (Fetch of `__cluster_metadata-0`, version 17 or 18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Who asks.
    pub replica: ReplicaKey,
    /// The epoch of the leader that is asked (`current_leader_epoch`).
    pub epoch: LeaderEpoch,
    /// The end of the asking replica's log, all of which it has flushed.
    pub fetch_offset: Offset,
    /// The epoch of the last record before `fetch_offset`; zero for an empty log.
    pub last_fetched_epoch: LeaderEpoch,
    /// How long to wait for records, in milliseconds.
    pub max_wait_ms: u32,
    /// The most bytes to return.
    pub max_bytes: u32,
    /// The high watermark that the replica knows (KIP-1166). `None` if it did not say, for which
    /// the wire has `i64::MAX`; the wire's −1, "I know none", is `Some(Offset(-1))`.
    pub high_watermark: Option<Offset>,
}

/// Answers a [`FetchRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponse {
    /// Why there is nothing.
    pub error: ErrorCode,
    /// The answering node's epoch and leader.
    pub leader: LeaderInfo,
    /// The leader's high watermark, unless it does not know one yet.
    pub high_watermark: Option<Offset>,
    /// The first offset of the leader's log.
    pub log_start_offset: Offset,
    /// Set if the replica's log differs from the leader's: where to truncate to.
    pub diverging_epoch: Option<EpochEndOffset>,
    /// Set if the replica needs a snapshot: which.
    pub snapshot_id: Option<SnapshotId>,
    /// The records.
    pub records: Records,
}

/// Record batches as a fetch returned them, and what the machine must know of them.
///
/// The driver parses and checks the batches (CRC, sizes) before it hands them in, and drops an
/// incomplete one at the end. The machine only passes the bytes through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The batches, one after the other.
    pub bytes: Bytes,
    /// What is in them, in order.
    pub batches: Vec<BatchShape>,
}

/// What the machine must know of one record batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The leader epoch of the batch.
    pub epoch: LeaderEpoch,
    /// The content of the last `VotersRecord` in it, if it is a control batch that has one.
    pub voters: Option<VoterSet>,
}

/// Asks the leader for a part of a snapshot (FetchSnapshot, version 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshotRequest {
    /// Who asks.
    pub replica: ReplicaKey,
    /// The epoch of the leader that is asked.
    pub epoch: LeaderEpoch,
    /// Which snapshot.
    pub snapshot_id: SnapshotId,
    /// From which byte on.
    pub position: u64,
    /// The most bytes to return.
    pub max_bytes: u32,
}

/// Answers a [`FetchSnapshotRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchSnapshotResponse {
    /// Why there is nothing.
    pub error: ErrorCode,
    /// The answering node's epoch and leader.
    pub leader: LeaderInfo,
    /// Which snapshot this is a part of.
    pub snapshot_id: SnapshotId,
    /// The size of the whole snapshot, in bytes.
    pub size: u64,
    /// The position of the first byte.
    pub position: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// Asks the leader to add a voter (AddRaftVoter, version 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddVoterRequest {
    /// Who is to vote.
    pub voter: Voter,
    /// How long to wait for it to catch up and for the change to commit, in milliseconds.
    pub timeout_ms: u32,
    /// Whether to answer only once the change is committed (else once it is in the log).
    pub ack_when_committed: bool,
}

/// Asks the leader to remove a voter (RemoveRaftVoter, version 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveVoterRequest {
    /// Who is to vote no more.
    pub voter: ReplicaKey,
}

/// Tells the leader that a voter's endpoints or versions changed (UpdateRaftVoter, version 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVoterRequest {
    /// The epoch of the leader that is asked.
    pub epoch: LeaderEpoch,
    /// The voter as it is now.
    pub voter: Voter,
}

/// Answers a change of the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterChangeResponse {
    /// Whether the change was made.
    pub error: ErrorCode,
    /// The answering node's epoch and leader.
    pub leader: LeaderInfo,
}

/// Any request of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Key 52.
    Vote(VoteRequest),
    /// Key 53.
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    /// Key 54.
    EndQuorumEpoch(EndQuorumEpochRequest),
    /// Key 1.
    Fetch(FetchRequest),
    /// Key 59.
    FetchSnapshot(FetchSnapshotRequest),
    /// Key 80.
    AddVoter(AddVoterRequest),
    /// Key 81.
    RemoveVoter(RemoveVoterRequest),
    /// Key 82.
    UpdateVoter(UpdateVoterRequest),
}

/// Any answer of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Answers [`Request::Vote`].
    Vote(VoteResponse),
    /// Answers [`Request::BeginQuorumEpoch`].
    BeginQuorumEpoch(QuorumEpochResponse),
    /// Answers [`Request::EndQuorumEpoch`].
    EndQuorumEpoch(QuorumEpochResponse),
    /// Answers [`Request::Fetch`].
    Fetch(FetchResponse),
    /// Answers [`Request::FetchSnapshot`].
    FetchSnapshot(FetchSnapshotResponse),
    /// Answers [`Request::AddVoter`].
    AddVoter(VoterChangeResponse),
    /// Answers [`Request::RemoveVoter`].
    RemoveVoter(VoterChangeResponse),
    /// Answers [`Request::UpdateVoter`].
    UpdateVoter(VoterChangeResponse),
}

impl Response {
    /// What the answering node knows of the leader.
    pub fn leader(&self) -> &LeaderInfo {
        match self {
            Self::Vote(response) => &response.leader,
            Self::BeginQuorumEpoch(response) | Self::EndQuorumEpoch(response) => &response.leader,
            Self::Fetch(response) => &response.leader,
            Self::FetchSnapshot(response) => &response.leader,
            Self::AddVoter(response)
            | Self::RemoveVoter(response)
            | Self::UpdateVoter(response) => &response.leader,
        }
    }
}

/// A control record that the leader writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// `LeaderChangeMessage`: the first record of an epoch.
    LeaderChange {
        /// Who leads.
        leader: NodeId,
        /// Who could vote.
        voters: Vec<ReplicaKey>,
        /// Who did vote for it.
        granting_voters: Vec<ReplicaKey>,
    },
    /// `KRaftVersionRecord`.
    KRaftVersion(i16),
    /// `VotersRecord`.
    Voters(VoterSet),
}

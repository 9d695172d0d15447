//! Requests as groups see them: without versions and frames, as far as these do not matter.

use bytes::Bytes;
use vltava_wire::messages::offset_commit::OffsetCommitRequestTopic;
use vltava_wire::messages::offset_delete::OffsetDeleteRequestTopic;
use vltava_wire::messages::offset_fetch::OffsetFetchRequestTopics;
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ShareGroupHeartbeatRequest};
use vltava_wire::{ErrorCode, Str};

use crate::shard::TxnProducer;

/// A member's assignment protocols by preference: the name, and what the leader should know.
pub type Protocols = Vec<(Str, Bytes)>;

/// A member enters, or comes back to, a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinCall {
    /// The group.
    pub group_id: Str,
    /// The version of the request; from 4 on new members must come back with their id (KIP-394),
    /// from 9 on a static leader may be told to skip the assignment.
    pub version: i16,
    /// The member's id; empty for one that has none yet.
    pub member_id: Str,
    /// The static member's own name (KIP-345).
    pub instance_id: Option<Str>,
    /// The client's name for itself.
    pub client_id: Str,
    /// The client's address, as Kafka shows it: `/127.0.0.1`.
    pub client_host: Str,
    /// How long the member may be silent.
    pub session_timeout_ms: i32,
    /// How long the group waits for the member to come back when it rebalances.
    pub rebalance_timeout_ms: i32,
    /// The kind of protocols; `consumer` for consumers.
    pub protocol_type: Str,
    /// The protocols.
    pub protocols: Protocols,
    /// Why the member joins (KIP-800).
    pub reason: Option<Str>,
    /// Randomness for a new member's id.
    pub random: u128,
}

/// A member asks for its assignment; the leader brings everybody's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncCall {
    /// The group.
    pub group_id: Str,
    /// The generation that the member is in.
    pub generation: i32,
    /// The member's id.
    pub member_id: Str,
    /// The static member's own name.
    pub instance_id: Option<Str>,
    /// The kind of protocols that the member believes in, if it says so (KIP-559).
    pub protocol_type: Option<Str>,
    /// The protocol that the member believes in.
    pub protocol: Option<Str>,
    /// From the leader: every member's assignment.
    pub assignments: Vec<(Str, Bytes)>,
}

/// A member is alive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeartbeatCall {
    /// The group.
    pub group_id: Str,
    /// The generation that the member is in.
    pub generation: i32,
    /// The member's id.
    pub member_id: Str,
    /// The static member's own name.
    pub instance_id: Option<Str>,
}

/// A member of a group of the new protocol joins, stays or leaves (KIP-848).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerHeartbeatCall {
    /// What it says.
    pub request: ConsumerGroupHeartbeatRequest,
    /// The version of the request; from 1 on members bring their own ids (KIP-1082).
    pub version: i16,
    /// The client's name for itself.
    pub client_id: Str,
    /// The client's address, as Kafka shows it: `/127.0.0.1`.
    pub client_host: Str,
    /// Randomness for the id of a member that brings none.
    pub random: u128,
}

/// A member of a share group joins, stays or leaves (KIP-932).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareHeartbeatCall {
    /// What it says.
    pub request: ShareGroupHeartbeatRequest,
    /// The client's name for itself.
    pub client_id: Str,
    /// The client's address, as Kafka shows it: `/127.0.0.1`.
    pub client_host: Str,
}

/// One that is to leave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaver {
    /// The member's id; empty where a static member is named by its instance id alone.
    pub member_id: Str,
    /// The static member's own name.
    pub instance_id: Option<Str>,
    /// Why it leaves (KIP-800).
    pub reason: Option<Str>,
}

/// Members leave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaveCall {
    /// The group.
    pub group_id: Str,
    /// Who leaves.
    pub members: Vec<Leaver>,
}

/// Offsets are committed. The topics are known to exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitCall {
    /// The group.
    pub group_id: Str,
    /// The version of the request; members of the new protocol commit from 9 on only.
    pub version: i16,
    /// The generation, or member epoch, that the member is in; negative for one who manages
    /// partitions alone.
    pub generation: i32,
    /// The member's id; empty for one who manages partitions alone.
    pub member_id: Str,
    /// The static member's own name.
    pub instance_id: Option<Str>,
    /// How long to keep the offsets, in ms; −1 for the broker's own rule. Versions 2 to 4 only.
    pub retention_ms: i64,
    /// The offsets; each topic has its name, and from version 10 on its id too.
    pub topics: Vec<OffsetCommitRequestTopic>,
    /// The producer in whose transaction they are committed (TxnOffsetCommit).
    pub transaction: Option<TxnProducer>,
}

/// Committed offsets are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchCall {
    /// The group.
    pub group_id: Str,
    /// The partitions; none for all that the group has. Each topic has its name, and from
    /// version 10 on its id too.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
    /// The member that asks, of a group of the new protocol, if it says so.
    pub member_id: Option<Str>,
    /// The epoch that it is in; negative for one who says none.
    pub member_epoch: i32,
    /// Whether to wait for what is being committed (KIP-447).
    pub require_stable: bool,
}

/// Committed offsets are deleted. The topics are known to exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OffsetDeleteCall {
    /// The group.
    pub group_id: Str,
    /// The partitions.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// Which groups to list (KIP-518, KIP-848); an empty filter lets all through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListFilter {
    /// The states, however capitalised.
    pub states: Vec<Str>,
    /// The types, however capitalised.
    pub types: Vec<Str>,
}

/// What became of each group that was to be deleted.
pub type Deletions = Vec<(Str, ErrorCode)>;

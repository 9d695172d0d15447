//! One member of a group.

use bytes::Bytes;
use vltava_wire::Str;
use vltava_wire::messages::describe_groups::DescribedGroupMember;
use vltava_wire::records::group::MemberMetadata;

use super::calls::{JoinCall, Protocols};
use super::desk::Token;
use super::timer::Deadline;

/// A member and what it waits for.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: Str,
    pub(super) instance_id: Option<Str>,
    pub(super) client_id: Str,
    pub(super) client_host: Str,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// By preference.
    pub(super) protocols: Protocols,
    /// What the leader gave it in the last generation.
    pub(super) assignment: Bytes,
    /// The JoinGroup that waits for the join phase to end.
    pub(super) awaiting_join: Option<Token>,
    /// The SyncGroup that waits for the leader's assignment.
    pub(super) awaiting_sync: Option<Token>,
    /// Whether it has not been in any generation yet.
    pub(super) is_new: bool,
    /// When it is given up, unless it is heard of.
    pub(super) session: Deadline,
}

impl Member {
    /// A member that joins for the first time.
    pub(super) fn joining(id: Str, call: &JoinCall) -> Self {
        Self {
            id,
            instance_id: call.instance_id.as_ref().map(Str::detach),
            client_id: call.client_id.detach(),
            client_host: call.client_host.detach(),
            session_timeout_ms: call.session_timeout_ms,
            rebalance_timeout_ms: call.rebalance_timeout_ms,
            protocols: detached(&call.protocols),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
            session: Deadline::default(),
        }
    }

    /// A member as it was stored, in a group that uses `protocol`.
    pub(super) fn stored(stored: &MemberMetadata, protocol: &Str) -> Self {
        let subscription = Bytes::copy_from_slice(&stored.subscription);
        Self {
            id: stored.member_id.detach(),
            instance_id: stored.group_instance_id.as_ref().map(Str::detach),
            client_id: stored.client_id.detach(),
            client_host: stored.client_host.detach(),
            session_timeout_ms: stored.session_timeout,
            rebalance_timeout_ms: match stored.rebalance_timeout {
                -1 => stored.session_timeout,
                timeout => timeout,
            },
            protocols: vec![(protocol.detach(), subscription)],
            assignment: Bytes::copy_from_slice(&stored.assignment),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            session: Deadline::default(),
        }
    }

    /// Whether it need not send heartbeats: it waits for an answer. One that is new is watched
    /// all the same, as its client may have gone before it was ever answered.
    pub(super) fn waits(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// What it said with that protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| *name == *protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// The member as it is stored, with the assignment that it is to have.
    pub(super) fn to_stored(&self, protocol: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// The member as it is described; `protocol` is that of a stable group.
    pub(super) fn describe(&self, protocol: Option<&str>) -> DescribedGroupMember {
        DescribedGroupMember {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            member_metadata: protocol.map(|name| self.metadata(name)).unwrap_or_default(),
            member_assignment: self.assignment.clone(),
        }
    }
}

/// Protocols that do not keep the frame alive in which they came. Of a name that comes twice the
/// first holds.
pub(super) fn detached(protocols: &Protocols) -> Protocols {
    let mut kept: Protocols = Vec::with_capacity(protocols.len());
    for (name, metadata) in protocols {
        if kept.iter().all(|(other, _)| other != name) {
            kept.push((name.detach(), Bytes::copy_from_slice(metadata)));
        }
    }
    kept
}

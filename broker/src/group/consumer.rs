//! Groups of the new protocol (KIP-848): the coordinator itself assigns partitions, and brings
//! each member there by heartbeats, revoking before it assigns.
//!
//! A group is what its records say and nothing more (but clocks): whatever happens becomes
//! [`Change`]s, which are applied and written at once, and taken back if the log refuses them;
//! loading applies the same changes. Members move one by one: one that has to give partitions up
//! stays in its epoch until it says that it has; one whose partitions others still hold moves on
//! and gets them when they are free. So no partition ever has two owners.

pub(super) mod assignor;
pub(super) mod change;
pub(super) mod classic;
pub(super) mod describe;
mod heartbeat;
mod leave;
mod reconcile;
mod subscription;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vltava_wire::records::consumer_group::{
    ConsumerGroupMemberMetadataValue, ConsumerGroupRegularExpressionValue,
};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::calls::CommitCall;
use super::desk::Desk;
use super::timer::{Deadline, Due};
pub(super) use change::{Change, Edit};
use heartbeat::newcomer;
pub(super) use heartbeat::validate;
pub(super) use subscription::hash_of;

/// Partitions by their topic's id.
pub(super) type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// The epoch with which a member joins.
pub(super) const JOIN_EPOCH: i32 = 0;
/// The epoch with which a member leaves for good.
pub(super) const LEAVE_EPOCH: i32 = -1;
/// The epoch with which a static member leaves for a while.
pub(super) const LEAVE_STATIC_EPOCH: i32 = -2;

/// Where a member is on its way to its target; the numbers are those of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MemberState {
    /// It has what it is to have, as far as is known.
    #[default]
    Stable,
    /// It has to give partitions up before it moves on.
    Unrevoked,
    /// It waits for partitions that others hold.
    Unreleased,
    /// A later version wrote something else.
    Unknown,
}

impl MemberState {
    pub(super) const fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::Unrevoked,
            2 => Self::Unreleased,
            _ => Self::Unknown,
        }
    }

    pub(super) const fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::Unrevoked => 1,
            Self::Unreleased => 2,
            Self::Unknown => 127,
        }
    }
}

/// What a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(super) assigned: Partitions,
    /// What it has to give up and may still read.
    pub(super) revoking: Partitions,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Member {
    /// What it said of itself.
    pub(super) about: ConsumerGroupMemberMetadataValue,
    pub(super) current: Current,
}

/// The name of a group's state in Kafka's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConsumerGroupState {
    /// No members.
    Empty,
    /// The target assignment is older than the group.
    Assigning,
    /// Members are on their way to it.
    Reconciling,
    /// Every member is there.
    Stable,
}

impl ConsumerGroupState {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// When a member is given up.
#[derive(Clone, Debug, Default)]
struct Clocks {
    /// Unless it is heard of.
    session: Deadline,
    /// Unless it has given up what it has to, as it stood when this began to run.
    rebalance: Deadline,
    revoked_from: Option<Box<Current>>,
    /// Unless it joins again, being a classic member that should.
    rejoin: Deadline,
    /// Unless it asks for what it has, being a classic member that has joined.
    collection: Deadline,
}

/// Why a request is refused, and what is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// One group.
#[derive(Debug, Default)]
pub(super) struct ConsumerGroup {
    pub(super) id: Str,
    /// Counts what changes who should have what.
    pub(super) epoch: i32,
    /// Of the topics that the group subscribes to; when it changes, partitions are assigned anew.
    pub(super) metadata_hash: i64,
    /// The epoch that the targets were made for.
    pub(super) assignment_epoch: i32,
    pub(super) members: BTreeMap<Str, Member>,
    /// What each member is to have.
    pub(super) targets: BTreeMap<Str, Partitions>,
    /// What each regular expression stands for.
    pub(super) regexes: BTreeMap<Str, ConsumerGroupRegularExpressionValue>,
    /// Instance id to member id.
    pub(super) static_members: HashMap<Str, Str>,
    /// Who holds each partition that anybody holds.
    owners: HashMap<(Uuid, i32), Str>,
    clocks: HashMap<Str, Clocks>,
    /// Whether topics may have changed since the group was last assigned.
    pub(super) metadata_stale: bool,
}

impl ConsumerGroup {
    pub(super) fn new(id: Str) -> Self {
        Self { id, metadata_stale: true, ..Self::default() }
    }

    pub(super) fn state(&self) -> ConsumerGroupState {
        let settled = |member: &Member| {
            member.current.state == MemberState::Stable
                && member.current.epoch == self.assignment_epoch
        };
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(settled) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// Whether a partition can be given to a member: nobody else holds it.
    pub(super) fn is_free_for(&self, topic: Uuid, partition: i32, member_id: &str) -> bool {
        self.owners.get(&(topic, partition)).is_none_or(|owner| *owner == *member_id)
    }

    /// Whether any member reads that topic, by its name or by a regular expression.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        let by_name = |member: &Member| {
            member.about.subscribed_topic_names.iter().any(|name| *name == *topic)
        };
        let mut resolved = self.regexes.values();
        self.members.values().any(by_name)
            || resolved.any(|regex| regex.topics.iter().any(|name| *name == *topic))
    }

    /// The topics that a member subscribes to, whether they exist or not.
    pub(super) fn topics_of<'a>(
        &'a self,
        about: &'a ConsumerGroupMemberMetadataValue,
    ) -> impl Iterator<Item = &'a Str> {
        let regex = about.subscribed_topic_regex.as_ref().filter(|regex| !regex.is_empty());
        let resolved = regex.and_then(|regex| self.regexes.get(regex));
        let resolved = resolved.into_iter().flat_map(|regex| &regex.topics);
        about.subscribed_topic_names.iter().chain(resolved)
    }

    /// Gives a member its session timeout from now on.
    pub(super) fn renew_session(&mut self, member_id: &Str, desk: &mut Desk) {
        let Some(member) = self.members.get(member_id) else { return };
        let classic = member.about.classic_member_metadata.as_ref();
        let timeout =
            classic.map_or(desk.session_timeout_ms(&self.id), |own| own.session_timeout_ms);
        let due = || Due::Member { group: self.id.clone(), member: member_id.clone() };
        let clocks = self.clocks.entry(member_id.clone()).or_default();
        clocks.session.set(desk.now.after(timeout), &mut desk.timers, due);
    }

    /// Has the rebalance timeout run as long as the member has partitions to give up; from the
    /// beginning, if they are not the same any more.
    pub(super) fn watch_revocation(&mut self, member_id: &Str, desk: &mut Desk) {
        let Some(member) = self.members.get(member_id) else { return };
        let clocks = self.clocks.entry(member_id.clone()).or_default();
        // Classic members are to join again in that time, which has a clock of its own.
        let classic = member.about.classic_member_metadata.is_some();
        if classic || member.current.state != MemberState::Unrevoked {
            clocks.rebalance.clear();
            clocks.revoked_from = None;
            return;
        }
        if clocks.revoked_from.as_deref() == Some(&member.current) {
            return;
        }
        clocks.revoked_from = Some(Box::new(member.current.clone()));
        let timeout = member.about.rebalance_timeout_ms;
        let due = || Due::Revocation { group: self.id.clone(), member: member_id.clone() };
        clocks.rebalance.set(desk.now.after(timeout), &mut desk.timers, due);
    }

    /// A timer of a member came up: whether the member is to be given up.
    pub(super) fn is_overdue(&mut self, due: &Due, entry: u64, desk: &mut Desk) -> bool {
        let Some((_, member)) = due.of_member() else { return false };
        let Some(clocks) = self.clocks.get_mut(member) else { return false };
        let deadline = match due {
            Due::Revocation { .. } => &mut clocks.rebalance,
            Due::Rejoin { .. } => &mut clocks.rejoin,
            Due::Collection { .. } => &mut clocks.collection,
            _ => &mut clocks.session,
        };
        deadline.reached(entry, desk.now.mono, &mut desk.timers, || due.clone())
            && self.members.contains_key(member)
    }

    /// The clocks of all members start, as after loading.
    pub(super) fn start_clocks(&mut self, desk: &mut Desk) {
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            self.renew_session(&id, desk);
            self.watch_revocation(&id, desk);
        }
    }

    /// The clocks of members who are back start; those of others go on.
    pub(super) fn start_missing_clocks(&mut self, desk: &mut Desk) {
        let missing = self.members.keys().filter(|id| !self.clocks.contains_key(*id));
        let missing: Vec<Str> = missing.cloned().collect();
        for id in missing {
            self.renew_session(&id, desk);
            self.watch_revocation(&id, desk);
        }
    }

    /// Forgets the clocks of those who are gone, so that they cost nothing.
    pub(super) fn drop_clocks(&mut self) {
        let members = &self.members;
        self.clocks.retain(|id, _| members.contains_key(id));
    }

    /// Whether one may commit offsets as this member (KIP-848).
    pub(super) fn validate_commit(&self, call: &CommitCall) -> Result<(), ErrorCode> {
        /// The first version that knows of member epochs.
        const MEMBER_EPOCHS_SINCE: i16 = 9;
        let CommitCall { generation: epoch, version, .. } = *call;
        // Admin clients and consumers that manage partitions alone have no epoch.
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let in_transaction = call.transaction.is_some();
        let is_anonymous = epoch < 0 && call.member_id.is_empty() && call.instance_id.is_none();
        if in_transaction && is_anonymous {
            return Ok(());
        }
        let member = self.members.get(&call.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let classic = member.about.classic_member_metadata.is_some();
        match (epoch == member.current.epoch, classic) {
            (_, false) if version < MEMBER_EPOCHS_SINCE && !in_transaction => {
                Err(ErrorCode::UNSUPPORTED_VERSION)
            }
            (true, _) => Ok(()),
            // Transactions know of generations only.
            (false, classic) if classic || in_transaction => Err(ErrorCode::ILLEGAL_GENERATION),
            (false, _) => Err(ErrorCode::STALE_MEMBER_EPOCH),
        }
    }

    /// Whether one may read offsets as this member; one who names none may always.
    pub(super) fn validate_fetch(
        &self,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = self.members.get(member_id.unwrap_or_default());
        let member = member.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        match (member.current.epoch == epoch, &member.about.classic_member_metadata) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(ErrorCode::ILLEGAL_GENERATION),
            (false, None) => Err(ErrorCode::STALE_MEMBER_EPOCH),
        }
    }
}

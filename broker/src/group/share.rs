//! Share groups (KIP-932): who is a member, who reads which partitions, and for which partitions
//! the share coordinator keeps what became of their records.
//!
//! A sibling of [`consumer`](super::consumer): a group is what its records say and nothing more
//! (but clocks), and whatever happens becomes [`Change`]s. Members share partitions, so nobody has
//! to give anything up before another is given it. But a partition is assigned only once the share
//! coordinator knows of it: the group asks for that, and is told when it is so.

pub(super) mod assignor;
pub(super) mod change;
pub(super) mod describe;
mod heartbeat;
mod offsets;
pub(super) mod record;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vltava_metadata::Image;
use vltava_wire::records::share_group::ShareGroupMemberMetadataValue;
use vltava_wire::{ErrorCode, Str, Uuid};

use super::consumer::{Partitions, Refusal};
use super::desk::Desk;
use super::timer::{Deadline, Due};
pub(super) use change::{Change, Edit};
pub(super) use heartbeat::validate;
pub use offsets::{ShareOrder, ShareOutcome, ShareTask};

/// The epoch with which a member joins.
pub(super) const JOIN_EPOCH: i32 = 0;
/// The epoch with which a member leaves.
pub(super) const LEAVE_EPOCH: i32 = -1;

/// How long a share-partition may be on its way to the share coordinator before it is asked again,
/// in milliseconds.
pub(super) const INITIALIZE_AGAIN_MS: i32 = 30_000;

/// One member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Member {
    /// What it said of itself.
    pub(super) about: ShareGroupMemberMetadataValue,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) assigned: Partitions,
}

/// A topic with partitions that the share coordinator knows, or is to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicState {
    pub(super) name: Str,
    pub(super) partitions: BTreeSet<i32>,
}

/// How far the group is with the share coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StatePartitions {
    /// It was asked to know of these, and has not answered yet.
    pub(super) initializing: BTreeMap<Uuid, TopicState>,
    /// It knows of these.
    pub(super) initialized: BTreeMap<Uuid, TopicState>,
    /// It was asked to forget these topics, and has not answered yet.
    pub(super) deleting: BTreeMap<Uuid, Str>,
}

/// One share group.
#[derive(Debug, Default)]
pub(super) struct ShareGroup {
    pub(super) id: Str,
    /// Counts what changes who should have what.
    pub(super) epoch: i32,
    /// Of the topics that the group subscribes to.
    pub(super) metadata_hash: i64,
    /// The epoch that the targets were made for.
    pub(super) assignment_epoch: i32,
    pub(super) members: BTreeMap<Str, Member>,
    /// What each member is to have.
    pub(super) targets: BTreeMap<Str, Partitions>,
    pub(super) states: StatePartitions,
    sessions: HashMap<Str, Deadline>,
    /// Whether topics may have changed since the group was last assigned.
    pub(super) metadata_stale: bool,
    /// When the share coordinator is asked again, by the monotonic clock.
    ask_again_at: u64,
}

impl ShareGroup {
    pub(super) fn new(id: Str) -> Self {
        Self { id, metadata_stale: true, ..Self::default() }
    }

    /// The name of its state in Kafka's answers.
    pub(super) fn state(&self) -> &'static str {
        if self.members.is_empty() { "Empty" } else { "Stable" }
    }

    /// The topics that the group subscribes to, of those that exist: their ids and how many
    /// partitions they have, by name.
    pub(super) fn subscribed_topics(&self, image: &Image) -> BTreeMap<Str, (Uuid, i32)> {
        let names = self.members.values().flat_map(|member| &member.about.subscribed_topic_names);
        let topics = names.filter_map(|name| {
            let topic = image.topic(name)?;
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            Some((name.clone(), (topic.id, partitions)))
        });
        topics.collect()
    }

    /// Gives a member its session timeout from now on.
    pub(super) fn renew_session(&mut self, member_id: &Str, timeout_ms: i32, desk: &mut Desk) {
        if !self.members.contains_key(member_id) {
            return;
        }
        let due = || Due::Member { group: self.id.clone(), member: member_id.clone() };
        let session = self.sessions.entry(member_id.clone()).or_default();
        session.set(desk.now.after(timeout_ms), &mut desk.timers, due);
    }

    /// A timer of a member came up: whether the member is to be given up.
    pub(super) fn is_overdue(&mut self, due: &Due, entry: u64, desk: &mut Desk) -> bool {
        let Due::Member { member, .. } = due else { return false };
        let Some(session) = self.sessions.get_mut(member) else { return false };
        session.reached(entry, desk.now.mono, &mut desk.timers, || due.clone())
            && self.members.contains_key(member)
    }

    /// The sessions of members who have none start: of all, after loading.
    pub(super) fn start_missing_clocks(&mut self, timeout_ms: i32, desk: &mut Desk) {
        let missing = self.members.keys().filter(|id| !self.sessions.contains_key(*id));
        let missing: Vec<Str> = missing.cloned().collect();
        missing.iter().for_each(|id| self.renew_session(id, timeout_ms, desk));
    }

    /// Forgets the clocks of those who are gone, so that they cost nothing.
    pub(super) fn drop_clocks(&mut self) {
        let members = &self.members;
        self.sessions.retain(|id, _| members.contains_key(id));
    }

    /// Removes a member; what it read is for others in the group's next epoch.
    pub(super) fn remove_member(&mut self, id: &Str, image: &Image, edit: &mut Edit) {
        edit.change(self, Change::Current(id.clone(), None));
        edit.change(self, Change::Target(id.clone(), None));
        edit.change(self, Change::Member(id.clone(), None));
        let (epoch, hash) = (self.epoch.wrapping_add(1), self.compute_hash(image));
        edit.change(self, Change::Group(Some((epoch, hash))));
    }

    /// The changes that take back a group without members.
    pub(super) fn tombstones(&self) -> Vec<super::record::Record> {
        let targets = self.targets.keys().map(|member| Change::Target(member.clone(), None));
        let last = [Change::States(None), Change::TargetEpoch(None), Change::Group(None)];
        targets.chain(last).map(|change| change.to_record(&self.id)).collect()
    }

    /// Checks that there is such a member.
    fn known_member(&self, member_id: &str) -> Result<&Member, Refusal> {
        self.members.get(member_id).ok_or_else(|| {
            let message = format!("Member {member_id} is not a member of group {}.", self.id);
            Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, message)
        })
    }
}

//! Committed offsets: storing, reading, deleting and forgetting them.

use std::collections::{BTreeMap, HashMap};

use vltava_wire::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use vltava_wire::messages::offset_delete::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use vltava_wire::messages::offset_fetch::{
    OffsetFetchRequestTopics, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};
use vltava_wire::{ErrorCode, ProducerId, Str, Uuid};

use super::calls::{CommitCall, Deletions, FetchCall, OffsetDeleteCall};
use super::deletion::DeletionBatch;
use super::desk::{OffsetChange, Reply, Then, Token};
use super::machine::Shard;
use super::pending::Pending;
use super::record::{self, CommittedOffset, Record};
use super::state::{Group, GroupState};
use crate::partition::transactions::TransactionEnd;
use crate::shard::InTransaction;

/// The offsets of one group, by topic and partition.
pub(super) type GroupOffsets = BTreeMap<Str, BTreeMap<i32, CommittedOffset>>;

/// From this version on OffsetCommit knows the code for a group that there is not.
const KNOWS_ABSENT_SINCE: i16 = 9;

/// The committed offsets of all groups of a shard: those only that the high watermark has passed.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    groups: HashMap<Str, GroupOffsets>,
    /// Those of transactions that have not ended.
    pub(super) pending: Pending,
}

impl Offsets {
    pub(super) fn group(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Str> {
        self.groups.keys().chain(self.pending.groups())
    }

    /// Stores an offset, which counts more than those that are pending.
    pub(super) fn put(&mut self, group: &str, topic: &str, partition: i32, value: CommittedOffset) {
        self.pending.supersede(group, topic, partition);
        self.store(group, topic, partition, value);
    }

    /// Stores an offset; names are copied only where they are not known yet.
    fn store(&mut self, group: &str, topic: &str, partition: i32, value: CommittedOffset) {
        if !self.groups.contains_key(group) {
            self.groups.insert(Str::from(group), GroupOffsets::new());
        }
        let topics = self.groups.get_mut(group).expect("the group was just made");
        match topics.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, value);
            }
            None => {
                topics.insert(Str::from(topic), BTreeMap::from([(partition, value)]));
            }
        }
    }

    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        self.pending.remove(group, topic, partition);
        let Some(topics) = self.groups.get_mut(group) else { return };
        let Some(partitions) = topics.get_mut(topic) else { return };
        partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
    }

    pub(super) fn apply(&mut self, change: OffsetChange) {
        let OffsetChange { group, topic, partition, value } = change;
        match value {
            Some(value) => self.put(&group, &topic, partition, value),
            None => self.remove(&group, &topic, partition),
        }
    }

    /// A producer's transaction has ended.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, commits: bool) {
        for OffsetChange { group, topic, partition, value } in self.pending.end(producer, commits) {
            if let Some(value) = value {
                self.store(&group, &topic, partition, value);
            }
        }
    }
}

impl Group {
    /// Whether one may commit offsets here. Any may who manages partitions alone, as long as the
    /// group has no members.
    fn validate_commit(&self, call: &CommitCall) -> Result<(), ErrorCode> {
        let alone = call.generation < 0;
        if alone && self.is(GroupState::Empty) {
            return Ok(());
        }
        let in_transaction = call.transaction.is_some();
        if alone && call.member_id.is_empty() && call.instance_id.is_none() {
            // Older producers say nothing of the member whose offsets they commit (KIP-447).
            return if in_transaction { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        }
        self.validate_member(&call.member_id, call.instance_id.as_ref())?;
        if call.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.state {
            // A member that has joined, but has no assignment yet, must not commit.
            GroupState::CompletingRebalance if !in_transaction => {
                Err(ErrorCode::REBALANCE_IN_PROGRESS)
            }
            _ => Ok(()),
        }
    }

    fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            GroupState::Empty => Ok(()),
            GroupState::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            _ if self.is_consumer() => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    /// Since when an offset counts as unused, in ms since 1970; `None` while it may be in use.
    fn unused_since(&self, committed: &CommittedOffset) -> Option<i64> {
        match (&self.protocol_type, self.state) {
            (Some(_), GroupState::Empty) => {
                Some(self.state_since.unwrap_or(committed.commit_timestamp))
            }
            (Some(_), GroupState::Stable) if self.is_consumer() && self.subscribed.is_some() => {
                Some(committed.commit_timestamp)
            }
            (Some(_), _) => None,
            (None, _) => Some(committed.commit_timestamp),
        }
    }

    fn expires(&self, committed: &CommittedOffset, retention_ms: i64, wall: i64) -> bool {
        let since = self.unused_since(committed);
        since.is_some_and(|since| expired(since, committed, retention_ms, wall))
    }
}

/// Whether an offset that has not been used since then is to be forgotten.
fn expired(since: i64, committed: &CommittedOffset, retention_ms: i64, wall: i64) -> bool {
    match committed.expire_timestamp {
        -1 => wall.saturating_sub(since) >= retention_ms,
        expiry => wall >= expiry,
    }
}

/// Whether text is longer than allowed, counted in UTF-16 units as Java does.
fn is_too_long(text: &str, max: usize) -> bool {
    text.len() > max && text.encode_utf16().count() > max
}

/// An offset as a request commits it.
fn committed(
    partition: &OffsetCommitRequestPartition,
    topic_id: Uuid,
    retention_ms: i64,
    wall: i64,
) -> CommittedOffset {
    CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch.max(-1),
        metadata: partition.committed_metadata.as_ref().map(Str::detach).unwrap_or_default(),
        commit_timestamp: wall,
        expire_timestamp: match retention_ms {
            -1 => -1,
            retention => wall.saturating_add(retention),
        },
        topic_id,
    }
}

impl Shard {
    pub(super) fn commit(&mut self, token: Token, call: &CommitCall) {
        let mut response = OffsetCommitResponse::default();
        let mut changes = Vec::new();
        let max = self.desk.config.offset_metadata_max;
        let wall = self.desk.now.wall;
        for topic in &call.topics {
            let name = topic.name.clone();
            let mut told = OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: Vec::with_capacity(topic.partitions.len()),
            };
            for partition in &topic.partitions {
                let text = partition.committed_metadata.as_deref().unwrap_or_default();
                let error_code = match is_too_long(text, max) {
                    true => ErrorCode::OFFSET_METADATA_TOO_LARGE,
                    false => ErrorCode::NONE,
                };
                let partition_index = partition.partition_index;
                told.partitions.push(OffsetCommitResponsePartition { partition_index, error_code });
                if error_code.is_ok() {
                    changes.push(OffsetChange {
                        group: call.group_id.clone(),
                        topic: name.clone(),
                        partition: partition_index,
                        value: Some(committed(partition, topic.topic_id, call.retention_ms, wall)),
                    });
                }
            }
            response.topics.push(told);
        }
        let reply = Reply::Commit(response);
        if let Err(code) = self.admit_commit(call) {
            return self.desk.reply(token, reply.failed(code));
        }
        if changes.is_empty() {
            return self.desk.reply(token, reply);
        }
        let records = changes.iter().map(to_record).collect();
        let (then, transaction) = match call.transaction {
            None => (Then::Offsets(changes), None),
            Some(producer) => {
                (Then::Pending(producer.id, changes), Some(InTransaction::Part(producer)))
            }
        };
        self.desk.append_in(transaction, records, then, Some((token, reply)));
    }

    /// A transaction that committed offsets has ended: the marker is appended, and what follows
    /// from it happens when it is committed.
    pub(super) fn end_transaction(&mut self, token: Token, end: TransactionEnd) {
        let then = Then::Ended(end.producer_id, end.commits);
        let reply = Reply::TransactionEnded(ErrorCode::NONE);
        let marker = Some(InTransaction::End(end));
        self.desk.append_in(marker, Vec::new(), then, Some((token, reply)));
    }

    /// Checks a commit; one that is admitted shows that its member is alive.
    fn admit_commit(&mut self, call: &CommitCall) -> Result<(), ErrorCode> {
        if let Some(group) = self.consumers.get(&call.group_id) {
            return group.validate_commit(call);
        }
        if self.shares.contains_key(&call.group_id) {
            return Err(ErrorCode::GROUP_ID_NOT_FOUND);
        }
        let Some(group) = self.groups.get_mut(&call.group_id) else {
            return match call.generation {
                ..0 if self.has_room() => Ok(()),
                ..0 => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
                _ if call.transaction.is_none() && call.version >= KNOWS_ABSENT_SINCE => {
                    Err(ErrorCode::GROUP_ID_NOT_FOUND)
                }
                _ => Err(ErrorCode::ILLEGAL_GENERATION),
            };
        };
        group.validate_commit(call)?;
        if call.transaction.is_none()
            && matches!(group.state, GroupState::Stable | GroupState::PreparingRebalance)
        {
            group.renew_session(&call.member_id, &mut self.desk);
        }
        Ok(())
    }

    /// What a group has committed. Partitions without an offset are answered with −1.
    pub(super) fn fetch(&self, call: &FetchCall) -> OffsetFetchResponseGroup {
        let consumer = self.consumers.get(&call.group_id);
        if let Some(group) = consumer
            && let Err(error_code) =
                group.validate_fetch(call.member_id.as_deref(), call.member_epoch)
        {
            let group_id = call.group_id.clone();
            return OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
        }
        let known = consumer.is_some() || self.groups.contains_key(&call.group_id);
        let offsets = self.offsets.group(&call.group_id).filter(|_| known);
        let mut topics = match &call.topics {
            Some(topics) => topics.iter().map(|topic| fetch_topic(topic, offsets)).collect(),
            None => offsets.into_iter().flatten().map(fetch_all).collect::<Vec<_>>(),
        };
        if call.require_stable && known {
            let pending = &self.offsets.pending;
            for topic in &mut topics {
                let partitions = topic.partitions.iter_mut();
                partitions
                    .filter(|it| {
                        pending.is_pending(&call.group_id, &topic.name, it.partition_index)
                    })
                    .for_each(|it| *it = unstable(it.partition_index));
            }
        }
        OffsetFetchResponseGroup { group_id: call.group_id.clone(), topics, ..Default::default() }
    }

    pub(super) fn delete_offsets(&mut self, token: Token, call: &OffsetDeleteCall) {
        if let Err(error_code) = self.validate_offset_delete(&call.group_id) {
            let response = OffsetDeleteResponse { error_code, ..Default::default() };
            return self.desk.reply(token, Reply::OffsetDelete(response));
        }
        let mut response = OffsetDeleteResponse::default();
        let mut changes = Vec::new();
        for topic in &call.topics {
            let error_code = match self.reads(&call.group_id, &topic.name) {
                true => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
                false => ErrorCode::NONE,
            };
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
            response.topics.push(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: partitions
                    .clone()
                    .map(|partition_index| OffsetDeleteResponsePartition {
                        partition_index,
                        error_code,
                    })
                    .collect(),
            });
            if error_code.is_ok() {
                changes.extend(
                    partitions.filter_map(|partition| {
                        self.forget(&call.group_id, &topic.name, partition)
                    }),
                );
            }
        }
        let reply = Reply::OffsetDelete(response);
        if changes.is_empty() {
            return self.desk.reply(token, reply);
        }
        let records = changes.iter().map(to_record).collect();
        self.desk.append(records, Then::Offsets(changes), Some((token, reply)));
    }

    fn validate_offset_delete(&self, id: &str) -> Result<(), ErrorCode> {
        match (self.groups.get(id), self.consumers.get(id)) {
            (Some(group), _) => group.validate_offset_delete(),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        }
    }

    /// Whether a group reads that topic just now.
    fn reads(&self, id: &str, topic: &str) -> bool {
        self.groups.get(id).is_some_and(|group| group.is_subscribed(topic))
            || self.consumers.get(id).is_some_and(|group| group.is_subscribed(topic))
    }

    /// The change that takes an offset back, if there is one or will be.
    fn forget(&self, group: &Str, topic: &Str, partition: i32) -> Option<OffsetChange> {
        let offsets = self.offsets.group(group).and_then(|topics| topics.get(topic));
        let known = offsets.is_some_and(|partitions| partitions.contains_key(&partition));
        let coming = self.coming(group).any(|(other, index)| other == topic && index == partition);
        let pending = self.offsets.pending.is_pending(group, topic, partition);
        (known || coming || pending).then(|| OffsetChange {
            group: group.clone(),
            topic: topic.detach(),
            partition,
            value: None,
        })
    }

    /// The partitions whose offsets a group is just committing.
    fn coming<'a>(&'a self, group: &'a Str) -> impl Iterator<Item = (&'a Str, i32)> {
        let changes = self.desk.pending.iter().filter_map(|pending| match &pending.then {
            Then::Offsets(changes) | Then::Pending(_, changes) => Some(changes),
            _ => None,
        });
        let own = changes.flatten().filter(move |change| change.group == *group);
        own.filter(|change| change.value.is_some()).map(|change| (&change.topic, change.partition))
    }

    /// Deletes groups that have no members, and their offsets.
    pub(super) fn delete_groups(&mut self, token: Token, groups: &[Str]) {
        let mut outcome = Deletions::new();
        let mut batch = DeletionBatch::default();
        for id in groups {
            if outcome.iter().any(|(other, _)| other == id) {
                continue;
            }
            let consumer = self.consumers.get(id);
            let share = self.shares.get(id);
            let code = match self.groups.get(id).map(|group| group.state) {
                None if consumer.is_some_and(|group| group.members.is_empty()) => ErrorCode::NONE,
                None if consumer.is_some() => ErrorCode::NON_EMPTY_GROUP,
                None if share.is_some_and(|group| group.members.is_empty()) => ErrorCode::NONE,
                None if share.is_some() => ErrorCode::NON_EMPTY_GROUP,
                None | Some(GroupState::Dead) => ErrorCode::GROUP_ID_NOT_FOUND,
                Some(GroupState::Empty) => ErrorCode::NONE,
                Some(_) => ErrorCode::NON_EMPTY_GROUP,
            };
            if code.is_ok() {
                let changes = self.forget_all(id, |_, _| true);
                changes.into_iter().for_each(|change| batch.forget(change, &mut self.desk));
                let tombstones = self.tombstones_of(id);
                batch.delete(id.detach(), tombstones, &mut self.desk);
            }
            outcome.push((id.detach(), code));
        }
        let reply = Reply::Deletions(outcome);
        match batch.finish(&mut self.desk) {
            true => {
                let ticket = self.desk.last_ticket();
                self.desk.reply_after(ticket, token, reply);
            }
            false => self.desk.reply(token, reply),
        }
    }

    /// The changes that take back those offsets of a group that `which` picks, among them such
    /// as are just being committed, and those of transactions that are open.
    fn forget_all(
        &self,
        group: &Str,
        which: impl Fn(&str, Option<&CommittedOffset>) -> bool,
    ) -> Vec<OffsetChange> {
        let change = |topic: &Str, partition| OffsetChange {
            group: group.clone(),
            topic: topic.clone(),
            partition,
            value: None,
        };
        let offsets = self.offsets.group(group).into_iter().flatten();
        let mut changes: Vec<OffsetChange> = offsets
            .flat_map(|(topic, partitions)| {
                partitions.iter().map(move |(partition, value)| (topic, partition, value))
            })
            .filter(|(topic, _, value)| which(topic, Some(value)))
            .map(|(topic, partition, _)| change(topic, *partition))
            .collect();
        let is_known = |topic: &str, partition: &i32| {
            let topics = self.offsets.group(group).and_then(|topics| topics.get(topic));
            topics.is_some_and(|partitions| partitions.contains_key(partition))
        };
        let pending = self.offsets.pending.of_group(group);
        let pending = pending.filter(|(topic, partition)| !is_known(topic, partition));
        let coming = self.coming(group).chain(pending).filter(|(topic, _)| which(topic, None));
        changes.extend(coming.map(|(topic, partition)| change(topic, partition)));
        changes
    }

    /// Forgets what has expired: offsets that nobody uses, and groups that have none left.
    pub(super) fn clean_up(&mut self) {
        let (wall, retention) = (self.desk.now.wall, self.desk.config.offsets_retention_ms);
        let mut batch = DeletionBatch::default();
        let ids: Vec<Str> = self.groups.keys().chain(self.consumers.keys()).cloned().collect();
        for id in ids {
            let mut expired = self.forget_all(&id, |topic, committed| {
                committed.is_some_and(|committed| {
                    !self.reads(&id, topic) && self.expires(&id, committed, retention, wall)
                })
            });
            let pending = &self.offsets.pending;
            expired.retain(|it| !pending.is_pending(&id, &it.topic, it.partition));
            let total: usize = self
                .offsets
                .group(&id)
                .map_or(0, |topics| topics.values().map(BTreeMap::len).sum());
            let vanishes = expired.len() == total
                && self.is_empty(&id)
                && self.coming(&id).chain(pending.of_group(&id)).next().is_none();
            expired.into_iter().for_each(|change| batch.forget(change, &mut self.desk));
            if vanishes {
                let tombstones = self.tombstones_of(&id);
                batch.delete(id, tombstones, &mut self.desk);
            }
        }
        batch.finish(&mut self.desk);
    }

    /// Whether nobody is in a group, nor was promised to be.
    fn is_empty(&self, id: &str) -> bool {
        let classic = |group: &Group| group.is(GroupState::Empty) && group.pending_join.is_empty();
        self.groups.get(id).is_none_or(classic)
            && self.consumers.get(id).is_none_or(|group| group.members.is_empty())
    }

    fn expires(&self, id: &str, committed: &CommittedOffset, retention: i64, wall: i64) -> bool {
        match self.groups.get(id) {
            Some(group) => group.expires(committed, retention, wall),
            // The new protocol knows what is read: all else is unused since it was committed.
            None => expired(committed.commit_timestamp, committed, retention, wall),
        }
    }

    /// Forgets the offsets of topics that are deleted.
    pub(super) fn delete_topics(&mut self, topics: &[Str]) {
        let mut batch = DeletionBatch::default();
        let ids: Vec<Str> = self.groups.keys().chain(self.consumers.keys()).cloned().collect();
        for id in ids {
            let gone = |topic: &str, _: Option<&CommittedOffset>| {
                topics.iter().any(|deleted| *deleted == *topic)
            };
            let changes = self.forget_all(&id, gone);
            changes.into_iter().for_each(|change| batch.forget(change, &mut self.desk));
        }
        batch.finish(&mut self.desk);
    }
}

pub(super) fn to_record(change: &OffsetChange) -> Record {
    let OffsetChange { group, topic, partition, value } = change;
    record::offset_commit(group, topic, *partition, value.as_ref())
}

fn fetch_topic(
    asked: &OffsetFetchRequestTopics,
    offsets: Option<&GroupOffsets>,
) -> OffsetFetchResponseTopics {
    let partitions = offsets.and_then(|topics| topics.get(&asked.name));
    // An offset that was committed to another topic of the same name says nothing of this one.
    let same_topic = |committed: &&CommittedOffset| {
        let (ours, theirs) = (committed.topic_id, asked.topic_id);
        ours.is_zero() || theirs.is_zero() || ours == theirs
    };
    let find =
        |index: i32| partitions.and_then(|partitions| partitions.get(&index)).filter(same_topic);
    OffsetFetchResponseTopics {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        partitions: asked.partition_indexes.iter().map(|i| fetched(*i, find(*i))).collect(),
    }
}

fn fetch_all(
    (name, partitions): (&Str, &BTreeMap<i32, CommittedOffset>),
) -> OffsetFetchResponseTopics {
    let partitions = partitions.iter();
    OffsetFetchResponseTopics {
        name: name.clone(),
        partitions: partitions.map(|(index, it)| fetched(*index, Some(it))).collect(),
        ..Default::default()
    }
}

/// The answer for a partition whose offset an open transaction may change (KIP-447).
fn unstable(index: i32) -> OffsetFetchResponsePartitions {
    let error_code = ErrorCode::UNSTABLE_OFFSET_COMMIT;
    OffsetFetchResponsePartitions { error_code, ..fetched(index, None) }
}

fn fetched(index: i32, committed: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(committed.map(|committed| committed.metadata.clone()).unwrap_or_default()),
        error_code: ErrorCode::NONE,
    }
}

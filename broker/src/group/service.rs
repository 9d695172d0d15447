//! The groups that this broker coordinates: which shard a request belongs to, and its answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use vltava_metadata::{Changes, Image};
use vltava_wire::messages::consumer_group_describe::DescribedGroup as DescribedConsumerGroup;
use vltava_wire::messages::describe_groups::DescribedGroup;
use vltava_wire::messages::leave_group::LeaveGroupResponse;
use vltava_wire::messages::offset_commit::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use vltava_wire::messages::offset_delete::OffsetDeleteResponse;
use vltava_wire::messages::offset_fetch::OffsetFetchResponseGroup;
use vltava_wire::messages::{
    ConsumerGroupHeartbeatResponse, HeartbeatResponse, JoinGroupResponse, ListGroupsResponse,
    SyncGroupResponse,
};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, PartitionId, Str};

use super::answer::Answer;
use super::calls::{
    CommitCall, ConsumerHeartbeatCall, Deletions, FetchCall, HeartbeatCall, JoinCall, LeaveCall,
    ListFilter, OffsetDeleteCall, SyncCall,
};
use super::config::GroupConfig;
use super::driver::{Clock, Driver, Environment};
use super::log::OffsetsLog;
use super::machine::{Event, Reply, Token};
use super::state::{join_error, sync_error};
use crate::metadata::topic;

/// How many partitions are loaded at once: reading more at a time makes each slower.
const LOADS_MAX: usize = 4;

/// All groups of which this broker is the coordinator.
pub struct GroupService {
    environment: Arc<Environment>,
    partitions: AtomicUsize,
    drivers: RwLock<HashMap<PartitionId, Arc<Driver>>>,
}

/// The partition that a group lives on, where `__consumer_offsets` has that many: Java's
/// `String.hashCode`, made positive, modulo the partitions.
pub fn partition_of(group: &str, partitions: usize) -> PartitionId {
    let step = |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = group.encode_utf16().fold(0, step).checked_abs().unwrap_or(0);
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
    PartitionId(hash % partitions)
}

fn commit_error(call: &CommitCall, code: ErrorCode) -> OffsetCommitResponse {
    let topics = call.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code,
            })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

/// Takes the answer out of a reply of its kind.
macro_rules! only {
    ($kind:ident) => {
        |reply| match reply {
            Reply::$kind(response) => response,
            other => unreachable!("a request is answered in kind, not with {other:?}"),
        }
    };
}

impl GroupService {
    /// A service that coordinates nothing until it is elected.
    pub fn new(config: GroupConfig, log: Arc<dyn OffsetsLog>) -> Self {
        let partitions = AtomicUsize::new(config.partitions);
        let clock = Clock::start();
        let loads = Semaphore::new(LOADS_MAX);
        Self {
            environment: Arc::new(Environment {
                config,
                log,
                clock,
                loads,
                image: RwLock::new(Arc::new(Image::new(Str::default()))),
            }),
            partitions,
            drivers: RwLock::default(),
        }
    }

    /// Follows the metadata log: loads the groups of partitions that this broker leads by now,
    /// gives up others, and forgets what was committed of topics that are gone. The partitions
    /// must have followed the same changes before. Must be called within a tokio runtime.
    pub fn follow(&self, image: &Image, changes: &Changes, me: NodeId) {
        let shared = Arc::new(image.clone());
        *self.environment.image.write() = Arc::clone(&shared);
        let topics_changed = !changes.topics_created.is_empty()
            || !changes.topics_deleted.is_empty()
            || !changes.partitions.is_empty();
        for driver in self.all() {
            driver.tell(Event::Image(Arc::clone(&shared), topics_changed));
        }
        let mut led = BTreeMap::new();
        if let Some(topic) = image.topic(topic::GROUP_OFFSETS) {
            self.set_partition_count(topic.partitions.len());
            let own = topic.partitions.iter().filter(|(_, at)| at.leader() == Some(me));
            led.extend(own.map(|(partition, at)| (*partition, at.leader_epoch)));
        }
        let lost: Vec<PartitionId> =
            self.drivers.read().keys().filter(|id| !led.contains_key(id)).copied().collect();
        lost.into_iter().for_each(|partition| self.resigned(partition));
        led.into_iter().for_each(|(partition, epoch)| self.elected(partition, epoch));
        let deleted: Vec<Str> = changes.topics_deleted.values().cloned().collect();
        self.topics_deleted(&deleted);
    }

    /// Says how many partitions `__consumer_offsets` has.
    pub fn set_partition_count(&self, partitions: usize) {
        self.partitions.store(partitions, Ordering::Release);
    }

    /// The partition of `__consumer_offsets` that a group lives on.
    pub fn partition_of(&self, group: &str) -> PartitionId {
        partition_of(group, self.partitions.load(Ordering::Acquire))
    }

    /// This broker has become the leader of a partition of `__consumer_offsets`: its groups are
    /// loaded, and then coordinated here. The log must know of the election already. Must be
    /// called within a tokio runtime.
    pub fn elected(&self, partition: PartitionId, epoch: LeaderEpoch) {
        let mut drivers = self.drivers.write();
        if drivers.get(&partition).is_some_and(|driver| driver.epoch >= epoch) {
            return;
        }
        let driver = Driver::start(self.environment.clone(), partition, epoch);
        let before = drivers.insert(partition, driver);
        drop(drivers);
        if let Some(before) = before {
            before.close();
        }
    }

    /// This broker does not lead a partition any more, or has no replica of it.
    pub fn resigned(&self, partition: PartitionId) {
        let driver = self.drivers.write().remove(&partition);
        if let Some(driver) = driver {
            driver.close();
        }
    }

    /// Gives up all groups, as a broker does that shuts down.
    pub fn close(&self) {
        let drivers = std::mem::take(&mut *self.drivers.write());
        drivers.into_values().for_each(|driver| driver.close());
    }

    /// Topics do not exist any more: what was committed of them is forgotten.
    pub fn topics_deleted(&self, topics: &[Str]) {
        if topics.is_empty() {
            return;
        }
        for driver in self.all() {
            driver.tell(Event::TopicsDeleted(topics.to_vec()));
        }
    }

    /// How many groups are coordinated here.
    pub fn group_count(&self) -> usize {
        let counts = self.all().into_iter();
        counts.filter_map(|driver| driver.read(|shard| shard.group_count()).ok()).sum()
    }

    fn all(&self) -> Vec<Arc<Driver>> {
        self.drivers.read().values().cloned().collect()
    }

    fn driver_of(&self, group: &str) -> Result<Arc<Driver>, ErrorCode> {
        let partition = self.partition_of(group);
        self.drivers.read().get(&partition).cloned().ok_or(ErrorCode::NOT_COORDINATOR)
    }

    /// Hands a request to the shard of its group, in its turn.
    fn submit<R: Send + 'static>(
        &self,
        group: &str,
        event: impl FnOnce(Token) -> Event,
        refused: impl FnOnce(ErrorCode) -> R + Send + 'static,
        take: fn(Reply) -> R,
    ) -> Answer<R> {
        let submitted = self.driver_of(group).and_then(|driver| driver.submit(event));
        let mut receiver = match submitted {
            Ok(receiver) => receiver,
            Err(code) => return Answer::Now(refused(code)),
        };
        if let Ok(reply) = receiver.try_recv() {
            return Answer::Now(take(reply));
        }
        let later = async move {
            match receiver.await {
                Ok(reply) => take(reply),
                Err(_) => refused(ErrorCode::NOT_COORDINATOR),
            }
        };
        Answer::Later(later.boxed())
    }

    /// JoinGroup.
    pub fn join(&self, call: JoinCall) -> Answer<JoinGroupResponse> {
        let member_id = call.member_id.clone();
        let refused = move |code| join_error(&member_id, code);
        if call.group_id.is_empty() {
            return Answer::Now(refused(ErrorCode::INVALID_GROUP_ID));
        }
        let group = call.group_id.clone();
        self.submit(&group, |token| Event::Join(token, call), refused, only!(Join))
    }

    /// SyncGroup.
    pub fn sync(&self, call: SyncCall) -> Answer<SyncGroupResponse> {
        if call.group_id.is_empty() {
            return Answer::Now(sync_error(ErrorCode::INVALID_GROUP_ID));
        }
        let group = call.group_id.clone();
        self.submit(&group, |token| Event::Sync(token, call), sync_error, only!(Sync))
    }

    /// Heartbeat. While the group is being loaded, members are left in peace.
    pub fn heartbeat(&self, call: HeartbeatCall) -> Answer<HeartbeatResponse> {
        let told = |error_code| HeartbeatResponse { error_code, ..Default::default() };
        if call.group_id.is_empty() {
            return Answer::Now(told(ErrorCode::INVALID_GROUP_ID));
        }
        let group = call.group_id.clone();
        let refused = |code| match code {
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => ErrorCode::NONE,
            code => code,
        };
        let event = |token| Event::Heartbeat(token, call);
        self.submit(&group, event, refused, only!(Heartbeat)).map(told)
    }

    /// ConsumerGroupHeartbeat.
    pub fn consumer_heartbeat(
        &self,
        call: ConsumerHeartbeatCall,
    ) -> Answer<ConsumerGroupHeartbeatResponse> {
        let refused =
            |error_code| ConsumerGroupHeartbeatResponse { error_code, ..Default::default() };
        let group = call.request.group_id.clone();
        let event = |token| Event::ConsumerHeartbeat(token, call);
        self.submit(&group, event, refused, only!(ConsumerHeartbeat))
    }

    /// ConsumerGroupDescribe.
    pub fn describe_consumer_groups(&self, groups: &[Str]) -> Vec<DescribedConsumerGroup> {
        let describe = |group: &Str| {
            let driver = self.driver_of(group);
            let described =
                driver.and_then(|driver| driver.read(|shard| shard.describe_consumer_group(group)));
            described.unwrap_or_else(|error_code| DescribedConsumerGroup {
                error_code,
                group_id: group.clone(),
                ..Default::default()
            })
        };
        groups.iter().map(describe).collect()
    }

    /// LeaveGroup.
    pub fn leave(&self, call: LeaveCall) -> Answer<LeaveGroupResponse> {
        let refused = |error_code| LeaveGroupResponse { error_code, ..Default::default() };
        if call.group_id.is_empty() {
            return Answer::Now(refused(ErrorCode::INVALID_GROUP_ID));
        }
        let group = call.group_id.clone();
        self.submit(&group, |token| Event::Leave(token, call), refused, only!(Leave))
    }

    /// OffsetCommit, of topics that exist.
    pub fn commit(&self, call: CommitCall) -> Answer<OffsetCommitResponse> {
        let group = call.group_id.clone();
        let asked = call.clone();
        let refused = move |code| commit_error(&asked, code);
        self.submit(&group, |token| Event::Commit(token, call), refused, only!(Commit))
    }

    /// OffsetFetch, for one group.
    pub fn fetch(&self, call: FetchCall) -> Answer<OffsetFetchResponseGroup> {
        let group_id = call.group_id.clone();
        let group = group_id.clone();
        let refused = move |error_code| OffsetFetchResponseGroup {
            group_id,
            error_code,
            ..Default::default()
        };
        self.submit(&group, |token| Event::Fetch(token, call), refused, only!(Fetch))
    }

    /// OffsetDelete, of topics that exist.
    pub fn delete_offsets(&self, call: OffsetDeleteCall) -> Answer<OffsetDeleteResponse> {
        let refused = |error_code| OffsetDeleteResponse { error_code, ..Default::default() };
        if call.group_id.is_empty() {
            return Answer::Now(refused(ErrorCode::INVALID_GROUP_ID));
        }
        let group = call.group_id.clone();
        let event = |token| Event::DeleteOffsets(token, call);
        self.submit(&group, event, refused, only!(OffsetDelete))
    }

    /// DeleteGroups.
    pub fn delete_groups(&self, groups: &[Str]) -> Answer<Deletions> {
        let mut by_partition: BTreeMap<PartitionId, Vec<Str>> = BTreeMap::new();
        for group in groups {
            by_partition.entry(self.partition_of(group)).or_default().push(group.clone());
        }
        let answers = by_partition.into_values().map(|groups| {
            let asked = groups.clone();
            let refused = move |code| asked.into_iter().map(|group| (group, code)).collect();
            let first = groups[0].clone();
            let event = |token| Event::DeleteGroups(token, groups);
            self.submit(&first, event, refused, only!(Deletions))
        });
        Answer::all(answers.collect()).map(|outcomes| outcomes.into_iter().flatten().collect())
    }

    /// DescribeGroups, of that version.
    pub fn describe(&self, groups: &[Str], version: i16) -> Vec<DescribedGroup> {
        let describe = |group: &Str| {
            let driver = self.driver_of(group);
            let described =
                driver.and_then(|driver| driver.read(|shard| shard.describe(group, version)));
            described.unwrap_or_else(|error_code| DescribedGroup {
                error_code,
                group_id: group.clone(),
                ..Default::default()
            })
        };
        groups.iter().map(describe).collect()
    }

    /// ListGroups. While any shard is being loaded, there is no list.
    pub fn list(&self, filter: &ListFilter) -> ListGroupsResponse {
        let mut response = ListGroupsResponse::default();
        for driver in self.all() {
            match driver.read(|shard| shard.list(filter)) {
                Ok(groups) => response.groups.extend(groups),
                Err(ErrorCode::NOT_COORDINATOR) => {}
                Err(error_code) => {
                    return ListGroupsResponse { error_code, ..Default::default() };
                }
            }
        }
        response.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lie_where_java_puts_them() {
        // By `Utils.abs(groupId.hashCode()) % 50` of Kafka 4.2.
        assert_eq!(partition_of("", 50), PartitionId(0));
        assert_eq!(partition_of("a", 50), PartitionId(97 % 50));
        // "polygenelubricants" hashes to the smallest integer, which has no positive counterpart.
        assert_eq!(partition_of("polygenelubricants", 50), PartitionId(0));
    }
}

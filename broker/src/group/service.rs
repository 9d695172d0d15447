//! The groups that this broker coordinates: which shard a request belongs to, and its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use vltava_metadata::{Changes, Image};
use vltava_wire::compression::Compression;
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

use super::calls::{
    CommitCall, ConsumerHeartbeatCall, Deletions, FetchCall, HeartbeatCall, JoinCall, LeaveCall,
    ListFilter, OffsetDeleteCall, SyncCall,
};
use super::config::GroupConfig;
use super::load::GroupReplay;
use super::machine::{Event, Reply, Shard};
use super::share::ShareOrder;
use super::share_service::AsksForShares;
use super::state::{join_error, sync_error};
use crate::metadata::topic;
use crate::partition::transactions::TransactionEnd;
use crate::shard::log::StateLog;
use crate::shard::{Answer, Driver, Setup, Shards, Token};

/// What the shards of groups share.
pub struct GroupSetup {
    config: GroupConfig,
    /// The cluster as it is now; shards are told of every newer one.
    image: RwLock<Arc<Image>>,
    /// How the share coordinator is asked, once it is known.
    pub(super) shares: OnceLock<AsksForShares>,
}

impl Setup<Shard> for GroupSetup {
    fn compression(&self) -> Compression {
        self.config.compression
    }

    fn load_buffer_bytes(&self) -> usize {
        self.config.load_buffer_bytes
    }

    fn replay(&self) -> GroupReplay {
        GroupReplay::new(self.config.clone())
    }

    fn greeting(&self) -> Event {
        Event::Image(self.image.read().clone(), true)
    }

    fn carry_out(&self, order: ShareOrder, driver: &Arc<Driver<Shard>>) {
        if let Some(asks) = self.shares.get() {
            asks.carry_out(order, driver);
        }
    }
}

/// All groups of which this broker is the coordinator.
pub struct GroupService {
    pub(super) shards: Shards<Shard>,
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
    pub fn new(config: GroupConfig, log: Arc<dyn StateLog>) -> Self {
        let partitions = config.partitions;
        let image = RwLock::new(Arc::new(Image::new(Str::default())));
        let setup = GroupSetup { config, image, shares: OnceLock::new() };
        Self { shards: Shards::new(setup, log, topic::GROUP_OFFSETS, partitions) }
    }

    /// Follows the metadata log: loads the groups of partitions that this broker leads by now,
    /// gives up others, and forgets what was committed of topics that are gone. The partitions
    /// must have followed the same changes before. Must be called within a tokio runtime.
    pub fn follow(&self, image: &Image, changes: &Changes, me: NodeId) {
        let shared = Arc::new(image.clone());
        *self.shards.setup().image.write() = Arc::clone(&shared);
        let topics_changed = !changes.topics_created.is_empty()
            || !changes.topics_deleted.is_empty()
            || !changes.partitions.is_empty();
        for driver in self.shards.all() {
            driver.tell(Event::Image(Arc::clone(&shared), topics_changed));
        }
        self.shards.follow(image, me);
        let deleted: Vec<Str> = changes.topics_deleted.values().cloned().collect();
        self.topics_deleted(&deleted);
    }

    /// Says how many partitions `__consumer_offsets` has.
    pub fn set_partition_count(&self, partitions: usize) {
        self.shards.set_partition_count(partitions);
    }

    /// The partition of `__consumer_offsets` that a group lives on.
    pub fn partition_of(&self, group: &str) -> PartitionId {
        self.shards.partition_of(group)
    }

    /// This broker has become the leader of a partition of `__consumer_offsets`: its groups are
    /// loaded, and then coordinated here. The log must know of the election already. Must be
    /// called within a tokio runtime.
    pub fn elected(&self, partition: PartitionId, epoch: LeaderEpoch) {
        self.shards.elected(partition, epoch);
    }

    /// This broker does not lead a partition any more, or has no replica of it.
    pub fn resigned(&self, partition: PartitionId) {
        self.shards.resigned(partition);
    }

    /// Gives up all groups, as a broker does that shuts down.
    pub fn close(&self) {
        self.shards.close();
    }

    /// Topics do not exist any more: what was committed of them is forgotten.
    pub fn topics_deleted(&self, topics: &[Str]) {
        if topics.is_empty() {
            return;
        }
        for driver in self.shards.all() {
            driver.tell(Event::TopicsDeleted(topics.to_vec()));
        }
    }

    /// How many groups are coordinated here.
    pub fn group_count(&self) -> usize {
        self.shards.count()
    }

    pub(super) fn submit<R: Send + 'static>(
        &self,
        group: &str,
        event: impl FnOnce(Token) -> Event,
        refused: impl FnOnce(ErrorCode) -> R + Send + 'static,
        take: fn(Reply) -> R,
    ) -> Answer<R> {
        self.shards.submit(group, event, refused, take)
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
            let driver = self.shards.driver_of(group);
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

    /// WriteTxnMarkers, for one partition of `__consumer_offsets`: the code that says what became
    /// of it.
    pub fn end_transaction(&self, at: PartitionId, end: TransactionEnd) -> Answer<ErrorCode> {
        let event = |token| Event::EndTransaction(token, end);
        self.shards.submit_at(at, event, |code| code, only!(TransactionEnded))
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
            let driver = self.shards.driver_of(group);
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
        for driver in self.shards.all() {
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

//! A shard with a clock and a log that the test holds in its hands.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use vltava_metadata::Image;
use vltava_wire::batch::{BatchBuilder, NO_SEQUENCE, set_base_offset};
use vltava_wire::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use vltava_wire::messages::offset_fetch::OffsetFetchRequestTopics;
use vltava_wire::messages::{JoinGroupResponse, SyncGroupResponse};
use vltava_wire::records::group::ConsumerProtocolSubscription;
use vltava_wire::{ErrorCode, Message, Offset, Str, Writer};

use crate::group::calls::{
    CommitCall, FetchCall, HeartbeatCall, JoinCall, LeaveCall, Leaver, SyncCall,
};
use crate::group::config::GroupConfig;
use crate::group::load::GroupReplay;
use crate::group::machine::{Effects, Event, Now, Reply, Shard, Ticket, Token};
use crate::group::record::Record;
use crate::group::share::ShareOrder;
use crate::shard::{InTransaction, Loader, Machine, TxnProducer};

/// The group that most scenarios are about.
pub(super) const GROUP: &str = "g";

/// Seconds, in the milliseconds of the machine's clock.
pub(super) const fn s(seconds: u64) -> u64 {
    seconds * 1000
}

pub(super) struct World {
    pub(super) shard: Shard,
    pub(super) now: Now,
    config: GroupConfig,
    tokens: u64,
    random: u128,
    replies: BTreeMap<Token, Reply>,
    /// What lies in the log.
    pub(super) log: Vec<Record>,
    /// What lies in the log and is not committed, with the length of the log behind it.
    pub(super) uncommitted: VecDeque<(Ticket, usize)>,
    /// How much of the log is committed.
    committed: usize,
    /// The batches in the log: how long the log is behind each, and what it is to a transaction.
    batches: Vec<(usize, Option<InTransaction>)>,
    /// How many of them are committed.
    committed_batches: usize,
    /// The cluster as shards are told.
    image: Arc<Image>,
    /// Whether appends are committed at once.
    pub(super) commits: bool,
    /// What the share coordinator was asked for.
    pub(super) orders: Vec<ShareOrder>,
    /// What appends are refused with, if they are.
    pub(super) refuses: Option<ErrorCode>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    pub(super) fn with(config: GroupConfig) -> Self {
        let now = Now { mono: 1_000_000, wall: 1_700_000_000_000 };
        let mut shard = Shard::new(config.clone());
        let effects = shard.start(now);
        assert_eq!(effects, Effects::default());
        Self {
            shard,
            now,
            config,
            tokens: 0,
            random: 0,
            replies: BTreeMap::new(),
            log: Vec::new(),
            uncommitted: VecDeque::new(),
            committed: 0,
            batches: Vec::new(),
            committed_batches: 0,
            image: Arc::new(Image::new(Str::default())),
            commits: true,
            orders: Vec::new(),
            refuses: None,
        }
    }

    pub(super) fn feed(&mut self, event: Event) {
        let effects = self.shard.on(event, self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        self.orders.extend(effects.orders);
        for (token, reply) in effects.replies {
            let before = self.replies.insert(token, reply);
            assert!(before.is_none(), "{token:?} was answered twice");
        }
        for append in effects.appends {
            if let Some(code) = self.refuses {
                self.feed(Event::Refused(append.ticket, code));
                continue;
            }
            self.log.extend(append.records);
            self.batches.push((self.log.len(), append.transaction));
            self.uncommitted.push_back((append.ticket, self.log.len()));
            self.feed(Event::Written(append.ticket));
        }
        if self.commits {
            self.commit_all();
        }
    }

    /// The high watermark passes all that was appended.
    pub(super) fn commit_all(&mut self) {
        while let Some((ticket, end)) = self.uncommitted.pop_front() {
            self.committed = end;
            self.committed_batches += 1;
            self.feed(Event::Committed(ticket));
        }
    }

    /// Lets time pass, and whatever falls due happen in its turn.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        while let Some(next) = self.shard.next_deadline().filter(|next| *next <= end) {
            let step = next.saturating_sub(self.now.mono);
            self.now.mono += step;
            self.now.wall += step as i64;
            self.feed(Event::Tick);
        }
        let rest = end - self.now.mono;
        self.now.mono += rest;
        self.now.wall += rest as i64;
    }

    pub(super) fn send(&mut self, event: impl FnOnce(Token) -> Event) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.feed(event(token));
        token
    }

    /// The answer to a request, if it has come.
    pub(super) fn answer(&self, token: Token) -> Option<&Reply> {
        self.replies.get(&token)
    }

    pub(super) fn joined(&self, token: Token) -> &JoinGroupResponse {
        match self.answer(token) {
            Some(Reply::Join(response)) => response,
            other => panic!("{token:?} has {other:?} for an answer to a JoinGroup"),
        }
    }

    pub(super) fn synced(&self, token: Token) -> &SyncGroupResponse {
        match self.answer(token) {
            Some(Reply::Sync(response)) => response,
            other => panic!("{token:?} has {other:?} for an answer to a SyncGroup"),
        }
    }

    pub(super) fn join(&mut self, call: JoinCall) -> Token {
        self.random += 1;
        let random = self.random;
        self.send(|token| Event::Join(token, JoinCall { random, ..call }))
    }

    /// A new member joins, and comes back with the id that it is given.
    pub(super) fn enter(&mut self, client: &str) -> (Str, Token) {
        let token = self.join(consumer(client, ""));
        let response = self.joined(token).clone();
        assert_eq!(response.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        let id = response.member_id;
        assert!(id.starts_with(client), "{id}");
        let token = self.join(consumer(client, &id));
        (id, token)
    }

    pub(super) fn sync(&mut self, member: &str, generation: i32, given: &[(&str, &str)]) -> Token {
        let assignments = given
            .iter()
            .map(|(member, what)| (Str::from(*member), Bytes::copy_from_slice(what.as_bytes())))
            .collect();
        self.send(|token| {
            Event::Sync(
                token,
                SyncCall {
                    group_id: GROUP.into(),
                    generation,
                    member_id: member.into(),
                    assignments,
                    ..SyncCall::default()
                },
            )
        })
    }

    pub(super) fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        self.heartbeat_as(member, None, generation)
    }

    pub(super) fn heartbeat_as(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        let call = HeartbeatCall {
            group_id: GROUP.into(),
            generation,
            member_id: member.into(),
            instance_id: instance.map(Str::from),
        };
        let token = self.send(|token| Event::Heartbeat(token, call));
        match self.answer(token) {
            Some(Reply::Heartbeat(code)) => *code,
            other => panic!("{other:?} for an answer to a Heartbeat"),
        }
    }

    pub(super) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Token {
        let members = members.iter().map(|(member, instance)| Leaver {
            member_id: Str::from(*member),
            instance_id: instance.map(Str::from),
            reason: None,
        });
        let call = LeaveCall { group_id: GROUP.into(), members: members.collect() };
        self.send(|token| Event::Leave(token, call))
    }

    /// The members' codes in the answer to a LeaveGroup.
    pub(super) fn left(&self, token: Token) -> Vec<ErrorCode> {
        match self.answer(token) {
            Some(Reply::Leave(response)) => {
                assert_eq!(response.error_code, ErrorCode::NONE);
                response.members.iter().map(|member| member.error_code).collect()
            }
            other => panic!("{other:?} for an answer to a LeaveGroup"),
        }
    }

    pub(super) fn commit(&mut self, call: CommitCall) -> Token {
        self.send(|token| Event::Commit(token, call))
    }

    /// The code of the first partition in the answer to an OffsetCommit.
    pub(super) fn committed(&self, token: Token) -> ErrorCode {
        match self.answer(token) {
            Some(Reply::Commit(response)) => response.topics[0].partitions[0].error_code,
            other => panic!("{other:?} for an answer to an OffsetCommit"),
        }
    }

    /// What a group has committed of partition 0 of a topic; −1 if nothing.
    pub(super) fn offset_of(&mut self, group: &str, topic: &str) -> i64 {
        let token = self.fetch(group, Some(topic), false);
        self.fetched(token)
    }

    pub(super) fn fetch(&mut self, group: &str, topic: Option<&str>, stable: bool) -> Token {
        let topics = topic.map(|name| {
            vec![OffsetFetchRequestTopics {
                name: name.into(),
                partition_indexes: vec![0],
                ..Default::default()
            }]
        });
        let call = FetchCall {
            group_id: group.into(),
            topics,
            member_epoch: -1,
            require_stable: stable,
            ..FetchCall::default()
        };
        self.send(|token| Event::Fetch(token, call))
    }

    pub(super) fn fetched(&self, token: Token) -> i64 {
        match self.answer(token) {
            Some(Reply::Fetch(response)) => {
                assert_eq!(response.error_code, ErrorCode::NONE);
                response.topics.first().map_or(-1, |topic| topic.partitions[0].committed_offset)
            }
            other => panic!("{other:?} for an answer to an OffsetFetch"),
        }
    }

    pub(super) fn state(&self) -> Str {
        self.shard.describe(&GROUP.into(), 6).group_state
    }

    /// Members with these clients, in the first generation, each with its client's name for an
    /// assignment.
    pub(super) fn stable(&mut self, clients: &[&str]) -> Vec<Str> {
        let entered: Vec<_> = clients.iter().map(|client| self.enter(client)).collect();
        self.pass(s(6));
        let ids: Vec<Str> = entered.iter().map(|(id, _)| id.clone()).collect();
        let joined = self.joined(entered[0].1).clone();
        self.assign(&joined.leader, joined.generation_id, &ids, clients);
        ids
    }

    /// All members of a generation get their clients' names for assignments.
    pub(super) fn assign(&mut self, leader: &str, generation: i32, ids: &[Str], clients: &[&str]) {
        let given: Vec<(&str, &str)> =
            ids.iter().map(Str::as_str).zip(clients.iter().copied()).collect();
        let tokens: Vec<_> = ids
            .iter()
            .map(|id| match **id == *leader {
                true => self.sync(id, generation, &given),
                false => self.sync(id, generation, &[]),
            })
            .collect();
        for (token, client) in tokens.into_iter().zip(clients) {
            assert_eq!(self.synced(token).error_code, ErrorCode::NONE);
            assert_eq!(self.synced(token).assignment, client.as_bytes());
        }
        assert_eq!(self.state(), "Stable");
    }

    /// The cluster's topics are others.
    pub(super) fn set_image(&mut self, image: Image) {
        self.image = Arc::new(image);
        self.feed(Event::Image(Arc::clone(&self.image), true));
    }

    /// Another broker takes over that lacks what is not committed.
    pub(super) fn fail_over_to_committed(&mut self) {
        self.log.truncate(self.committed);
        self.batches.truncate(self.committed_batches);
        self.fail_over();
    }

    /// Another broker takes over: what is in the log is all that it knows, and is committed.
    pub(super) fn fail_over(&mut self) {
        self.load();
        self.committed = self.log.len();
        self.committed_batches = self.batches.len();
        self.begin();
    }

    /// Another broker takes over that has all, and does not know whether it is committed.
    pub(super) fn fail_over_to_uncommitted(&mut self) {
        self.load();
        let inherited = self.shard.inherit(self.now).expect("it counts as an append");
        self.uncommitted.push_back((inherited, self.log.len()));
        self.begin();
    }

    fn load(&mut self) {
        let mut loader = Loader::new(GroupReplay::new(self.config.clone()), Offset::ZERO);
        let mut start = 0;
        let rest = (self.log.len(), None);
        for (end, transaction) in self.batches.iter().copied().chain([rest]) {
            let next = loader.next_offset();
            let batch = batch(next, &self.log[start..end], transaction, self.now.wall);
            loader.take(&batch.unwrap_or_default()).expect("records that were written here");
            start = end;
        }
        self.shard = loader.finish().expect("groups that were written here");
        self.uncommitted.clear();
    }

    fn begin(&mut self) {
        let told = self.shard.on(Event::Image(Arc::clone(&self.image), true), self.now);
        assert_eq!(told, Effects::default());
        let effects = self.shard.start(self.now);
        self.carry_out(effects);
    }
}

/// A batch as a driver writes it; `None` if there is nothing to write.
fn batch(
    at: Offset,
    records: &[Record],
    transaction: Option<InTransaction>,
    wall: i64,
) -> Option<BytesMut> {
    let mut batch = BatchBuilder::new(at);
    match transaction {
        None => {}
        Some(InTransaction::Part(TxnProducer { id, epoch, .. })) => {
            batch = batch.transactional().producer(id, epoch, NO_SEQUENCE);
        }
        Some(InTransaction::End(end)) => {
            let mut batch = end.batch(wall);
            set_base_offset(&mut batch, at);
            return Some(batch);
        }
    }
    for record in records {
        batch.append(wall, Some(&record.key), record.value.as_deref(), &[]);
    }
    (!records.is_empty()).then(|| batch.build())
}

/// What a consumer says that it subscribes to.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| Str::from(*topic)).collect(),
        ..Default::default()
    };
    let mut writer = Writer::new();
    writer.i16(1);
    subscription.write(&mut writer, 1);
    writer.into_bytes()
}

/// A consumer of the topic `orders` joins [`GROUP`].
pub(super) fn consumer(client: &str, member: &str) -> JoinCall {
    JoinCall {
        group_id: GROUP.into(),
        version: 9,
        member_id: member.into(),
        client_id: client.into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["orders"]))],
        ..JoinCall::default()
    }
}

/// A commit to partition 0 of a topic.
pub(super) fn commit_of(member: &str, generation: i32, topic: &str, offset: i64) -> CommitCall {
    CommitCall {
        group_id: GROUP.into(),
        version: 9,
        generation,
        member_id: member.into(),
        instance_id: None,
        retention_ms: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        transaction: None,
    }
}

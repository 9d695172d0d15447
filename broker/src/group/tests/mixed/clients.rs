//! Consumers of both protocols, and what they say.

use std::collections::BTreeSet;

use bytes::Bytes;
use vltava_wire::messages::consumer_group_heartbeat::TopicPartitions;
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use vltava_wire::records::group::{
    ConsumerProtocolAssignment, ConsumerProtocolAssignmentTopicPartition,
    ConsumerProtocolSubscription, TopicPartition,
};
use vltava_wire::{ErrorCode, Message, Str, Writer};

use crate::group::calls::{ConsumerHeartbeatCall, JoinCall, SyncCall};
use crate::group::desk::Token;
use crate::group::machine::{Event, Reply};
use crate::group::protocol;
use crate::group::tests::consumer_storm::Topics;
use crate::group::tests::world::{GROUP, World, consumer};

/// The topic that all read, of four partitions.
pub(super) const TOPIC: &str = "orders-0";

pub(super) type Owned = BTreeSet<i32>;

pub(super) fn written<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(version);
    message.write(&mut writer, version);
    writer.into_bytes()
}

pub(super) fn subscription(owned: &Owned) -> Bytes {
    let owned = TopicPartition { topic: TOPIC.into(), partitions: owned.iter().copied().collect() };
    let said = ConsumerProtocolSubscription {
        topics: vec![TOPIC.into()],
        owned_partitions: vec![owned],
        ..Default::default()
    };
    written(&said, 1)
}

pub(super) fn assignment(partitions: &[i32]) -> Bytes {
    let topic = ConsumerProtocolAssignmentTopicPartition {
        topic: TOPIC.into(),
        partitions: partitions.to_vec(),
    };
    let given =
        ConsumerProtocolAssignment { assigned_partitions: vec![topic], ..Default::default() };
    written(&given, 1)
}

pub(super) fn read(assignment: &Bytes) -> Owned {
    let read = protocol::assignment(assignment).expect("an assignment");
    read.assigned_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect()
}

/// A consumer of the classic protocol that gives up only what it has to.
#[derive(Clone, Debug, Default)]
pub(super) struct Classic {
    pub(super) client: String,
    pub(super) id: Str,
    pub(super) instance: Option<Str>,
    pub(super) generation: i32,
    pub(super) owned: Owned,
}

impl Classic {
    pub(super) fn new(client: &str) -> Self {
        Self { client: client.to_owned(), ..Self::default() }
    }

    pub(super) fn named(client: &str, instance: &str) -> Self {
        Self { instance: Some(instance.into()), ..Self::new(client) }
    }

    pub(super) fn call(&self) -> JoinCall {
        JoinCall {
            instance_id: self.instance.clone(),
            protocols: vec![("cooperative-sticky".into(), subscription(&self.owned))],
            ..consumer(&self.client, &self.id)
        }
    }

    /// Joins; the answer may come later.
    pub(super) fn ask(&mut self, world: &mut World) -> Token {
        let token = world.join(self.call());
        if let Some(Reply::Join(response)) = world.answer(token)
            && response.error_code == ErrorCode::MEMBER_ID_REQUIRED
        {
            self.id = response.member_id.clone();
            return world.join(self.call());
        }
        token
    }

    /// Joins a group that answers at once.
    pub(super) fn join(&mut self, world: &mut World) -> ErrorCode {
        let token = self.ask(world);
        let response = world.joined(token).clone();
        if response.error_code.is_ok() {
            assert_ne!(response.leader, response.member_id, "nobody leads");
            assert_eq!(response.protocol_name.as_deref(), Some("cooperative-sticky"));
            assert_eq!(response.protocol_type.as_deref(), Some("consumer"));
            (self.id, self.generation) = (response.member_id, response.generation_id);
        }
        response.error_code
    }

    pub(super) fn sync_call(&self) -> SyncCall {
        SyncCall {
            group_id: GROUP.into(),
            generation: self.generation,
            member_id: self.id.clone(),
            instance_id: self.instance.clone(),
            protocol_type: Some("consumer".into()),
            protocol: Some("cooperative-sticky".into()),
            assignments: Vec::new(),
        }
    }

    pub(super) fn sync(&mut self, world: &mut World) -> ErrorCode {
        let call = self.sync_call();
        let token = world.send(|token| Event::Sync(token, call));
        let response = world.synced(token).clone();
        if response.error_code.is_ok() {
            self.owned = read(&response.assignment);
        }
        response.error_code
    }

    /// Joins and is told what it has.
    pub(super) fn rejoin(&mut self, world: &mut World) {
        assert_eq!(self.join(world), ErrorCode::NONE);
        assert_eq!(self.sync(world), ErrorCode::NONE);
    }

    pub(super) fn beat(&self, world: &mut World) -> ErrorCode {
        world.heartbeat_as(&self.id, self.instance.as_deref(), self.generation)
    }

    /// Does what its heartbeats say until they say nothing more.
    pub(super) fn settle(&mut self, world: &mut World) {
        for _ in 0..5 {
            match self.beat(world) {
                ErrorCode::NONE => return,
                ErrorCode::REBALANCE_IN_PROGRESS => self.rejoin(world),
                other => panic!("{} is told {other}", self.client),
            }
        }
        panic!("{} does not settle", self.client);
    }

    /// As [`settle`](Self::settle), where the first heartbeat is refused.
    pub(super) fn settle_from(&mut self, refused: ErrorCode, world: &mut World) {
        assert_eq!(self.beat(world), refused);
        self.rejoin(world);
        self.settle(world);
    }

    pub(super) fn leave(&self, world: &mut World) {
        let token = world.leave(&[(&self.id, self.instance.as_deref())]);
        assert_eq!(world.left(token), [ErrorCode::NONE]);
    }
}

/// A consumer of the new protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct Modern {
    pub(super) id: Str,
    pub(super) instance: Option<Str>,
    pub(super) epoch: i32,
    pub(super) owned: Owned,
}

impl Modern {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    pub(super) fn named(id: &str, instance: &str) -> Self {
        Self { instance: Some(instance.into()), ..Self::new(id) }
    }

    pub(super) fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let joins = self.epoch == 0;
        let owned = TopicPartitions {
            topic_id: Topics::id(0),
            partitions: self.owned.iter().copied().collect(),
        };
        ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance.clone(),
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec![TOPIC.into()]),
            topic_partitions: Some(if joins { Vec::new() } else { vec![owned] }),
            ..Default::default()
        }
    }

    /// Says something in that epoch; the answer may come later.
    pub(super) fn tell(&self, world: &mut World, epoch: i32) -> Token {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..self.request() };
        let call = ConsumerHeartbeatCall { request, version: 1, ..Default::default() };
        world.send(|token| Event::ConsumerHeartbeat(token, call))
    }

    pub(super) fn send(&self, world: &mut World, epoch: i32) -> ConsumerGroupHeartbeatResponse {
        let token = self.tell(world, epoch);
        match world.answer(token) {
            Some(Reply::ConsumerHeartbeat(response)) => response.clone(),
            other => panic!("{other:?} for an answer to a ConsumerGroupHeartbeat"),
        }
    }

    pub(super) fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        self.epoch = response.member_epoch;
        if let Some(given) = &response.assignment {
            let topics = given.topic_partitions.iter();
            self.owned = topics.flat_map(|topic| topic.partitions.clone()).collect();
        }
    }

    pub(super) fn beat(&mut self, world: &mut World) -> ErrorCode {
        let response = self.send(world, self.epoch);
        if response.error_code.is_ok() {
            self.take(&response);
        }
        response.error_code
    }

    pub(super) fn leave(&self, world: &mut World, epoch: i32) {
        assert_eq!(self.send(world, epoch).error_code, ErrorCode::NONE);
    }
}

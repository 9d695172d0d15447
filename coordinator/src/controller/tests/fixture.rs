//! A controller with a log that commits at once.

use std::time::Duration;

use vltava_config::Values;
use vltava_metadata::{Changes, Image, PartitionRegistration, supported_features};
use vltava_net::ConnectionId;
use vltava_quorum::Instant;
use vltava_wire::messages::broker_registration::{Feature, Listener};
use vltava_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use vltava_wire::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    CreateTopicsRequest, CreateTopicsResponse,
};
use vltava_wire::{ErrorCode, NodeId, Offset, PartitionId, Uuid};

use crate::controller::{Controller, Decision, Failure, Happening, Moment, Settings};

pub(super) const CLUSTER: &str = "cluster";
pub(super) const SESSION: Duration = Duration::from_millis(3_000);
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// A controller, the log that it writes, and a clock that stands until it is moved.
pub(super) struct World {
    pub(super) controller: Controller,
    /// What a follower of the log would have.
    pub(super) image: Image,
    pub(super) now: Instant,
    pub(super) end: Offset,
    pub(super) happenings: Vec<Happening>,
}

impl World {
    /// An active controller over an empty cluster.
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with settings.
    pub(super) fn with(pairs: &[(&str, &str)]) -> Self {
        let fixed = [
            ("node.id", "3001"),
            ("broker.session.timeout.ms", "3000"),
            ("broker.heartbeat.interval.ms", "500"),
            ("vltava.fence.grace.ms", "500"),
            ("metadata.max.idle.interval.ms", "0"),
            ("leader.imbalance.check.interval.seconds", "5"),
        ];
        let values = Values::from_pairs(fixed.into_iter().chain(pairs.iter().copied()))
            .expect("settings that make sense");
        let settings = Settings::new(&values, CLUSTER.into());
        let mut world = Self {
            controller: Controller::new(settings, 7),
            image: Image::new(CLUSTER.into()),
            now: Instant::from_millis(1_000),
            end: Offset(10),
            happenings: Vec::new(),
        };
        world.controller.activate(world.image.clone(), world.now);
        world.do_chores();
        world
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { now: self.now, next_offset: self.end }
    }

    /// Appends and commits a decision, and returns its answer.
    pub(super) fn take<R>(&mut self, decision: Decision<R>) -> R {
        for batch in decision.batches().expect("batches that the log takes") {
            self.controller.appended(batch, self.now).expect("records that fit");
            for record in batch {
                let mut changes = Changes::default();
                self.image.apply(record, &mut changes).expect("records that fit");
                self.end = self.end.next();
            }
        }
        if !decision.records.is_empty() {
            let speculative = self.controller.image().map(Image::digest);
            assert_eq!(speculative, Some(self.image.digest()), "both images are the same");
        }
        self.happenings.extend(decision.happenings);
        decision.response
    }

    /// Has an operation decided and committed.
    pub(super) fn operate<R>(
        &mut self,
        decide: impl FnOnce(&mut Controller, Moment) -> Result<Decision<R>, Failure>,
    ) -> Result<R, ErrorCode> {
        let moment = self.moment();
        let decision = decide(&mut self.controller, moment).map_err(|failure| failure.code)?;
        Ok(self.take(decision))
    }

    /// Does what is due.
    pub(super) fn do_chores(&mut self) {
        for _ in 0..100 {
            let moment = self.moment();
            let Some(chore) = self.controller.next_chore(moment) else { return };
            self.take(chore);
        }
        panic!("chores do not end");
    }

    /// Lets time pass, with all that falls due in it; those brokers go on sending heartbeats.
    pub(super) fn pass(&mut self, time: Duration, alive: &[i32]) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Duration::from_millis(100)).min(end);
            for broker in alive {
                self.beat(*broker).expect("a heartbeat of a registered broker");
            }
            self.do_chores();
        }
    }

    pub(super) fn register_as(
        &mut self,
        broker: i32,
        incarnation: u128,
        directories: &[u128],
    ) -> Result<i64, ErrorCode> {
        self.register_with(broker, incarnation, directories, -1)
    }

    pub(super) fn register_with(
        &mut self,
        broker: i32,
        incarnation: u128,
        directories: &[u128],
        previous_broker_epoch: i64,
    ) -> Result<i64, ErrorCode> {
        let request = BrokerRegistrationRequest {
            previous_broker_epoch,
            ..self.registration(broker, incarnation, directories)
        };
        self.operate(|controller, moment| controller.register_broker(&request, moment))
            .map(|response| response.broker_epoch)
    }

    /// How a broker registers.
    pub(super) fn registration(
        &self,
        broker: i32,
        incarnation: u128,
        directories: &[u128],
    ) -> BrokerRegistrationRequest {
        BrokerRegistrationRequest {
            broker_id: broker,
            cluster_id: CLUSTER.into(),
            incarnation_id: Uuid(incarnation),
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                host: "localhost".into(),
                port: 9092,
                security_protocol: 0,
            }],
            features: features(),
            rack: None,
            log_dirs: directories.iter().copied().map(Uuid).collect(),
            ..BrokerRegistrationRequest::default()
        }
    }

    /// A broker of its own directory, registered and unfenced.
    pub(super) fn broker(&mut self, broker: i32) {
        let unique = 1_000 + broker as u128;
        self.register_as(broker, unique, &[unique]).expect("a registration");
        self.beat(broker).expect("a heartbeat");
        assert!(self.is_unfenced(broker));
    }

    pub(super) fn brokers(&mut self, brokers: &[i32]) {
        brokers.iter().for_each(|broker| self.broker(*broker));
    }

    pub(super) fn epoch(&self, broker: i32) -> i64 {
        self.image.broker(NodeId(broker)).map_or(-1, |broker| broker.epoch.get())
    }

    pub(super) fn is_unfenced(&self, broker: i32) -> bool {
        self.image.is_unfenced(NodeId(broker))
    }

    /// A heartbeat of a broker that has applied all there is.
    pub(super) fn beat(&mut self, broker: i32) -> Result<BrokerHeartbeatResponse, ErrorCode> {
        let request = self.heartbeat(broker);
        self.beat_with(&request)
    }

    pub(super) fn heartbeat(&self, broker: i32) -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest {
            broker_id: broker,
            broker_epoch: self.epoch(broker),
            current_metadata_offset: self.end.get(),
            ..BrokerHeartbeatRequest::default()
        }
    }

    pub(super) fn beat_with(
        &mut self,
        request: &BrokerHeartbeatRequest,
    ) -> Result<BrokerHeartbeatResponse, ErrorCode> {
        self.operate(|controller, moment| controller.heartbeat(request, moment))
    }

    /// A broker speaks on a connection.
    pub(super) fn speaks(&mut self, broker: i32, connection: u64) {
        let epoch = self.epoch(broker).into();
        self.controller.spoke(ConnectionId(connection), NodeId(broker), epoch);
    }

    pub(super) fn closes(&mut self, connection: u64) {
        self.controller.closed(ConnectionId(connection), self.now);
    }

    pub(super) fn create(&mut self, topics: Vec<CreatableTopic>) -> CreateTopicsResponse {
        let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
        self.operate(|controller, _| controller.create_topics(&request)).expect("an answer")
    }

    /// A topic with one partition on those brokers.
    pub(super) fn topic(&mut self, name: &str, replicas: &[i32], configs: &[(&str, &str)]) {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![CreatableReplicaAssignment {
                partition_index: 0,
                broker_ids: replicas.to_vec(),
            }],
            configs: configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: (*name).into(),
                    value: Some((*value).into()),
                })
                .collect(),
        };
        let response = self.create(vec![topic]);
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{response:?}");
    }

    pub(super) fn partition(&self, topic: &str) -> PartitionRegistration {
        let topic = self.image.topic(topic).expect("the topic");
        topic.partition(PartitionId(0)).expect("its partition").as_ref().clone()
    }

    /// Leader and ISR of a topic's first partition.
    pub(super) fn state(&self, topic: &str) -> (i32, Vec<i32>) {
        let partition = self.partition(topic);
        (partition.leader.get(), partition.isr.iter().map(|member| member.get()).collect())
    }
}

/// What a broker of this build says that it supports.
pub(super) fn features() -> Vec<Feature> {
    let feature = supported_features().iter().map(|feature| Feature {
        name: feature.name.into(),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
    });
    feature.collect()
}

//! Topics that come into being because somebody asks for them, or the configuration does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use vltava_config::{CreateTopic, keys};
use vltava_wire::messages::CreateTopicsRequest;
use vltava_wire::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use vltava_wire::{ErrorCode, Str};

use super::Broker;
use crate::metadata::topic;

/// How long the active coordinator may take for a topic, in ms.
const CREATE_TIMEOUT_MS: i32 = 30_000;
/// The most topics that may be under way at one time; further ones are asked for again by clients.
const CREATING_MAX: usize = 1000;
/// The pause before a declared topic is tried again, as while brokers are still missing.
const DECLARED_PAUSE: Duration = Duration::from_millis(200);
/// It doubles up to this: brokers may be missing for long.
const DECLARED_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A setting of a topic that is to be created.
fn config(name: &'static str, value: String) -> CreatableTopicConfig {
    CreatableTopicConfig { name: Str::from_static(name), value: Some(value.into()) }
}

impl Broker {
    /// Asks the active coordinator for topics, unless that is under way.
    pub fn create_topics_in_background(self: &Arc<Self>, names: BTreeSet<Str>) {
        let mut new = Vec::new();
        {
            let mut creating = self.creating.lock();
            for name in names {
                if creating.len() < CREATING_MAX && creating.insert(name.clone()) {
                    new.push(name);
                }
            }
        }
        if new.is_empty() {
            return;
        }
        let broker = Arc::clone(self);
        tokio::spawn(async move {
            let topics = new.iter().map(|name| broker.automatic_topic(name)).collect();
            for (name, code, message) in broker.create(topics).await {
                match code {
                    ErrorCode::NONE => tracing::info!(topic = %name, "created on demand"),
                    ErrorCode::TOPIC_ALREADY_EXISTS => {}
                    code => {
                        tracing::warn!(topic = %name, %code, "not created on demand: {message}");
                    }
                }
            }
            let mut creating = broker.creating.lock();
            new.iter().for_each(|name| {
                creating.remove(name);
            });
        });
    }

    /// A topic as it is created on demand: the coordinator's defaults, but for those that keep
    /// the state of coordinators.
    fn automatic_topic(&self, name: &Str) -> CreatableTopic {
        let base = CreatableTopic {
            name: name.clone(),
            num_partitions: -1,
            replication_factor: -1,
            ..Default::default()
        };
        let values = &self.config;
        match name.as_str() {
            topic::GROUP_OFFSETS => CreatableTopic {
                num_partitions: values.get(keys::OFFSETS_TOPIC_NUM_PARTITIONS),
                replication_factor: values.get(keys::OFFSETS_TOPIC_REPLICATION_FACTOR),
                configs: vec![
                    config("cleanup.policy", "compact".to_owned()),
                    config("compression.type", "producer".to_owned()),
                    config(
                        "segment.bytes",
                        values.get(keys::OFFSETS_TOPIC_SEGMENT_BYTES).to_string(),
                    ),
                ],
                ..base
            },
            topic::TRANSACTION_STATE => CreatableTopic {
                num_partitions: values.get(keys::TRANSACTION_STATE_LOG_NUM_PARTITIONS),
                replication_factor: values.get(keys::TRANSACTION_STATE_LOG_REPLICATION_FACTOR),
                configs: vec![
                    config("cleanup.policy", "compact".to_owned()),
                    config("compression.type", "uncompressed".to_owned()),
                    config("unclean.leader.election.enable", "false".to_owned()),
                    config(
                        "min.insync.replicas",
                        values.get(keys::TRANSACTION_STATE_LOG_MIN_ISR).to_string(),
                    ),
                    config(
                        "segment.bytes",
                        values.get(keys::TRANSACTION_STATE_LOG_SEGMENT_BYTES).to_string(),
                    ),
                ],
                ..base
            },
            topic::SHARE_GROUP_STATE => self.share_state_topic(base),
            _ => base,
        }
    }

    /// What became of the records of share groups. Updates go on from snapshots, so the log is not
    /// compacted.
    fn share_state_topic(&self, base: CreatableTopic) -> CreatableTopic {
        let min_isr = self.config.get(keys::SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR);
        let segment_bytes = self.config.get(keys::SHARE_COORDINATOR_STATE_TOPIC_SEGMENT_BYTES);
        CreatableTopic {
            num_partitions: self.config.get(keys::SHARE_COORDINATOR_STATE_TOPIC_NUM_PARTITIONS),
            replication_factor: self
                .config
                .get(keys::SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR),
            configs: vec![
                config("cleanup.policy", "delete".to_owned()),
                config("compression.type", "producer".to_owned()),
                config("min.insync.replicas", min_isr.to_string()),
                config("retention.ms", "-1".to_owned()),
                config("segment.bytes", segment_bytes.to_string()),
            ],
            ..base
        }
    }

    /// Creates the topics that other parts of the broker find they need.
    pub(super) async fn create_wanted(self: Arc<Self>) {
        loop {
            self.shares.persister.topic_wanted().await;
            let name = Str::from_static(topic::SHARE_GROUP_STATE);
            if self.cluster.image().topic(&name).is_none() {
                self.create_topics_in_background(BTreeSet::from([name]));
            }
        }
    }

    /// Prunes the logs of share groups now and then.
    pub(super) async fn prune_shares(self: Arc<Self>) {
        let ms = self.config.get(keys::SHARE_COORDINATOR_STATE_TOPIC_PRUNE_INTERVAL_MS);
        let pause = Duration::from_millis(ms.max(1).unsigned_abs().into());
        loop {
            tokio::time::sleep(pause).await;
            self.shares.coordinator.prune(&self.partitions).await;
        }
    }

    /// Creates topics; returns the outcome of each.
    async fn create(&self, topics: Vec<CreatableTopic>) -> Vec<(Str, ErrorCode, Str)> {
        let names: Vec<Str> = topics.iter().map(|topic| topic.name.clone()).collect();
        let request =
            CreateTopicsRequest { topics, timeout_ms: CREATE_TIMEOUT_MS, validate_only: false };
        match self.coordinators.call(&request).await {
            Ok(response) => response
                .topics
                .into_iter()
                .map(|topic| {
                    (topic.name, topic.error_code, topic.error_message.unwrap_or_default())
                })
                .collect(),
            Err(error) => {
                let code = ErrorCode::REQUEST_TIMED_OUT;
                let message = Str::from(error.to_string());
                names.into_iter().map(|name| (name, code, message.clone())).collect()
            }
        }
    }

    /// Creates the topics of `KAFKA_CREATE_TOPICS` (`vltava.create.topics`), unless they exist;
    /// waits for brokers while there are too few for a topic's replicas, which keeps no other topic
    /// waiting.
    pub(super) async fn create_declared(self: Arc<Self>, mut declared: Vec<CreateTopic>) {
        let mut told = BTreeSet::new();
        let mut pause = DECLARED_PAUSE;
        loop {
            let mut left = Vec::new();
            for one in declared {
                if self.create_one_declared(&one, &mut told).await {
                    left.push(one);
                }
            }
            if left.is_empty() {
                return;
            }
            declared = left;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(DECLARED_PAUSE_MAX);
        }
    }

    /// Tries to create a declared topic; `true` if it is to be tried again. Of which topics that
    /// was `told` is noted, as it is told once.
    async fn create_one_declared(&self, one: &CreateTopic, told: &mut BTreeSet<Str>) -> bool {
        if self.cluster.image().topic(&one.name).is_some() {
            return false;
        }
        let policy = one.cleanup_policy.as_ref();
        let policy = policy.map(|policy| config("cleanup.policy", policy.as_str().to_owned()));
        let topic = CreatableTopic {
            name: one.name.as_str().into(),
            num_partitions: one.partitions,
            replication_factor: one.replication_factor,
            configs: policy.into_iter().collect(),
            ..Default::default()
        };
        let Some((name, code, message)) = self.create(vec![topic]).await.pop() else {
            return false;
        };
        match code {
            ErrorCode::NONE => tracing::info!(topic = %name, "created as declared"),
            ErrorCode::TOPIC_ALREADY_EXISTS => {}
            ErrorCode::INVALID_REPLICATION_FACTOR
            | ErrorCode::NOT_CONTROLLER
            | ErrorCode::REQUEST_TIMED_OUT => {
                if told.insert(name.clone()) {
                    tracing::warn!(topic = %name, %code, "not yet created: {message}");
                }
                return true;
            }
            code => tracing::error!(topic = %name, %code, "cannot be created: {message}"),
        }
        false
    }
}

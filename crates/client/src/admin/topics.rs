//! Topics: list, describe, create, delete, grow, elect leaders.

use std::collections::BTreeMap;

use vltava_wire::messages::create_partitions::CreatePartitionsTopic;
use vltava_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
};
use vltava_wire::messages::delete_topics::DeleteTopicState;
use vltava_wire::messages::elect_leaders::TopicPartitions;
use vltava_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, ElectLeadersRequest,
};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::{Outcomes, TIMEOUT_MS};
use crate::cluster::Cluster;
use crate::error::ClientError;
use crate::topic::Topic;

/// A topic that is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; −1 for the cluster's default.
    pub partitions: i32,
    /// How many replicas each; −1 for the cluster's default.
    pub replication_factor: i16,
    /// Its configuration where it differs from the cluster's.
    pub configs: BTreeMap<String, String>,
    /// The brokers of each partition, instead of the two numbers.
    pub assignments: Vec<Vec<i32>>,
}

impl NewTopic {
    /// A topic with the cluster's configuration; −1 for either number means the default.
    pub fn new(name: &str, partitions: i32, replication_factor: i16) -> Self {
        Self { name: name.to_owned(), partitions, replication_factor, ..Self::default() }
    }

    /// Sets one of its configuration keys.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.configs.insert(name.to_owned(), value.to_owned());
        self
    }

    fn to_wire(&self) -> CreatableTopic {
        let by_hand = !self.assignments.is_empty();
        let assignments = self.assignments.iter().zip(0..).map(|(brokers, partition_index)| {
            CreatableReplicaAssignment { partition_index, broker_ids: brokers.clone() }
        });
        let configs = self.configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: name.as_str().into(),
            value: Some(value.as_str().into()),
        });
        CreatableTopic {
            name: self.name.as_str().into(),
            num_partitions: if by_hand { -1 } else { self.partitions },
            replication_factor: if by_hand { -1 } else { self.replication_factor },
            assignments: assignments.collect(),
            configs: configs.collect(),
        }
    }
}

/// A topic that was created, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has; −1 if the cluster does not say.
    pub partitions: i32,
    /// How many replicas each has; −1 if the cluster does not say.
    pub replication_factor: i16,
}

/// Which leaders are elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The first replica of the partition, if it is in sync.
    Preferred,
    /// Any replica that lives, even if it lacks records; only where no in-sync one does.
    Unclean,
}

impl Cluster {
    /// All topics.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn list_topics(&self) -> Result<Vec<Topic>, ClientError> {
        let response = self.retry(|| self.metadata(None, false)).await?;
        let mut topics: Vec<Topic> = response.topics.iter().map(Into::into).collect();
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    }

    /// Some topics, each as it is now.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn describe_topics(&self, names: &[&str]) -> Result<Outcomes<Topic>, ClientError> {
        let response = self.retry(|| self.metadata(Some(names), false)).await?;
        let outcome = |topic: &vltava_wire::messages::metadata::MetadataResponseTopic| {
            let name = topic.name.as_ref().map(String::from).unwrap_or_default();
            let what = || format!("topic {name}");
            let checked = ClientError::check(what, topic.error_code, None);
            (name.clone(), checked.map(|()| topic.into()))
        };
        Ok(response.topics.iter().map(outcome).collect())
    }

    /// Creates topics; with `validate_only`, only says whether it would.
    ///
    /// # Errors
    /// If no node answers. A topic that exists is an outcome, TOPIC_ALREADY_EXISTS.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Outcomes<CreatedTopic>, ClientError> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(NewTopic::to_wire).collect(),
            timeout_ms: TIMEOUT_MS,
            validate_only,
        };
        let outcome = |result: &CreatableTopicResult| {
            let what = || format!("topic {}", result.name);
            let created = CreatedTopic {
                id: result.topic_id,
                partitions: result.num_partitions,
                replication_factor: result.replication_factor,
            };
            let message = result.error_message.as_deref();
            let checked = ClientError::check(what, result.error_code, message);
            (String::from(&result.name), checked.map(|()| created))
        };
        let response = self
            .call_controller(&request, |response| {
                nothing_decided(response.topics.iter().map(|topic| topic.error_code))
            })
            .await?;
        Ok(response.topics.iter().map(outcome).collect())
    }

    /// Deletes topics with all their records.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<Outcomes<()>, ClientError> {
        let names: Vec<Str> = names.iter().map(|name| (*name).into()).collect();
        let state =
            |name: &Str| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO };
        let request = DeleteTopicsRequest {
            topics: names.iter().map(state).collect(),
            topic_names: names,
            timeout_ms: TIMEOUT_MS,
        };
        let response = self
            .call_controller(&request, |response| {
                nothing_decided(response.responses.iter().map(|topic| topic.error_code))
            })
            .await?;
        let results = response.responses.iter().map(|result| {
            let name = result.name.as_ref().map(String::from).unwrap_or_default();
            self.forget_topic(&name);
            outcome(name, result.error_code, result.error_message.as_deref())
        });
        Ok(results.collect())
    }

    /// Gives topics more partitions; the count is that of all partitions together.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn create_partitions(
        &self,
        topics: &[(&str, i32)],
        validate_only: bool,
    ) -> Result<Outcomes<()>, ClientError> {
        let topic = |(name, count): &(&str, i32)| CreatePartitionsTopic {
            name: (*name).into(),
            count: *count,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            timeout_ms: TIMEOUT_MS,
            validate_only,
        };
        let response = self
            .call_controller(&request, |response| {
                nothing_decided(response.results.iter().map(|topic| topic.error_code))
            })
            .await?;
        let results = response.results.iter().map(|result| {
            self.forget_topic(&result.name);
            outcome((&result.name).into(), result.error_code, result.error_message.as_deref())
        });
        Ok(results.collect())
    }

    /// Elects leaders of some partitions, or of all that need it. The outcomes are named
    /// `topic-partition`; that a partition needs none is one (ELECTION_NOT_NEEDED).
    ///
    /// # Errors
    /// If no node answers, or refuses altogether.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[(&str, i32)]>,
    ) -> Result<Outcomes<()>, ClientError> {
        let wanted = partitions.map(|partitions| {
            let one = |(topic, partition): &(&str, i32)| TopicPartitions {
                topic: (*topic).into(),
                partitions: vec![*partition],
            };
            partitions.iter().map(one).collect()
        });
        let request = ElectLeadersRequest {
            election_type: match election {
                Election::Preferred => 0,
                Election::Unclean => 1,
            },
            topic_partitions: wanted,
            timeout_ms: TIMEOUT_MS,
        };
        let response = self
            .call_controller(&request, |response| {
                ClientError::check(|| "the election".to_owned(), response.error_code, None)
            })
            .await?;
        let mut outcomes = Outcomes::new();
        for topic in &response.replica_election_results {
            self.forget_topic(&topic.topic);
            for result in &topic.partition_result {
                let name = format!("{}-{}", topic.topic, result.partition_id);
                let message = result.error_message.as_deref();
                outcomes.push(outcome(name, result.error_code, message));
            }
        }
        Ok(outcomes)
    }
}

/// One outcome without a value.
fn outcome(
    name: String,
    code: ErrorCode,
    message: Option<&str>,
) -> (String, Result<(), ClientError>) {
    let checked = ClientError::check(|| name.clone(), code, message);
    (name, checked)
}

/// Whether every part of an answer says that the node could not decide, so that the request is
/// made again as a whole; where some parts are decided, each stands for itself.
fn nothing_decided(codes: impl Iterator<Item = ErrorCode>) -> Result<(), ClientError> {
    let mut last = ErrorCode::NONE;
    for code in codes {
        match code {
            ErrorCode::NOT_CONTROLLER | ErrorCode::REQUEST_TIMED_OUT => last = code,
            _ => return Ok(()),
        }
    }
    ClientError::check(|| "the active coordinator".to_owned(), last, None)
}

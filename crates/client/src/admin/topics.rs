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
use crate::cluster::{Cluster, Decided};
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

    /// How many partitions and replicas it asks for; −1 each where it names brokers instead.
    fn numbers(&self) -> (i32, i16) {
        match self.assignments.is_empty() {
            true => (self.partitions, self.replication_factor),
            false => (-1, -1),
        }
    }

    fn to_wire(&self) -> CreatableTopic {
        let assignments = self.assignments.iter().zip(0..).map(|(brokers, partition_index)| {
            CreatableReplicaAssignment { partition_index, broker_ids: brokers.clone() }
        });
        let configs = self.configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: name.as_str().into(),
            value: Some(value.as_str().into()),
        });
        let (num_partitions, replication_factor) = self.numbers();
        CreatableTopic {
            name: self.name.as_str().into(),
            num_partitions,
            replication_factor,
            assignments: assignments.collect(),
            configs: configs.collect(),
        }
    }
}

/// A topic that was created, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero if the cluster does not say.
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
    /// If no node answers. A topic that exists is an outcome, TOPIC_ALREADY_EXISTS; one that an
    /// attempt of this call made, whose answer was lost, is created.
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
        let Decided { outcome: response, perhaps_before } = self
            .decide(&request, |response| {
                nothing_decided(response.topics.iter().map(|topic| topic.error_code))
            })
            .await;
        let mut outcomes: Outcomes<_> = response?.topics.iter().map(outcome).collect();
        for (name, outcome) in &mut outcomes {
            let exists = ErrorCode::TOPIC_ALREADY_EXISTS;
            let perhaps = perhaps_before && !validate_only && is_refused(outcome, exists);
            let wanted = topics.iter().find(|topic| perhaps && topic.name == *name);
            if let Some(wanted) = wanted
                && let Some(made) = self.made_before(wanted).await
            {
                *outcome = Ok(made);
            }
        }
        Ok(outcomes)
    }

    /// A topic that exists, if an attempt to create it that ended undecided may have made it: it
    /// is as that wanted it, as far as anybody knows yet.
    async fn made_before(&self, wanted: &NewTopic) -> Option<CreatedTopic> {
        let described = self.describe_topics(&[&wanted.name]).await.ok();
        let Some((_, Ok(topic))) = described.and_then(|mut topics| topics.pop()) else {
            return Some(CreatedTopic { id: Uuid::ZERO, partitions: -1, replication_factor: -1 });
        };
        let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
        let made = CreatedTopic {
            id: topic.id,
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        };
        let same = |wanted: i32, made: i32| wanted < 0 || wanted == made;
        let (partitions, replicas) = wanted.numbers();
        let as_wanted = same(partitions, made.partitions)
            && same(i32::from(replicas), i32::from(made.replication_factor));
        as_wanted.then_some(made)
    }

    /// Deletes topics with all their records.
    ///
    /// # Errors
    /// If no node answers. A topic that does not exist is an outcome,
    /// UNKNOWN_TOPIC_OR_PARTITION, but for one that went by an attempt of this call whose answer
    /// was lost.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<Outcomes<()>, ClientError> {
        let names: Vec<Str> = names.iter().map(|name| (*name).into()).collect();
        let state =
            |name: &Str| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO };
        let request = DeleteTopicsRequest {
            topics: names.iter().map(state).collect(),
            topic_names: names,
            timeout_ms: TIMEOUT_MS,
        };
        let Decided { outcome: response, perhaps_before } = self
            .decide(&request, |response| {
                nothing_decided(response.responses.iter().map(|topic| topic.error_code))
            })
            .await;
        let response = response?;
        let results = response.responses.iter().map(|result| {
            let name = result.name.as_ref().map(String::from).unwrap_or_default();
            self.forget_topic(&name);
            let code = match result.error_code {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION if perhaps_before => ErrorCode::NONE,
                code => code,
            };
            outcome(name, code, result.error_message.as_deref())
        });
        Ok(results.collect())
    }

    /// Gives topics more partitions; the count is that of all partitions together.
    ///
    /// # Errors
    /// If no node answers. A topic that has as many is an outcome, INVALID_PARTITIONS, but for
    /// one that got them by an attempt of this call whose answer was lost.
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
        let Decided { outcome: response, perhaps_before } = self
            .decide(&request, |response| {
                nothing_decided(response.results.iter().map(|topic| topic.error_code))
            })
            .await;
        let response = response?;
        let results = response.results.iter().map(|result| {
            self.forget_topic(&result.name);
            outcome((&result.name).into(), result.error_code, result.error_message.as_deref())
        });
        let mut outcomes: Outcomes<()> = results.collect();
        for (name, outcome) in &mut outcomes {
            let invalid = ErrorCode::INVALID_PARTITIONS;
            let perhaps = perhaps_before && !validate_only && is_refused(outcome, invalid);
            let wanted = topics.iter().find(|(topic, _)| perhaps && topic == name);
            if let Some((_, wanted)) = wanted
                && !self.has_more_than(name, *wanted).await
            {
                *outcome = Ok(());
            }
        }
        Ok(outcomes)
    }

    /// Whether a topic has more partitions than that.
    async fn has_more_than(&self, name: &str, count: i32) -> bool {
        let described = self.describe_topics(&[name]).await.ok();
        let topic = described.and_then(|mut topics| topics.pop()?.1.ok());
        let more = |topic: Topic| i32::try_from(topic.partitions.len()).is_ok_and(|it| it > count);
        topic.is_some_and(more)
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

fn is_refused<T>(outcome: &Result<T, ClientError>, code: ErrorCode) -> bool {
    outcome.as_ref().is_err_and(|error| error.code() == Some(code))
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

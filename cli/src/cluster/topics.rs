//! Topics, asked for and changed.

use std::collections::BTreeMap;

use vltava_client::ClientError;
use vltava_wire::ErrorCode;
use vltava_wire::messages::create_partitions::CreatePartitionsTopic;
use vltava_wire::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
};
use vltava_wire::messages::delete_topics::DeleteTopicState;
use vltava_wire::messages::metadata::MetadataResponseTopic;
use vltava_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataResponse,
};

use crate::cluster::session::{Session, check};

/// How long the cluster may take to carry a change out, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// A topic to create; what is not said is left to the brokers.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    pub(crate) partitions: Option<i32>,
    pub(crate) replication_factor: Option<i16>,
    pub(crate) config: BTreeMap<String, String>,
}

/// Creates topics. The answers come in the cluster's order, refusals among them.
pub(crate) async fn create(
    session: &Session,
    topics: &[NewTopic],
) -> Result<Vec<CreatableTopicResult>, ClientError> {
    let creatable = |topic: &NewTopic| CreatableTopic {
        name: topic.name.as_str().into(),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        configs: topic
            .config
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.as_str().into(),
                value: Some(value.as_str().into()),
            })
            .collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: topics.iter().map(creatable).collect(),
        timeout_ms: TIMEOUT_MS,
        validate_only: false,
    };
    Ok(session.ask(&request).await?.topics)
}

/// Creates one topic.
pub(crate) async fn create_one(
    session: &Session,
    topic: &NewTopic,
) -> Result<CreatableTopicResult, ClientError> {
    let answers = create(session, std::slice::from_ref(topic)).await?;
    let answer = answers.into_iter().next().unwrap_or_default();
    check(|| format!("topic {}", topic.name), answer.error_code, answer.error_message.as_ref())?;
    Ok(answer)
}

/// Raises the number of partitions of a topic.
pub(crate) async fn grow(session: &Session, name: &str, to: i32) -> Result<(), ClientError> {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: name.into(), count: to, assignments: None }],
        timeout_ms: TIMEOUT_MS,
        validate_only: false,
    };
    for answer in session.ask(&request).await?.results {
        check(|| format!("topic {name}"), answer.error_code, answer.error_message.as_ref())?;
    }
    Ok(())
}

/// Deletes a topic.
pub(crate) async fn delete(session: &Session, name: &str) -> Result<(), ClientError> {
    let topic = DeleteTopicState { name: Some(name.into()), ..Default::default() };
    let request = DeleteTopicsRequest {
        topics: vec![topic],
        topic_names: vec![name.into()],
        timeout_ms: TIMEOUT_MS,
    };
    for answer in session.ask(&request).await?.responses {
        check(|| format!("topic {name}"), answer.error_code, answer.error_message.as_ref())?;
    }
    Ok(())
}

/// The topics of an answer by name, sorted. One that was asked for and does not exist is an error.
pub(crate) fn sorted(
    metadata: MetadataResponse,
) -> Result<Vec<MetadataResponseTopic>, ClientError> {
    let mut topics = metadata.topics;
    for topic in &topics {
        // A topic whose partitions have no leader at the moment is still there.
        let missing = topic.error_code.is_err()
            && topic.error_code != ErrorCode::LEADER_NOT_AVAILABLE
            && topic.partitions.is_empty();
        if missing {
            check(|| format!("topic {}", name_of(topic)), topic.error_code, None)?;
        }
    }
    topics.sort_by_key(name_of);
    topics.iter_mut().for_each(|topic| {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    });
    Ok(topics)
}

/// A topic's name.
pub(crate) fn name_of(topic: &MetadataResponseTopic) -> String {
    topic.name.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// How many replicas a topic's partitions have; the fewest, where they differ.
pub(crate) fn replicas_of(topic: &MetadataResponseTopic) -> usize {
    let replicas = topic.partitions.iter().map(|partition| partition.replica_nodes.len());
    replicas.min().unwrap_or_default()
}

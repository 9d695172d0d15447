//! Metadata (3): the brokers, topics and partitions as the latest image has them.

use std::collections::BTreeSet;
use std::sync::Arc;

use vltava_config::keys;
use vltava_metadata::{Image, TopicImage};
use vltava_net::Reply;
use vltava_node::named::once;
use vltava_wire::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use vltava_wire::messages::{MetadataRequest, MetadataResponse};
use vltava_wire::{ErrorCode, NodeId, PartitionId, Str, Uuid, operations};

use crate::api::context::Call;
use crate::metadata::topic;
use crate::server::Broker;

/// From this version on topics are named by their ids; others have fields for it.
const IDS_SINCE: i16 = 12;

/// Answers from the image; topics that are missing and may be made are asked of the coordinator.
/// A leader that has most likely just died is not named: the answer waits for what becomes of it.
pub async fn handle(broker: &Arc<Broker>, call: Call<MetadataRequest>) -> Reply {
    if let Some(refused) = refused(&call.request, call.version()) {
        return call.reply(&refused);
    }
    let leaders = leaders(&broker.cluster.image(), &call);
    if !broker.cluster.is_in_doubt(&leaders) {
        return call.reply(&answer(broker, &call));
    }
    let (broker, call) = (Arc::clone(broker), Arc::new(call));
    let waiting = Arc::clone(&call);
    call.reply_later(async move {
        broker.cluster.without_doubt(&leaders).await;
        answer(&broker, &waiting)
    })
}

/// The answer to a request that names topics in a way that its version does not have.
fn refused(request: &MetadataRequest, version: i16) -> Option<MetadataResponse> {
    let topics = request.topics.as_deref().filter(|_| version < IDS_SINCE)?;
    let is_amiss = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_zero();
    topics.iter().any(is_amiss).then(|| {
        let refuse = |topic: &MetadataRequestTopic| MetadataResponseTopic {
            error_code: ErrorCode::INVALID_REQUEST,
            // These versions have no answer without a name.
            name: Some(topic.name.clone().unwrap_or_default()),
            topic_id: topic.topic_id,
            ..Default::default()
        };
        let topics = topics.iter().map(refuse).collect();
        MetadataResponse { topics, ..Default::default() }
    })
}

/// The brokers that the answer would name as leaders.
fn leaders(image: &Image, call: &Call<MetadataRequest>) -> Vec<NodeId> {
    let of = |topic: &TopicImage| -> Vec<NodeId> {
        topic.partitions.values().filter_map(|partition| partition.leader()).collect()
    };
    let mut leaders: Vec<NodeId> = match wanted(&call.request, call.version()) {
        None => image.topics().flat_map(of).collect(),
        Some(topics) => topics
            .into_iter()
            .filter_map(|topic| match &topic.name {
                Some(name) => image.topic(name),
                None => image.topic_by_id(topic.topic_id),
            })
            .flat_map(of)
            .collect(),
    };
    leaders.sort_unstable();
    leaders.dedup();
    leaders
}

fn answer(broker: &Arc<Broker>, call: &Call<MetadataRequest>) -> MetadataResponse {
    let image = broker.cluster.image();
    let listener = call.listener.clone();
    let request = &call.request;
    let mut response = MetadataResponse {
        brokers: brokers(&image, &listener, |node| broker.cluster.departed_just_now(node)),
        cluster_id: Some(image.cluster_id().clone()),
        controller_id: image.senior_broker().unwrap_or(NodeId::NONE).get(),
        cluster_authorized_operations: operations::if_asked(
            request.include_cluster_authorized_operations,
            operations::CLUSTER,
        ),
        ..Default::default()
    };
    let asked = request.include_topic_authorized_operations;
    let operations = operations::if_asked(asked, operations::TOPIC);
    let view = View { image: &image, listener: &listener, operations };
    match wanted(request, call.version()) {
        None => response.topics.extend(image.topics_by_name().map(|topic| view.topic(topic))),
        Some(topics) => {
            let mut missing = BTreeSet::new();
            for wanted in topics {
                response.topics.push(view.asked_topic(wanted, &mut missing));
            }
            if request.allow_auto_topic_creation
                && broker.config.get(keys::AUTO_CREATE_TOPICS_ENABLE)
                && !missing.is_empty()
            {
                broker.create_topics_in_background(missing);
            }
        }
    }
    response
}

/// The topics that are asked for, each once; `None` for all of them. A name counts more than an id.
fn wanted(request: &MetadataRequest, version: i16) -> Option<Vec<&MetadataRequestTopic>> {
    let topics = match request.topics.as_deref() {
        Some([]) if version == 0 => None,
        topics => topics,
    };
    let key = |topic: &&MetadataRequestTopic| match &topic.name {
        Some(name) => (Some(name.clone()), Uuid::ZERO),
        None => (None, topic.topic_id),
    };
    topics.map(|topics| once(topics, key).collect())
}

/// The live brokers that have that listener, and those that departed just now.
fn brokers(
    image: &Image,
    listener: &str,
    departed: impl Fn(NodeId) -> bool,
) -> Vec<MetadataResponseBroker> {
    image
        .brokers()
        .filter(|broker| !broker.fenced || departed(broker.id))
        .filter_map(|broker| {
            let endpoint = broker.endpoint(listener)?;
            Some(MetadataResponseBroker {
                node_id: broker.id.get(),
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
            })
        })
        .collect()
}

/// The image as it looks to a client of one listener.
struct View<'a> {
    image: &'a Image,
    listener: &'a str,
    /// What may be done with a topic.
    operations: i32,
}

impl View<'_> {
    fn asked_topic(
        &self,
        wanted: &MetadataRequestTopic,
        missing: &mut BTreeSet<Str>,
    ) -> MetadataResponseTopic {
        let refused = |error_code| MetadataResponseTopic {
            error_code,
            name: wanted.name.clone(),
            topic_id: wanted.topic_id,
            topic_authorized_operations: self.operations,
            ..Default::default()
        };
        let Some(name) = &wanted.name else {
            return match self.image.topic_by_id(wanted.topic_id) {
                Some(topic) => self.topic(topic),
                None if wanted.topic_id == Uuid::ZERO => {
                    refused(ErrorCode::INVALID_TOPIC_EXCEPTION)
                }
                None => refused(ErrorCode::UNKNOWN_TOPIC_ID),
            };
        };
        match self.image.topic(name) {
            Some(topic) => self.topic(topic),
            None if topic::is_valid_name(name) => {
                missing.insert(name.detach());
                refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            }
            None => refused(ErrorCode::INVALID_TOPIC_EXCEPTION),
        }
    }

    fn topic(&self, topic: &TopicImage) -> MetadataResponseTopic {
        MetadataResponseTopic {
            error_code: ErrorCode::NONE,
            name: Some(topic.name.clone()),
            topic_id: topic.id,
            is_internal: topic::is_internal(&topic.name),
            partitions: topic.partitions.keys().map(|at| self.partition(topic, *at)).collect(),
            topic_authorized_operations: self.operations,
        }
    }

    /// A partition without a reachable leader is listed with LEADER_NOT_AVAILABLE, or
    /// LISTENER_NOT_FOUND where the leader lives but lacks the client's listener.
    fn partition(&self, topic: &TopicImage, at: PartitionId) -> MetadataResponsePartition {
        let partition = &topic.partitions[&at];
        let leader = partition.leader();
        let (error_code, leader) = match leader.and_then(|leader| self.image.broker(leader)) {
            Some(broker) if broker.endpoint(self.listener).is_some() => (ErrorCode::NONE, leader),
            Some(_) => (ErrorCode::LISTENER_NOT_FOUND, None),
            None => (ErrorCode::LEADER_NOT_AVAILABLE, None),
        };
        let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect();
        let offline: Vec<NodeId> = partition
            .replicas
            .iter()
            .copied()
            .filter(|replica| !topic::is_replica_online(self.image, partition, *replica))
            .collect();
        MetadataResponsePartition {
            error_code,
            partition_index: at.get(),
            leader_id: leader.unwrap_or(NodeId::NONE).get(),
            leader_epoch: partition.leader_epoch.get(),
            replica_nodes: numbers(&partition.replicas),
            isr_nodes: numbers(&partition.isr),
            offline_replicas: numbers(&offline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(topics: &[(Option<&'static str>, u128)]) -> MetadataRequest {
        let topic = |&(name, id): &(Option<&'static str>, u128)| MetadataRequestTopic {
            topic_id: Uuid(id),
            name: name.map(Str::from_static),
        };
        let topics = Some(topics.iter().map(topic).collect());
        MetadataRequest { topics, ..Default::default() }
    }

    #[test]
    fn a_topic_that_is_named_twice_is_told_once() {
        let (a, b) = (Some("a"), Some("b"));
        let request = asking(&[(a, 0), (b, 0), (a, 5), (None, 7), (None, 8), (None, 7)]);
        let told: Vec<_> = wanted(&request, 13).expect("some").into_iter().cloned().collect();
        let expected = asking(&[(a, 0), (b, 0), (None, 7), (None, 8)]);
        assert_eq!(Some(told), expected.topics);
    }

    #[test]
    fn ids_are_for_versions_that_have_them() {
        let codes = |request: &MetadataRequest, version| {
            let told = refused(request, version)?.topics.into_iter();
            Some(told.map(|it| (it.error_code, it.name)).collect::<Vec<_>>())
        };
        let refusal = |name| (ErrorCode::INVALID_REQUEST, Some(Str::from_static(name)));
        let by_id = asking(&[(Some("a"), 0), (None, 7)]);
        assert_eq!(codes(&by_id, 11), Some(vec![refusal("a"), refusal("")]));
        assert_eq!(codes(&by_id, 12), None);
        assert_eq!(codes(&asking(&[(Some("a"), 7)]), 10), Some(vec![refusal("a")]));
        assert_eq!(codes(&asking(&[(Some("a"), 0)]), 10), None);
        assert_eq!(codes(&MetadataRequest { topics: None, ..Default::default() }, 10), None);
    }
}

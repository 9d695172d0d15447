//! DescribeTopicPartitions (75): partitions of topics, page by page (KIP-966).

use std::sync::Arc;

use vltava_config::keys;
use vltava_metadata::TopicImage;
use vltava_net::Reply;
use vltava_wire::messages::describe_topic_partitions::{
    CursorResponse, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use vltava_wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use vltava_wire::{ErrorCode, NodeId, PartitionId, Str, operations};

use crate::api::context::Call;
use crate::metadata::topic;
use crate::server::Broker;

/// Answers from the image, in the order of the topics' names.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeTopicPartitionsRequest>) -> Reply {
    let image = broker.cluster.image();
    let request = &call.request;
    let most = broker.config.get(keys::MAX_REQUEST_PARTITION_SIZE_LIMIT);
    let limit = request.response_partition_limit.clamp(1, most) as usize;
    if let Some(refused) = refused(request) {
        return call.reply(&refused);
    }
    let (first, first_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.clone(), cursor.partition_index),
        None => (Str::default(), 0),
    };
    let mut names: Vec<Str> = match request.topics.as_slice() {
        [] => image.topic_names_from(&first).cloned().collect(),
        topics => topics.iter().map(|topic| topic.name.clone()).collect(),
    };
    names.sort();
    names.dedup();
    names.retain(|name| *name >= first);

    let mut page = Page { left: limit, response: DescribeTopicPartitionsResponse::default() };
    for name in names {
        let start = if name == first { first_partition } else { 0 };
        if page.left == 0 {
            let cursor = CursorResponse { topic_name: name, partition_index: start };
            page.response.next_cursor = Some(cursor);
            break;
        }
        match image.topic(&name) {
            Some(topic) => {
                let online = |at: PartitionId, replica| {
                    topic::is_replica_online(&image, &topic.partitions[&at], replica)
                };
                page.topic(topic, start, online);
            }
            None => page.missing(name),
        }
        if page.response.next_cursor.is_some() {
            break;
        }
    }
    call.reply(&page.response)
}

/// The answer to a cursor that makes no sense.
fn refused(request: &DescribeTopicPartitionsRequest) -> Option<DescribeTopicPartitionsResponse> {
    let cursor = request.cursor.as_ref()?;
    let is_among = |name: &Str| request.topics.iter().any(|topic| topic.name == *name);
    let is_wanted = request.topics.is_empty() || is_among(&cursor.topic_name);
    if is_wanted && cursor.partition_index >= 0 {
        return None;
    }
    let topic = |name: &Str| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(name.clone()),
        ..Default::default()
    };
    let topics = request.topics.iter().map(|it| topic(&it.name)).collect();
    Some(DescribeTopicPartitionsResponse { topics, ..Default::default() })
}

/// One answer, which holds so many partitions and then names where the next goes on.
struct Page {
    left: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page {
    fn missing(&mut self, name: Str) {
        let error_code = if topic::is_valid_name(&name) {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        } else {
            ErrorCode::INVALID_TOPIC_EXCEPTION
        };
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code,
            name: Some(name),
            topic_authorized_operations: operations::TOPIC,
            ..Default::default()
        });
    }

    /// Adds a topic from a partition on, and the cursor where the page does not hold all of it.
    fn topic(
        &mut self,
        topic: &TopicImage,
        start: i32,
        is_online: impl Fn(PartitionId, NodeId) -> bool,
    ) {
        let mut partitions = Vec::new();
        let mut next = None;
        for (at, partition) in topic.partitions.range(PartitionId(start)..) {
            if self.left == 0 {
                next = Some(at.get());
                break;
            }
            self.left -= 1;
            let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect();
            let offline: Vec<NodeId> = partition
                .replicas
                .iter()
                .copied()
                .filter(|replica| !is_online(*at, *replica))
                .collect();
            partitions.push(DescribeTopicPartitionsResponsePartition {
                error_code: match partition.leader() {
                    Some(_) => ErrorCode::NONE,
                    None => ErrorCode::LEADER_NOT_AVAILABLE,
                },
                partition_index: at.get(),
                leader_id: partition.leader.get(),
                leader_epoch: partition.leader_epoch.get(),
                replica_nodes: numbers(&partition.replicas),
                isr_nodes: numbers(&partition.isr),
                eligible_leader_replicas: Some(numbers(&partition.elr)),
                last_known_elr: Some(numbers(&partition.last_known_elr)),
                offline_replicas: numbers(&offline),
            });
        }
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::NONE,
            name: Some(topic.name.clone()),
            topic_id: topic.id,
            is_internal: topic::is_internal(&topic.name),
            partitions,
            topic_authorized_operations: operations::TOPIC,
        });
        self.response.next_cursor = next.map(|partition_index| CursorResponse {
            topic_name: topic.name.clone(),
            partition_index,
        });
    }
}

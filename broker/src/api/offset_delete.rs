//! OffsetDelete (47): committed offsets of a group are deleted.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::OffsetDeleteRequest;
use vltava_wire::messages::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use vltava_wire::{ErrorCode, PartitionId};

use crate::api::context::Call;
use crate::group::calls::OffsetDeleteCall;
use crate::server::Broker;

/// Answers when the deletion is stored on all replicas in sync.
pub async fn handle(broker: &Arc<Broker>, call: Call<OffsetDeleteRequest>) -> Reply {
    let request = &call.request;
    let image = broker.cluster.image();
    let mut topics = Vec::new();
    let mut told = Vec::new();
    for topic in &request.topics {
        let (known, others): (Vec<_>, Vec<_>) = topic.partitions.iter().partition(|partition| {
            let found = image.topic(&topic.name);
            let index = PartitionId(partition.partition_index);
            found.is_some_and(|topic| topic.partition(index).is_some())
        });
        if !known.is_empty() {
            topics.push(OffsetDeleteRequestTopic {
                name: topic.name.clone(),
                partitions: known.into_iter().cloned().collect(),
            });
        }
        if !others.is_empty() {
            let others = others.into_iter().map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            });
            let partitions = others.collect();
            told.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions });
        }
    }
    let group_id = request.group_id.clone();
    let deleted = broker.groups.delete_offsets(OffsetDeleteCall { group_id, topics });
    let deleted = deleted.map(move |mut response| {
        if response.error_code.is_ok() {
            merge(&mut response.topics, told);
        }
        response
    });
    deleted.reply(&call)
}

fn merge(topics: &mut Vec<OffsetDeleteResponseTopic>, told: Vec<OffsetDeleteResponseTopic>) {
    for other in told {
        match topics.iter_mut().find(|topic| topic.name == other.name) {
            Some(topic) => topic.partitions.extend(other.partitions),
            None => topics.push(other),
        }
    }
}

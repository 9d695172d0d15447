//! OffsetCommit (8): a group has read that far.

use std::sync::Arc;

use vltava_metadata::{Image, TopicImage};
use vltava_net::Reply;
use vltava_wire::messages::offset_commit::{
    OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use vltava_wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use vltava_wire::{ErrorCode, PartitionId};

use crate::api::context::Call;
use crate::group::calls::CommitCall;
use crate::server::Broker;
use crate::shard::Answer;

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 10;

/// The partitions of one topic: those that may be committed, and what is told of the others.
struct Sorted {
    told: OffsetCommitResponseTopic,
    known: OffsetCommitRequestTopic,
}

/// Answers when the offsets are stored on all replicas in sync.
pub async fn handle(broker: &Arc<Broker>, call: Call<OffsetCommitRequest>) -> Reply {
    let request = &call.request;
    let image = broker.cluster.image();
    let by_id = call.version() >= TOPIC_IDS_SINCE;
    let sorted: Vec<Sorted> =
        request.topics.iter().map(|topic| sort(&image, topic, by_id)).collect();
    let known = sorted.iter().filter(|topic| !topic.known.partitions.is_empty());
    let topics: Vec<_> = known.map(|topic| topic.known.clone()).collect();
    let committed = match topics.is_empty() {
        true => Answer::Now(OffsetCommitResponse::default()),
        false => broker.groups.commit(CommitCall {
            group_id: request.group_id.clone(),
            version: call.version(),
            generation: request.generation_id_or_member_epoch,
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            retention_ms: request.retention_time_ms,
            topics,
            transaction: None,
        }),
    };
    committed.map(move |committed| merge(sorted, committed)).reply(&call)
}

fn sort(image: &Image, topic: &OffsetCommitRequestTopic, by_id: bool) -> Sorted {
    let found = match by_id {
        true => image.topic_by_id(topic.topic_id),
        false => image.topic(&topic.name),
    };
    let unknown = match by_id && found.is_none() {
        true => ErrorCode::UNKNOWN_TOPIC_ID,
        false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    };
    let exists = |index: i32| {
        found.is_some_and(|topic: &TopicImage| topic.partition(PartitionId(index)).is_some())
    };
    let (known, others): (Vec<_>, Vec<_>) =
        topic.partitions.iter().partition(|partition| exists(partition.partition_index));
    let name = found.map_or_else(|| topic.name.clone(), |found| found.name.clone());
    let told = others.into_iter().map(|partition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: unknown,
    });
    Sorted {
        told: OffsetCommitResponseTopic {
            name: name.clone(),
            topic_id: topic.topic_id,
            partitions: told.collect(),
        },
        known: OffsetCommitRequestTopic {
            name,
            topic_id: topic.topic_id,
            partitions: known.into_iter().cloned().collect(),
        },
    }
}

/// Puts what the group's coordinator said beside what was known before; the coordinator answers
/// in the order in which it was asked.
fn merge(sorted: Vec<Sorted>, committed: OffsetCommitResponse) -> OffsetCommitResponse {
    let mut committed = committed.topics.into_iter();
    let topics = sorted.into_iter().map(|Sorted { mut told, known }| {
        if !known.partitions.is_empty() {
            let answered = committed.next().into_iter();
            told.partitions.extend(answered.flat_map(|topic| topic.partitions));
        }
        told
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

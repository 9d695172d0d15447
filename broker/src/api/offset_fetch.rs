//! OffsetFetch (9): how far groups have read.

use std::collections::HashSet;
use std::sync::Arc;

use vltava_metadata::Image;
use vltava_net::Reply;
use vltava_node::named::once;
use vltava_wire::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use vltava_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::group::calls::FetchCall;
use crate::server::Broker;
use crate::shard::Answer;

/// The first version that asks for several groups at once (KIP-709).
const GROUPS_SINCE: i16 = 8;

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 10;

/// The first version whose answer has an error of its own, not of its partitions only.
const ERROR_SINCE: i16 = 2;

/// Answers when no commit is under way any more, if the client wants to wait for that; else at
/// once.
pub async fn handle(broker: &Arc<Broker>, call: Call<OffsetFetchRequest>) -> Reply {
    let request = &call.request;
    let version = call.version();
    if version >= GROUPS_SINCE {
        let fetch = |group| fetch(broker, group, request.require_stable, version);
        let groups = once(&request.groups, |group| group.group_id.as_str());
        let groups = Answer::all(groups.map(fetch).collect());
        let response = |groups| OffsetFetchResponse { groups, ..Default::default() };
        return groups.map(response).reply(&call);
    }
    let topics = request.topics.as_ref().map(|topics| topics.iter().map(by_name).collect());
    let group_id = request.group_id.clone();
    let group = OffsetFetchRequestGroup { group_id, topics, ..Default::default() };
    let asked = request.topics.clone().unwrap_or_default();
    let fetched = fetch(broker, &group, request.require_stable, version);
    fetched.map(move |group| of_one_group(group, &asked, version)).reply(&call)
}

fn by_name(topic: &OffsetFetchRequestTopic) -> OffsetFetchRequestTopics {
    OffsetFetchRequestTopics {
        name: topic.name.clone(),
        partition_indexes: topic.partition_indexes.clone(),
        ..Default::default()
    }
}

fn fetch(
    broker: &Arc<Broker>,
    group: &OffsetFetchRequestGroup,
    require_stable: bool,
    version: i16,
) -> Answer<OffsetFetchResponseGroup> {
    let image = broker.cluster.image();
    let by_id = version >= TOPIC_IDS_SINCE;
    let mut unknown = Vec::new();
    let topics = group.topics.as_deref().map(|topics| {
        let mut known = Vec::with_capacity(topics.len());
        for topic in once_each(topics) {
            let name = match by_id {
                true => image.topic_by_id(topic.topic_id).map(|found| found.name.clone()),
                false => Some(topic.name.clone()),
            };
            match name {
                Some(name) => known.push(OffsetFetchRequestTopics { name, ..topic }),
                None => unknown.push(unknown_id(&topic)),
            }
        }
        known
    });
    let group_id = group.group_id.clone();
    let fetched = broker.groups.fetch(FetchCall {
        group_id,
        topics,
        member_id: group.member_id.clone(),
        member_epoch: group.member_epoch,
        require_stable,
    });
    fetched.map(move |mut group| {
        if by_id {
            add_ids(&image, &mut group);
        }
        if group.error_code.is_ok() {
            group.topics.extend(unknown);
        }
        group
    })
}

/// The topics that are asked about, each partition once: what was committed for it may be long.
fn once_each(
    topics: &[OffsetFetchRequestTopics],
) -> impl Iterator<Item = OffsetFetchRequestTopics> {
    let mut seen = HashSet::new();
    topics.iter().map(move |topic| {
        let is_new = |index: &i32| seen.insert((topic.name.as_str(), topic.topic_id, *index));
        let partition_indexes = topic.partition_indexes.iter().copied().filter(is_new).collect();
        let (name, topic_id) = (topic.name.clone(), topic.topic_id);
        OffsetFetchRequestTopics { name, topic_id, partition_indexes }
    })
}

/// Gives topics their ids; those that do not exist any more have none, and are left out.
fn add_ids(image: &Image, group: &mut OffsetFetchResponseGroup) {
    for topic in &mut group.topics {
        if topic.topic_id.is_zero() {
            topic.topic_id = image.topic_id(&topic.name).unwrap_or_default();
        }
    }
    group.topics.retain(|topic| !topic.topic_id.is_zero());
}

fn unknown_id(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        metadata: Some(Str::default()),
        error_code: ErrorCode::UNKNOWN_TOPIC_ID,
        ..Default::default()
    });
    OffsetFetchResponseTopics {
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}

/// The answer of versions that know one group only; the oldest tells an error by partition.
fn of_one_group(
    group: OffsetFetchResponseGroup,
    asked: &[OffsetFetchRequestTopic],
    version: i16,
) -> OffsetFetchResponse {
    if version < ERROR_SINCE && group.error_code.is_err() {
        let failed = |index: &i32| OffsetFetchResponsePartition {
            partition_index: *index,
            committed_offset: -1,
            error_code: group.error_code,
            ..Default::default()
        };
        let topics = asked.iter().map(|topic| OffsetFetchResponseTopic {
            name: topic.name.clone(),
            partitions: topic.partition_indexes.iter().map(failed).collect(),
        });
        return OffsetFetchResponse { topics: topics.collect(), ..Default::default() };
    }
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
            .collect(),
    });
    let (error_code, topics) = (group.error_code, topics.collect());
    OffsetFetchResponse { error_code, topics, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use vltava_wire::Uuid;

    use super::*;

    #[test]
    fn a_partition_that_is_named_twice_is_fetched_once() {
        let topic = |name: &'static str, id, indexes: &[i32]| OffsetFetchRequestTopics {
            name: name.into(),
            topic_id: Uuid(id),
            partition_indexes: indexes.to_vec(),
        };
        let topics = [
            topic("a", 0, &[0, 0, 1]),
            topic("a", 0, &[1, 2]),
            topic("", 7, &[0]),
            topic("", 8, &[0]),
        ];
        let asked: Vec<_> = once_each(&topics).map(|topic| topic.partition_indexes).collect();
        assert_eq!(asked, [vec![0, 1], vec![2], vec![0], vec![0]]);
    }
}

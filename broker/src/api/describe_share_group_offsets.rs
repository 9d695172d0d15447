//! DescribeShareGroupOffsets (90): how far share groups are, and how far they lag (KIP-1226).

use std::sync::Arc;

use futures::future::join_all;
use vltava_metadata::Image;
use vltava_net::Reply;
use vltava_node::named::once;
use vltava_wire::messages::describe_share_group_offsets::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsResponseGroup,
    DescribeShareGroupOffsetsResponsePartition, DescribeShareGroupOffsetsResponseTopic,
};
use vltava_wire::messages::{DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse};
use vltava_wire::{ErrorCode, PartitionId, Str, Uuid};

use crate::api::context::Call;
use crate::api::share_group_heartbeat;
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::record::ShareKey;
use crate::share::ends::end_offset;
use crate::share::persister::AskShareCoordinator;

/// One topic that is asked about: its name, its id if there is one, and partitions.
type Asked = (Str, Option<Uuid>, Vec<i32>);

/// Answers when the share coordinator has answered about all of it.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeShareGroupOffsetsRequest>) -> Reply {
    let groups = call.request.groups.clone();
    let broker = Arc::clone(broker);
    call.reply_later(async move {
        let groups = once(groups, |group| group.group_id.clone());
        let groups = groups.map(|group| describe(&broker, group));
        DescribeShareGroupOffsetsResponse { groups: join_all(groups).await, ..Default::default() }
    })
}

async fn describe(
    broker: &Arc<Broker>,
    asked: DescribeShareGroupOffsetsRequestGroup,
) -> DescribeShareGroupOffsetsResponseGroup {
    let group_id = asked.group_id.detach();
    let refused =
        |error_code: ErrorCode, message: Option<String>| DescribeShareGroupOffsetsResponseGroup {
            group_id: group_id.clone(),
            error_code,
            error_message: message.map(Str::from),
            ..Default::default()
        };
    if !share_group_heartbeat::is_served(broker) {
        return refused(ErrorCode::UNSUPPORTED_VERSION, None);
    }
    let known = match broker.groups.share_partitions(&group_id) {
        Ok(Some((known, _))) => known,
        Ok(None) => {
            let message = format!("Group {group_id} not found.");
            return refused(ErrorCode::GROUP_ID_NOT_FOUND, Some(message));
        }
        Err(code) => return refused(code, None),
    };
    let image = broker.cluster.image();
    let topics: Vec<Asked> = match asked.topics {
        None => {
            let all = known.into_iter().filter_map(|(topic, partitions)| {
                let name = image.topic_by_id(topic)?.name.clone();
                Some((name, Some(topic), partitions.into_iter().collect()))
            });
            all.collect()
        }
        Some(topics) => {
            let id = |name: &Str| image.topic_id(name);
            let topics = topics.into_iter();
            topics.map(|it| (it.topic_name.clone(), id(&it.topic_name), it.partitions)).collect()
        }
    };
    let topics = topics.into_iter().map(|topic| describe_topic(broker, &image, &group_id, topic));
    let topics = join_all(topics).await;
    DescribeShareGroupOffsetsResponseGroup { group_id, topics, ..Default::default() }
}

async fn describe_topic(
    broker: &Arc<Broker>,
    image: &Image,
    group: &Str,
    (topic_name, topic, partitions): Asked,
) -> DescribeShareGroupOffsetsResponseTopic {
    let partitions = partitions.into_iter().map(|partition_index| async move {
        let key =
            topic.map(|topic| ShareKey { group: group.clone(), topic, partition: partition_index });
        let told = match key {
            Some(key) => describe_partition(broker, image, key).await,
            None => DescribeShareGroupOffsetsResponsePartition {
                start_offset: -1,
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ..Default::default()
            },
        };
        DescribeShareGroupOffsetsResponsePartition { partition_index, ..told }
    });
    DescribeShareGroupOffsetsResponseTopic {
        topic_name,
        topic_id: topic.unwrap_or_default(),
        partitions: join_all(partitions).await,
    }
}

async fn describe_partition(
    broker: &Arc<Broker>,
    image: &Image,
    key: ShareKey,
) -> DescribeShareGroupOffsetsResponsePartition {
    let nothing =
        || DescribeShareGroupOffsetsResponsePartition { start_offset: -1, ..Default::default() };
    let (topic, partition) = (key.topic, key.partition);
    if image.partition(topic, PartitionId(partition)).is_none() {
        let error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        return DescribeShareGroupOffsetsResponsePartition { error_code, ..nothing() };
    }
    let persister = &broker.shares.persister;
    let known = match persister.ask(key, Ask::Summary).await {
        Ok(Some(known)) => known,
        Ok(None) => return nothing(),
        Err(refusal) => {
            let (error_code, error_message) = (refusal.code, refusal.text());
            return DescribeShareGroupOffsetsResponsePartition {
                error_code,
                error_message,
                ..nothing()
            };
        }
    };
    let end = match known.start_offset {
        -1 => None,
        _ => end_offset(&broker.partitions, persister, image, topic, partition).await,
    };
    let complete = i64::from(known.delivery_complete_count);
    let lag = end.filter(|_| complete >= 0).map(|end| (end - known.start_offset - complete).max(0));
    DescribeShareGroupOffsetsResponsePartition {
        start_offset: known.start_offset,
        leader_epoch: known.leader_epoch,
        lag: lag.unwrap_or(-1),
        ..Default::default()
    }
}

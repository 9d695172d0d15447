//! AlterShareGroupOffsets (91): where a share group without members goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use vltava_metadata::Image;
use vltava_net::Reply;
use vltava_wire::messages::alter_share_group_offsets::{
    AlterShareGroupOffsetsRequestTopic, AlterShareGroupOffsetsResponsePartition,
    AlterShareGroupOffsetsResponseTopic,
};
use vltava_wire::messages::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse};
use vltava_wire::{ErrorCode, PartitionId, Str, Uuid};

use crate::api::context::Call;
use crate::api::share_group_heartbeat;
use crate::group::{ShareOutcome, ShareTask};
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::NewState;
use crate::share::coordinator::record::ShareKey;
use crate::share::persister::AskShareCoordinator;

/// Answers when the share coordinator knows of it.
pub async fn handle(broker: &Arc<Broker>, call: Call<AlterShareGroupOffsetsRequest>) -> Reply {
    let request = &call.request;
    let refused = |error_code| AlterShareGroupOffsetsResponse { error_code, ..Default::default() };
    if !share_group_heartbeat::is_served(broker) {
        return call.reply(&refused(ErrorCode::UNSUPPORTED_VERSION));
    }
    if request.group_id.is_empty() {
        return call.reply(&refused(ErrorCode::INVALID_GROUP_ID));
    }
    let image = broker.cluster.image();
    let mut wanted: BTreeMap<Uuid, BTreeSet<i32>> = BTreeMap::new();
    for topic in &request.topics {
        let Some(id) = image.topic_id(&topic.topic_name) else { continue };
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let known: BTreeSet<i32> =
            indexes.filter(|index| image.partition(id, PartitionId(*index)).is_some()).collect();
        if !known.is_empty() {
            wanted.entry(id).or_default().extend(known);
        }
    }
    let (group, topics) = (request.group_id.detach(), request.topics.clone());
    let begun = broker.groups.begin_share_task(group.clone(), ShareTask::Alter(wanted));
    let broker = Arc::clone(broker);
    call.reply_later(async move {
        match begun.get().await {
            Ok(state_epoch) => alter(&broker, &image, group, state_epoch, topics).await,
            Err((error_code, message)) => AlterShareGroupOffsetsResponse {
                error_code,
                error_message: message,
                ..Default::default()
            },
        }
    })
}

async fn alter(
    broker: &Arc<Broker>,
    image: &Image,
    group: Str,
    state_epoch: i32,
    topics: Vec<AlterShareGroupOffsetsRequestTopic>,
) -> AlterShareGroupOffsetsResponse {
    let (group_of, persister) = (&group, &broker.shares.persister);
    let topics = topics.into_iter().map(|topic| async move {
        let topic_id = image.topic_id(&topic.topic_name);
        let partitions = topic.partitions.into_iter().map(|partition| async move {
            let index = partition.partition_index;
            let exists = |id: &Uuid| image.partition(*id, PartitionId(index)).is_some();
            let outcome = match topic_id.filter(exists) {
                None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into()),
                Some(topic) => {
                    let key = ShareKey { group: group_of.clone(), topic, partition: index };
                    let new = NewState {
                        state_epoch,
                        leader_epoch: -1,
                        start_offset: partition.start_offset,
                        delivery_complete_count: -1,
                        batches: Vec::new(),
                    };
                    persister.ask(key, Ask::Initialize(new)).await.map(|_| ())
                }
            };
            let refusal = outcome.err();
            AlterShareGroupOffsetsResponsePartition {
                partition_index: index,
                error_code: refusal.map_or(ErrorCode::NONE, |refusal| refusal.code),
                error_message: refusal.and_then(|refusal| refusal.text()),
            }
        });
        AlterShareGroupOffsetsResponseTopic {
            partitions: join_all(partitions).await,
            topic_id: topic_id.unwrap_or_default(),
            topic_name: topic.topic_name,
        }
    });
    let responses = join_all(topics).await;
    let mut outcome = ShareOutcome { group: group.clone(), ..Default::default() };
    for topic in &responses {
        let done = topic.partitions.iter().filter(|partition| partition.error_code.is_ok());
        let done: BTreeSet<i32> = done.map(|partition| partition.partition_index).collect();
        if !done.is_empty() {
            outcome.initialized.entry(topic.topic_id).or_default().extend(done);
        }
    }
    broker.groups.note_share_outcome(outcome);
    AlterShareGroupOffsetsResponse { responses, ..Default::default() }
}

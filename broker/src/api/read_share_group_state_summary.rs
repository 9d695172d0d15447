//! ReadShareGroupStateSummary (87): how far share-partitions are.

use std::sync::Arc;

use futures::future::join_all;
use vltava_net::Reply;
use vltava_wire::messages::read_share_group_state_summary::{
    PartitionResult, ReadStateSummaryResult,
};
use vltava_wire::messages::{
    ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse,
};
use vltava_wire::{ErrorCode, PartitionId};

use crate::api::context::Call;
use crate::server::Broker;
use crate::shard::Answer;
use crate::share::coordinator::machine::StateReply;
use crate::share::coordinator::record::ShareKey;

/// Answers when all of it is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<ReadShareGroupStateSummaryRequest>) -> Reply {
    let (coordinator, image) = (&broker.shares.coordinator, broker.cluster.image());
    let mut topics = Vec::new();
    for topic in &call.request.topics {
        let mut partitions = Vec::new();
        for at in &topic.partitions {
            let key = ShareKey {
                group: call.request.group_id.clone(),
                topic: topic.topic_id,
                partition: at.partition,
            };
            let exists = image.partition(topic.topic_id, PartitionId(at.partition)).is_some();
            let answer = match exists {
                true => coordinator.summary(key),
                false => Answer::Now(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into())),
            };
            partitions.push((at.partition, answer));
        }
        topics.push((topic.topic_id, partitions));
    }
    call.reply_later(async move {
        let results = topics.into_iter().map(|(topic_id, partitions)| async move {
            let partitions = partitions
                .into_iter()
                .map(|(partition, answer)| async move { result(partition, answer.get().await) });
            ReadStateSummaryResult { topic_id, partitions: join_all(partitions).await }
        });
        ReadShareGroupStateSummaryResponse { results: join_all(results).await }
    })
}

fn result(partition: i32, reply: StateReply) -> PartitionResult {
    match reply {
        Ok(known) => {
            let nobody_knows = PartitionResult { start_offset: -1, ..Default::default() };
            let told = known.map_or(nobody_knows, |known| PartitionResult {
                state_epoch: known.state_epoch,
                leader_epoch: known.leader_epoch,
                start_offset: known.start_offset,
                delivery_complete_count: known.delivery_complete_count,
                ..Default::default()
            });
            PartitionResult { partition, ..told }
        }
        Err(refusal) => PartitionResult {
            partition,
            error_code: refusal.code,
            error_message: refusal.text(),
            ..Default::default()
        },
    }
}

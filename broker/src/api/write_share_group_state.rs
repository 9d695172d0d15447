//! WriteShareGroupState (85): a leader stores what became of records.

use std::sync::Arc;

use futures::future::join_all;
use vltava_net::Reply;
use vltava_wire::messages::write_share_group_state::{PartitionResult, WriteStateResult};
use vltava_wire::messages::{WriteShareGroupStateRequest, WriteShareGroupStateResponse};
use vltava_wire::records::share_state::StateBatch;
use vltava_wire::{ErrorCode, PartitionId};

use crate::api::context::Call;
use crate::server::Broker;
use crate::shard::Answer;
use crate::share::coordinator::machine::{NewState, StateReply};
use crate::share::coordinator::record::ShareKey;

/// Answers when all of it is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<WriteShareGroupStateRequest>) -> Reply {
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
                true => {
                    let batches = at.state_batches.iter().map(|batch| StateBatch {
                        first_offset: batch.first_offset,
                        last_offset: batch.last_offset,
                        delivery_state: batch.delivery_state,
                        delivery_count: batch.delivery_count,
                    });
                    let new = NewState {
                        state_epoch: at.state_epoch,
                        leader_epoch: at.leader_epoch,
                        start_offset: at.start_offset,
                        delivery_complete_count: at.delivery_complete_count,
                        batches: batches.collect(),
                    };
                    coordinator.write(key, new)
                }
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
            WriteStateResult { topic_id, partitions: join_all(partitions).await }
        });
        WriteShareGroupStateResponse { results: join_all(results).await }
    })
}

fn result(partition: i32, reply: StateReply) -> PartitionResult {
    match reply {
        Ok(_) => PartitionResult { partition, ..Default::default() },
        Err(refusal) => {
            PartitionResult { partition, error_code: refusal.code, error_message: refusal.text() }
        }
    }
}

//! ReadShareGroupState (84): a leader asks for what is known of a share-partition.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::read_share_group_state::{PartitionResult, ReadStateResult, StateBatch};
use vltava_wire::messages::{ReadShareGroupStateRequest, ReadShareGroupStateResponse};

use crate::api::context::Call;
use crate::api::share_states::{Asked, Asking, told};
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::StateReply;

/// Answers when all of it is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<ReadShareGroupStateRequest>) -> Reply {
    let asking = Asking::of(broker, &call.request.group_id);
    let topics = call.request.topics.iter().map(|topic| {
        let asked = topic
            .partitions
            .iter()
            .map(|at| asking.ask(topic.topic_id, at.partition, Ask::Read(at.leader_epoch)));
        (topic.topic_id, asked.collect())
    });
    let asked: Asked = topics.collect();
    call.reply_later(async move {
        let results = told(asked, result).await.into_iter();
        let results =
            results.map(|(topic_id, partitions)| ReadStateResult { topic_id, partitions });
        ReadShareGroupStateResponse { results: results.collect() }
    })
}

fn result(partition: i32, reply: StateReply) -> PartitionResult {
    match reply {
        Ok(None) => PartitionResult { partition, ..Default::default() },
        Ok(Some(known)) => PartitionResult {
            partition,
            state_epoch: known.state_epoch,
            start_offset: known.start_offset,
            state_batches: known
                .batches
                .into_iter()
                .map(|batch| StateBatch {
                    first_offset: batch.first_offset,
                    last_offset: batch.last_offset,
                    delivery_state: batch.delivery_state,
                    delivery_count: batch.delivery_count,
                })
                .collect(),
            ..Default::default()
        },
        Err(refusal) => PartitionResult {
            partition,
            error_code: refusal.code,
            error_message: refusal.text(),
            ..Default::default()
        },
    }
}

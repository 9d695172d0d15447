//! WriteShareGroupState (85): a leader stores what became of records.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::write_share_group_state::{PartitionResult, WriteStateResult};
use vltava_wire::messages::{WriteShareGroupStateRequest, WriteShareGroupStateResponse};
use vltava_wire::records::share_state::StateBatch;

use crate::api::context::Call;
use crate::api::share_states::{Asked, Asking, told};
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::{NewState, StateReply};

/// Answers when all of it is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<WriteShareGroupStateRequest>) -> Reply {
    let asking = Asking::of(broker, &call.request.group_id);
    let topics = call.request.topics.iter().map(|topic| {
        let asked = topic.partitions.iter().map(|at| {
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
            asking.ask(topic.topic_id, at.partition, Ask::Write(new))
        });
        (topic.topic_id, asked.collect())
    });
    let asked: Asked = topics.collect();
    call.reply_later(async move {
        let results = told(asked, result).await.into_iter();
        let results =
            results.map(|(topic_id, partitions)| WriteStateResult { topic_id, partitions });
        WriteShareGroupStateResponse { results: results.collect() }
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

//! InitializeShareGroupState (83): the group coordinator says where a share group begins.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::initialize_share_group_state::{InitializeStateResult, PartitionResult};
use vltava_wire::messages::{InitializeShareGroupStateRequest, InitializeShareGroupStateResponse};

use crate::api::context::Call;
use crate::api::share_states::{Asked, Asking, told};
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::{NewState, StateReply};

/// Answers when all of it is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<InitializeShareGroupStateRequest>) -> Reply {
    let asking = Asking::of(broker, &call.request.group_id);
    let topics = call.request.topics.iter().map(|topic| {
        let asked = topic.partitions.iter().map(|at| {
            let new = NewState {
                state_epoch: at.state_epoch,
                leader_epoch: -1,
                start_offset: at.start_offset,
                delivery_complete_count: -1,
                batches: Vec::new(),
            };
            asking.ask(topic.topic_id, at.partition, Ask::Initialize(new))
        });
        (topic.topic_id, asked.collect())
    });
    let asked: Asked = topics.collect();
    call.reply_later(async move {
        let results = told(asked, result).await.into_iter();
        let results =
            results.map(|(topic_id, partitions)| InitializeStateResult { topic_id, partitions });
        InitializeShareGroupStateResponse { results: results.collect() }
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

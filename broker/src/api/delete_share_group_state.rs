//! DeleteShareGroupState (86): the group coordinator has share-partitions forgotten.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::delete_share_group_state::{DeleteStateResult, PartitionResult};
use vltava_wire::messages::{DeleteShareGroupStateRequest, DeleteShareGroupStateResponse};

use crate::api::context::Call;
use crate::api::share_states::{Asked, Asking, told};
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::StateReply;

/// Answers when all of it is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<DeleteShareGroupStateRequest>) -> Reply {
    let asking = Asking::of(broker, &call.request.group_id);
    let topics = call.request.topics.iter().map(|topic| {
        let asked =
            topic.partitions.iter().map(|at| asking.ask(topic.topic_id, at.partition, Ask::Delete));
        (topic.topic_id, asked.collect())
    });
    let asked: Asked = topics.collect();
    call.reply_later(async move {
        let results = told(asked, result).await.into_iter();
        let results =
            results.map(|(topic_id, partitions)| DeleteStateResult { topic_id, partitions });
        DeleteShareGroupStateResponse { results: results.collect() }
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

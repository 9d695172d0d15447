//! ReadShareGroupStateSummary (87): how far share-partitions are.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::read_share_group_state_summary::{
    PartitionResult, ReadStateSummaryResult,
};
use vltava_wire::messages::{
    ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse,
};

use crate::api::context::Call;
use crate::api::share_states::{Asked, Asking, told};
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::StateReply;

/// Answers when all of it is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<ReadShareGroupStateSummaryRequest>) -> Reply {
    let asking = Asking::of(broker, &call.request.group_id);
    let topics = call.request.topics.iter().map(|topic| {
        let asked = topic
            .partitions
            .iter()
            .map(|at| asking.ask(topic.topic_id, at.partition, Ask::Summary));
        (topic.topic_id, asked.collect())
    });
    let asked: Asked = topics.collect();
    call.reply_later(async move {
        let results = told(asked, result).await.into_iter();
        let results =
            results.map(|(topic_id, partitions)| ReadStateSummaryResult { topic_id, partitions });
        ReadShareGroupStateSummaryResponse { results: results.collect() }
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

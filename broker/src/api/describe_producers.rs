//! DescribeProducers (61): the producers that partitions know, and their open transactions
//! (KIP-664). Any replica answers.

use std::sync::Arc;

use vltava_log::ProducerEntry;
use vltava_net::Reply;
use vltava_wire::Str;
use vltava_wire::messages::describe_producers::{PartitionResponse, ProducerState, TopicResponse};
use vltava_wire::messages::{DescribeProducersRequest, DescribeProducersResponse};

use crate::api::context::Call;
use crate::error::ToErrorCode;
use crate::partition::Partitions;
use crate::server::Broker;

/// Answers at once: what is asked for is in memory.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeProducersRequest>) -> Reply {
    let topics = call.request.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter();
        let describe = |index: &i32| describe(&broker.partitions, &topic.name, *index);
        TopicResponse { name: topic.name.clone(), partitions: partitions.map(describe).collect() }
    });
    call.reply(&DescribeProducersResponse { throttle_time_ms: 0, topics: topics.collect() })
}

fn describe(partitions: &Partitions, topic: &Str, partition_index: i32) -> PartitionResponse {
    let answer = PartitionResponse { partition_index, ..PartitionResponse::default() };
    let producers = partitions
        .by_name(topic, partition_index)
        .map_err(|error| error.code())
        .and_then(|partition| partition.producers().map_err(|error| error.code()));
    match producers {
        Ok(producers) => {
            PartitionResponse { active_producers: producers.iter().map(state).collect(), ..answer }
        }
        Err(error_code) => PartitionResponse { error_code, ..answer },
    }
}

fn state(entry: &ProducerEntry) -> ProducerState {
    ProducerState {
        producer_id: entry.producer_id.get(),
        producer_epoch: i32::from(entry.epoch.get()),
        last_sequence: entry.last_sequence(),
        last_timestamp: entry.last_timestamp,
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_start_offset: entry.current_txn_first_offset.map_or(-1, |at| at.get()),
    }
}

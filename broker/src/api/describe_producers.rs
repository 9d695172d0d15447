//! DescribeProducers (61): the producers that partitions know, and their open transactions
//! (KIP-664). Any replica answers.

use std::collections::HashSet;
use std::sync::Arc;

use vltava_log::ProducerEntry;
use vltava_net::Reply;
use vltava_wire::Str;
use vltava_wire::messages::describe_producers::{
    PartitionResponse, ProducerState, TopicRequest, TopicResponse,
};
use vltava_wire::messages::{DescribeProducersRequest, DescribeProducersResponse};

use crate::api::context::Call;
use crate::error::ToErrorCode;
use crate::partition::Partitions;
use crate::server::Broker;

/// Answers at once: what is asked for is in memory.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeProducersRequest>) -> Reply {
    let topics = once_each(&call.request.topics).map(|(topic, partitions)| {
        let describe = |index: i32| describe(&broker.partitions, &topic.name, index);
        let partitions = partitions.into_iter().map(describe).collect();
        TopicResponse { name: topic.name.clone(), partitions }
    });
    call.reply(&DescribeProducersResponse { throttle_time_ms: 0, topics: topics.collect() })
}

/// The topics of a request, each with those of its partitions that were not named before.
fn once_each(topics: &[TopicRequest]) -> impl Iterator<Item = (&TopicRequest, Vec<i32>)> {
    let mut seen = HashSet::new();
    topics.iter().map(move |topic| {
        let indexes = topic.partition_indexes.iter().copied();
        (topic, indexes.filter(|index| seen.insert((topic.name.as_str(), *index))).collect())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_is_named_twice_is_described_once() {
        let topic = |name: &'static str, indexes: &[i32]| TopicRequest {
            name: name.into(),
            partition_indexes: indexes.to_vec(),
        };
        let topics = [topic("a", &[0, 1, 0]), topic("b", &[0]), topic("a", &[1, 2])];
        let described: Vec<_> =
            once_each(&topics).map(|(topic, indexes)| (topic.name.as_str(), indexes)).collect();
        assert_eq!(described, [("a", vec![0, 1]), ("b", vec![0]), ("a", vec![2])]);
    }
}

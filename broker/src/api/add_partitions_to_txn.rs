//! AddPartitionsToTxn (24): what a transaction writes to. Clients add partitions (versions 0 to
//! 3); brokers ask whether they are there, or add them, for many transactions at once (KIP-890).

use std::collections::BTreeSet;
use std::sync::Arc;

use vltava_metadata::Image;
use vltava_net::Reply;
use vltava_wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};
use vltava_wire::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use vltava_wire::{ErrorCode, PartitionId};

use crate::api::context::Call;
use crate::error::fenced_code;
use crate::server::Broker;
use crate::shard::Answer;
use crate::txn::calls::{EPOCH_PER_TRANSACTION, PartitionsCall, TopicPartition};

/// The first version that brokers speak.
const BATCHED_SINCE: i16 = 4;

/// From this version on a fenced producer is told so by the code that means it (KIP-588).
const FENCED_SINCE: i16 = 2;

type Outcomes = Vec<(TopicPartition, ErrorCode)>;

/// Adds partitions to transactions, or looks them up.
pub async fn handle(broker: &Arc<Broker>, call: Call<AddPartitionsToTxnRequest>) -> Reply {
    let version = call.version();
    let request = &call.request;
    if version < BATCHED_SINCE {
        let one = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id.clone(),
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics.clone(),
        };
        let answer = transaction(broker, &one, 0).map(move |outcomes| AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: by_topic(outcomes, version),
            ..Default::default()
        });
        return answer.reply(&call);
    }
    let answers = request.transactions.iter().map(|one| {
        let transactional_id = one.transactional_id.clone();
        transaction(broker, one, EPOCH_PER_TRANSACTION).map(move |outcomes| {
            AddPartitionsToTxnResult {
                transactional_id,
                topic_results: by_topic(outcomes, version),
            }
        })
    });
    let answer = Answer::all(answers.collect()).map(|results_by_transaction| {
        AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() }
    });
    answer.reply(&call)
}

fn transaction(
    broker: &Broker,
    one: &AddPartitionsToTxnTransaction,
    client_version: i16,
) -> Answer<Outcomes> {
    let partitions = partitions(&one.topics);
    let all = |code| partitions.iter().map(|at| (at.clone(), code)).collect::<Outcomes>();
    if one.transactional_id.is_empty() {
        return Answer::Now(all(ErrorCode::INVALID_REQUEST));
    }
    let image = broker.cluster.image();
    if !partitions.iter().all(|at| exists(&image, at)) {
        let code = |at: &TopicPartition| match exists(&image, at) {
            true => ErrorCode::OPERATION_NOT_ATTEMPTED,
            false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        return Answer::Now(partitions.iter().map(|at| (at.clone(), code(at))).collect());
    }
    let asked = PartitionsCall {
        id: one.transactional_id.clone(),
        producer_id: one.producer_id,
        producer_epoch: one.producer_epoch,
        partitions: partitions.clone(),
        client_version,
    };
    if one.verify_only {
        return Answer::Now(broker.transactions.verify(&asked).unwrap_or_else(all));
    }
    let added = broker.transactions.add(asked);
    added.map(move |code| partitions.into_iter().map(|at| (at, code)).collect())
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> BTreeSet<TopicPartition> {
    let each = |topic: &AddPartitionsToTxnTopic| {
        let name = topic.name.clone();
        topic.partitions.clone().into_iter().map(move |index| (name.clone(), index))
    };
    topics.iter().flat_map(each).collect()
}

/// A coordinator must know the partitions of its transactions, as it tells them later how these
/// ended: who adds one that is new to it has to come again.
fn exists(image: &Image, (topic, index): &TopicPartition) -> bool {
    image.topic(topic).is_some_and(|topic| topic.partition(PartitionId(*index)).is_some())
}

fn by_topic(outcomes: Outcomes, version: i16) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut topics: Vec<AddPartitionsToTxnTopicResult> = Vec::new();
    for ((name, partition_index), code) in outcomes {
        let result = AddPartitionsToTxnPartitionResult {
            partition_index,
            partition_error_code: fenced_code(code, version, FENCED_SINCE),
        };
        match topics.last_mut() {
            Some(topic) if topic.name == name => topic.results_by_partition.push(result),
            _ => topics
                .push(AddPartitionsToTxnTopicResult { name, results_by_partition: vec![result] }),
        }
    }
    topics
}

//! What the leader of a partition asks the coordinator before it appends a transactional batch
//! (KIP-890): whether the partition is part of the transaction, or to make it so.
//!
//! Without it a batch that comes late would open a transaction that nobody ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vltava_config::{Values, keys};
use vltava_wire::messages::AddPartitionsToTxnRequest;
use vltava_wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use vltava_wire::{ErrorCode, NodeId};

use super::calls::{PartitionsCall, TopicPartition};
use super::state::by_topic;
use crate::metadata::topic::TRANSACTION_STATE;
use crate::neighbours::Neighbours;
use crate::shard::partition_of;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether partitions are part of the transaction: the client added them by itself.
    Verify,
    /// To make them part of it, for a client that leaves that to the brokers.
    Add,
}

/// The way to the coordinators of transactions.
pub struct Gate {
    neighbours: Arc<Neighbours>,
    /// Whether clients that add partitions themselves are checked.
    verifies: bool,
    /// The pause before the coordinator is asked again while a transaction is ending.
    backoff: Duration,
    /// How long it is asked again.
    backoff_max: Duration,
}

impl Gate {
    /// As a broker is configured.
    pub fn new(neighbours: Arc<Neighbours>, values: &Values) -> Self {
        let ms = |value: i32| Duration::from_millis(value.max(0) as u64);
        Self {
            neighbours,
            verifies: values.get(keys::TRANSACTION_PARTITION_VERIFICATION_ENABLE),
            backoff: ms(values.get(keys::ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MS)),
            backoff_max: ms(values.get(keys::ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MAX_MS)),
        }
    }

    /// Whether a question has to be asked at all.
    pub fn asks(&self, question: Question) -> bool {
        question == Question::Add || self.verifies
    }

    /// Asks about the partitions of one transaction; the answer has a code for each.
    ///
    /// A transaction that is still ending is waited for a moment: the producer's next one comes
    /// right behind, and would have to come again.
    pub async fn ask(
        &self,
        call: &PartitionsCall,
        question: Question,
    ) -> Vec<(TopicPartition, ErrorCode)> {
        let until = Instant::now() + self.backoff_max;
        loop {
            let answer = self.ask_once(call, question).await;
            let is_ending = |(_, code): &(_, _)| *code == ErrorCode::CONCURRENT_TRANSACTIONS;
            let again = question == Question::Add && answer.iter().any(is_ending);
            if !again || Instant::now() + self.backoff > until {
                return answer;
            }
            tokio::time::sleep(self.backoff).await;
        }
    }

    async fn ask_once(
        &self,
        call: &PartitionsCall,
        question: Question,
    ) -> Vec<(TopicPartition, ErrorCode)> {
        let all = |code| call.partitions.iter().map(|at| (at.clone(), code)).collect();
        let Some(coordinator) = self.coordinator_of(&call.id) else {
            return all(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        };
        let request = AddPartitionsToTxnRequest {
            transactions: vec![AddPartitionsToTxnTransaction {
                transactional_id: call.id.clone(),
                producer_id: call.producer_id,
                producer_epoch: call.producer_epoch,
                verify_only: question == Question::Verify,
                topics: topics(&call.partitions),
            }],
            ..Default::default()
        };
        let response = match self.neighbours.call(coordinator, &request).await {
            Ok(response) if response.error_code.is_err() => return all(response.error_code),
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%coordinator, id = %call.id, %error, "no answer from the gate");
                return all(ErrorCode::NETWORK_EXCEPTION);
            }
        };
        let mut answer = Vec::with_capacity(call.partitions.len());
        let of_this = response.results_by_transaction.into_iter();
        let of_this = of_this.filter(|result| result.transactional_id == call.id);
        for topic in of_this.flat_map(|result| result.topic_results) {
            let name = topic.name.detach();
            answer.extend(topic.results_by_partition.into_iter().map(|partition| {
                ((name.clone(), partition.partition_index), partition.partition_error_code)
            }));
        }
        answer
    }

    fn coordinator_of(&self, id: &str) -> Option<NodeId> {
        let image = self.neighbours.cluster().image();
        let topic = image.topic(TRANSACTION_STATE)?;
        topic.partition(partition_of(id, topic.partitions.len()))?.leader()
    }
}

fn topics(partitions: &BTreeSet<TopicPartition>) -> Vec<AddPartitionsToTxnTopic> {
    let topics = by_topic(partitions).into_iter();
    topics.map(|(name, partitions)| AddPartitionsToTxnTopic { name, partitions }).collect()
}

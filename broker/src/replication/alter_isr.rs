//! Carries what partitions propose for their ISRs to the active coordinator (KIP-497).
//!
//! One request is under way at a time; what is proposed meanwhile goes with the next one. Each
//! partition is asked for its proposal when the request is made, so nothing stale is sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::mpsc;
use vltava_wire::messages::alter_partition::{
    BrokerState, PartitionData, PartitionDataResponse, TopicData,
};
use vltava_wire::messages::{AlterPartitionRequest, AlterPartitionResponse};
use vltava_wire::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Uuid};

use super::isr::{Committed, Outcome, Proposal};
use super::session::Key;
use crate::controller::Controller;
use crate::metadata::ClusterView;
use crate::partition::Partition;

/// The first pause after a request that was not answered; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a rejected proposal keeps the next request: a follower that the coordinator does not
/// take would else be proposed again with each of its fetches.
const REJECTED_WAITS: Duration = Duration::from_millis(50);

/// Partitions in one request, at most: the coordinator appends what it accepts as one batch.
const PARTITIONS_MAX: usize = 1_000;

/// The task that talks to the coordinator.
pub struct AlterIsr {
    me: NodeId,
    cluster: ClusterView,
    controller: Arc<dyn Controller>,
    proposals: mpsc::UnboundedReceiver<Arc<Partition>>,
    waiting: HashMap<Key, Arc<Partition>>,
    failures: u32,
}

impl AlterIsr {
    /// Sends what comes from `proposals`.
    pub fn new(
        me: NodeId,
        cluster: ClusterView,
        controller: Arc<dyn Controller>,
        proposals: mpsc::UnboundedReceiver<Arc<Partition>>,
    ) -> Self {
        Self { me, cluster, controller, proposals, waiting: HashMap::new(), failures: 0 }
    }

    /// Runs until nobody can propose anything any more.
    pub async fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                match self.proposals.recv().await {
                    Some(partition) => self.wait_for(partition),
                    None => return,
                }
            }
            while let Ok(partition) = self.proposals.try_recv() {
                self.wait_for(partition);
            }
            let pause = self.send().await;
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if self.proposals.is_closed() && self.proposals.is_empty() {
                return;
            }
        }
    }

    fn wait_for(&mut self, partition: Arc<Partition>) {
        self.waiting.insert((partition.name.topic_id, partition.name.index), partition);
    }

    /// Sends what waits; returns how long to pause.
    async fn send(&mut self) -> Duration {
        let mut sent: HashMap<Key, (Arc<Partition>, Proposal)> = HashMap::new();
        self.waiting.retain(|_, partition| partition.proposal().is_some());
        for (key, partition) in self.waiting.iter().take(PARTITIONS_MAX) {
            if let Some(proposal) = partition.proposal() {
                sent.insert(*key, (Arc::clone(partition), proposal));
            }
        }
        if sent.is_empty() {
            return Duration::ZERO;
        }
        let request = self.request(&sent);
        let answer = self.controller.alter_partition(request).await;
        match answer {
            Ok(response) if response.error_code.is_ok() => self.take(response, &sent),
            Ok(response) => self.fail(&response.error_code.to_string()),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    fn request(&self, sent: &HashMap<Key, (Arc<Partition>, Proposal)>) -> AlterPartitionRequest {
        let own_epoch = self.cluster.broker_epoch();
        let mut topics: HashMap<Uuid, Vec<PartitionData>> = HashMap::new();
        for (&(topic, index), (_, proposal)) in sent {
            let data = partition_data(index, proposal, self.me, own_epoch);
            topics.entry(topic).or_default().push(data);
        }
        let topics = topics.into_iter();
        AlterPartitionRequest {
            broker_id: self.me.get(),
            broker_epoch: own_epoch.get(),
            topics: topics
                .map(|(topic_id, partitions)| TopicData { topic_id, partitions })
                .collect(),
        }
    }

    fn take(
        &mut self,
        response: AlterPartitionResponse,
        sent: &HashMap<Key, (Arc<Partition>, Proposal)>,
    ) -> Duration {
        self.failures = 0;
        let now = Instant::now();
        let mut pause = Duration::ZERO;
        for topic in response.topics {
            for answer in topic.partitions {
                let key = (topic.topic_id, answer.partition_index);
                let Some((partition, proposal)) = sent.get(&key) else { continue };
                let code = answer.error_code;
                match outcome(answer) {
                    Some(outcome) => {
                        if outcome == Outcome::Rejected {
                            pause = REJECTED_WAITS;
                        }
                        log(partition, proposal, &outcome, code);
                        self.waiting.remove(&key);
                        partition.answer_proposal(proposal.leader_epoch, outcome, now);
                    }
                    None => pause = REJECTED_WAITS,
                }
            }
        }
        pause
    }

    fn fail(&mut self, reason: &str) -> Duration {
        if self.failures == 0 {
            tracing::info!(reason, "the coordinator did not take an ISR; it is asked again");
        }
        let doubled = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(rand::rng().random_range(0.75..1.25))
    }
}

fn partition_data(
    partition_index: i32,
    proposal: &Proposal,
    me: NodeId,
    own_epoch: BrokerEpoch,
) -> PartitionData {
    let state = |&(node, epoch): &(NodeId, BrokerEpoch)| BrokerState {
        broker_id: node.get(),
        broker_epoch: if node == me { own_epoch.get() } else { epoch.get() },
    };
    PartitionData {
        partition_index,
        leader_epoch: proposal.leader_epoch.get(),
        new_isr: proposal.isr.iter().map(|(node, _)| node.get()).collect(),
        new_isr_with_epochs: proposal.isr.iter().map(state).collect(),
        leader_recovery_state: 0,
        partition_epoch: proposal.partition_epoch,
    }
}

/// What an answer means; `None`: nothing is known, ask again.
fn outcome(answer: PartitionDataResponse) -> Option<Outcome> {
    match answer.error_code {
        ErrorCode::NONE => Some(Outcome::Accepted(Committed {
            isr: answer.isr.into_iter().map(NodeId).collect(),
            partition_epoch: answer.partition_epoch,
        })),
        ErrorCode::INELIGIBLE_REPLICA
        | ErrorCode::OPERATION_NOT_ATTEMPTED
        | ErrorCode::INVALID_REQUEST => Some(Outcome::Rejected),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::INVALID_UPDATE_VERSION
        | ErrorCode::NEW_LEADER_ELECTED => Some(Outcome::Superseded),
        _ => None,
    }
}

fn log(partition: &Partition, proposal: &Proposal, outcome: &Outcome, code: ErrorCode) {
    let name = &partition.name;
    let LeaderEpoch(epoch) = proposal.leader_epoch;
    match outcome {
        Outcome::Accepted(committed) => {
            let isr: Vec<_> = committed.isr.iter().map(|node| node.get()).collect();
            tracing::info!(partition = %name, ?isr, epoch, "in sync");
        }
        _ => tracing::debug!(partition = %name, %code, epoch, "the ISR stays as it is"),
    }
}

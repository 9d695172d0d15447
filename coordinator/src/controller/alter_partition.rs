//! AlterPartition (56): a leader proposes who is in sync (KIP-497, KIP-841, KIP-903).

use vltava_metadata::{LeaderRecoveryState, PartitionRegistration, TopicImage};
use vltava_wire::messages::alter_partition::{
    PartitionData, PartitionDataResponse, TopicDataResponse,
};
use vltava_wire::messages::{AlterPartitionRequest, AlterPartitionResponse};
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId, PartitionId};

use super::leadership::Outcome;
use super::partition_change::PartitionChange;
use super::{Active, Controller, Decision, Failure};

/// A leader's proposal for one partition.
struct Proposal<'a> {
    leader: NodeId,
    data: &'a PartitionData,
    /// The members, each with its broker epoch if the leader said it.
    isr: Vec<(NodeId, Option<BrokerEpoch>)>,
}

impl Controller {
    /// Takes a leader's proposals over, those that it may make.
    ///
    /// # Errors
    /// NOT_CONTROLLER; BROKER_ID_NOT_REGISTERED or STALE_BROKER_EPOCH. What is wrong with single
    /// partitions is in the answer.
    pub fn alter_partition(
        &self,
        request: &AlterPartitionRequest,
    ) -> Result<Decision<AlterPartitionResponse>, Failure> {
        let leader = NodeId(request.broker_id);
        self.check_broker_epoch(leader, BrokerEpoch(request.broker_epoch))?;
        let active = self.active()?;
        let mut outcome = Outcome::default();
        let mut response = AlterPartitionResponse::default();
        for data in &request.topics {
            let topic = active.image.topic_by_id(data.topic_id);
            let partitions = data.partitions.iter().map(|data| {
                let Some(topic) = topic else {
                    return refused(data.partition_index, ErrorCode::UNKNOWN_TOPIC_ID);
                };
                let proposal = Proposal { leader, data, isr: proposed_isr(data) };
                active.alter_partition(topic, &proposal, &mut outcome)
            });
            let partitions = partitions.collect();
            response.topics.push(TopicDataResponse { topic_id: data.topic_id, partitions });
        }
        Ok(outcome.decide(response))
    }
}

impl Active {
    fn alter_partition(
        &self,
        topic: &TopicImage,
        proposal: &Proposal<'_>,
        outcome: &mut Outcome,
    ) -> PartitionDataResponse {
        let partition = PartitionId(proposal.data.partition_index);
        let Some(present) = topic.partition(partition) else {
            return refused(partition.get(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        };
        if let Err(code) = self.check_proposal(present, proposal) {
            return refused(partition.get(), code);
        }
        let may_lead = |replica| self.may_lead(replica, present.directory(replica));
        let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
        change.election = self.election(&topic.name);
        change.isr = proposal.isr.iter().map(|(member, _)| *member).collect();
        change.recovery_state = recovery_state(proposal.data).unwrap_or_default();
        let before = outcome.records.len();
        outcome.change(topic, partition, change);
        let merged = outcome.records[before..].iter().find_map(|record| match record {
            vltava_metadata::MetadataRecord::PartitionChange(change) => present.merge(change),
            _ => None,
        });
        let merged = merged.as_ref().unwrap_or(present);
        if merged.leader != proposal.leader {
            // The change completed a reassignment that takes the leader away.
            return refused(partition.get(), ErrorCode::NEW_LEADER_ELECTED);
        }
        accepted(partition, merged)
    }

    /// What a leader may propose, in the order in which Kafka checks it.
    fn check_proposal(
        &self,
        present: &PartitionRegistration,
        proposal: &Proposal<'_>,
    ) -> Result<(), ErrorCode> {
        let data = proposal.data;
        let leader_epoch = present.leader_epoch.get();
        if data.leader_epoch > leader_epoch || data.partition_epoch > present.partition_epoch {
            // It knows more than we do: another coordinator is the active one.
            return Err(ErrorCode::NOT_CONTROLLER);
        }
        if data.leader_epoch < leader_epoch {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        if proposal.leader != present.leader {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if data.partition_epoch < present.partition_epoch {
            return Err(ErrorCode::INVALID_UPDATE_VERSION);
        }
        let members: Vec<NodeId> = proposal.isr.iter().map(|(member, _)| *member).collect();
        if !is_subset_without_repeats(&members, &present.replicas)
            || !members.contains(&proposal.leader)
        {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let state = recovery_state(data).ok_or(ErrorCode::INVALID_REQUEST)?;
        let recovering = LeaderRecoveryState::Recovering;
        if state == recovering && (members.len() > 1 || present.leader_recovery_state != recovering)
        {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if proposal.isr.iter().any(|member| !self.is_eligible(present, *member)) {
            return Err(ErrorCode::INELIGIBLE_REPLICA);
        }
        Ok(())
    }

    /// Whether a replica may be in sync: who joins must be active; and whoever's broker epoch the
    /// leader names must be that process still (KIP-903). Members that were kept while they were
    /// fenced stay until they come back or their session ends.
    fn is_eligible(
        &self,
        present: &PartitionRegistration,
        (member, epoch): (NodeId, Option<BrokerEpoch>),
    ) -> bool {
        let Some(broker) = self.image.broker(member) else { return false };
        let joins = !present.isr.contains(&member);
        let is_present = epoch.is_none_or(|epoch| epoch == broker.epoch);
        is_present && (!joins || self.image.is_active(member))
    }
}

fn proposed_isr(data: &PartitionData) -> Vec<(NodeId, Option<BrokerEpoch>)> {
    if data.new_isr_with_epochs.is_empty() {
        return data.new_isr.iter().map(|id| (NodeId(*id), None)).collect();
    }
    let with_epoch = data.new_isr_with_epochs.iter().map(|state| {
        let epoch = (state.broker_epoch >= 0).then_some(BrokerEpoch(state.broker_epoch));
        (NodeId(state.broker_id), epoch)
    });
    with_epoch.collect()
}

fn recovery_state(data: &PartitionData) -> Option<LeaderRecoveryState> {
    LeaderRecoveryState::from_code(data.leader_recovery_state)
}

fn is_subset_without_repeats(members: &[NodeId], replicas: &[NodeId]) -> bool {
    members
        .iter()
        .enumerate()
        .all(|(index, member)| replicas.contains(member) && !members[..index].contains(member))
}

fn refused(partition_index: i32, error_code: ErrorCode) -> PartitionDataResponse {
    PartitionDataResponse { partition_index, error_code, ..PartitionDataResponse::default() }
}

fn accepted(partition: PartitionId, present: &PartitionRegistration) -> PartitionDataResponse {
    PartitionDataResponse {
        partition_index: partition.get(),
        error_code: ErrorCode::NONE,
        leader_id: present.leader.get(),
        leader_epoch: present.leader_epoch.get(),
        isr: present.isr.iter().map(|member| member.get()).collect(),
        leader_recovery_state: present.leader_recovery_state.code(),
        partition_epoch: present.partition_epoch,
    }
}

//! AlterPartitionReassignments (45) and ListPartitionReassignments (46): replicas move (KIP-455).

use std::collections::BTreeMap;

use vltava_metadata::{PartitionRegistration, TopicImage};
use vltava_wire::messages::alter_partition_reassignments::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use vltava_wire::messages::list_partition_reassignments::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use vltava_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use vltava_wire::{ErrorCode, NodeId, PartitionId, Str};

use super::create_topics::invalid_assignment;
use super::leadership::Outcome;
use super::partition_change::PartitionChange;
use super::{Active, Controller, Decision, Failure};

impl Controller {
    /// Starts reassignments, or takes them back where no replicas are named.
    ///
    /// # Errors
    /// NOT_CONTROLLER.
    pub fn alter_partition_reassignments(
        &self,
        request: &AlterPartitionReassignmentsRequest,
    ) -> Result<Decision<AlterPartitionReassignmentsResponse>, Failure> {
        let active = self.active()?;
        let mut outcome = Outcome::default();
        let may_change_factor = request.allow_replication_factor_change;
        let mut response = AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: may_change_factor,
            error_message: None,
            ..AlterPartitionReassignmentsResponse::default()
        };
        for named in &request.topics {
            let partitions = named.partitions.iter().map(|partition| {
                let index = PartitionId(partition.partition_index);
                let target = partition
                    .replicas
                    .as_ref()
                    .map(|ids| ids.iter().copied().map(NodeId).collect::<Vec<_>>());
                let result =
                    active.find(&named.name, index).and_then(|(topic, present)| match target {
                        Some(target) => active.reassign(
                            (topic, index, present),
                            &target,
                            may_change_factor,
                            &mut outcome,
                        ),
                        None => active.revert((topic, index, present), &mut outcome),
                    });
                let failure = result.err();
                ReassignablePartitionResponse {
                    partition_index: index.get(),
                    error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
                    error_message: failure.and_then(|failure| failure.text()),
                }
            });
            let partitions = partitions.collect();
            response
                .responses
                .push(ReassignableTopicResponse { name: named.name.clone(), partitions });
        }
        Ok(outcome.decide(response))
    }

    /// The reassignments under way: of the partitions named, or all.
    ///
    /// # Errors
    /// NOT_CONTROLLER.
    pub fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> Result<Decision<ListPartitionReassignmentsResponse>, Failure> {
        let active = self.active()?;
        let wanted = |name: &Str, partition: PartitionId| {
            request.topics.as_ref().is_none_or(|topics| {
                topics.iter().any(|topic| {
                    topic.name == *name && topic.partition_indexes.contains(&partition.get())
                })
            })
        };
        let mut topics: BTreeMap<Str, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
        for (topic, partition, present) in active.partitions() {
            if present.is_reassigning() && wanted(&topic.name, partition) {
                topics.entry(topic.name.clone()).or_default().push(ongoing(partition, present));
            }
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OngoingTopicReassignment { name, partitions })
            .collect();
        let response = ListPartitionReassignmentsResponse {
            error_message: None,
            topics,
            ..ListPartitionReassignmentsResponse::default()
        };
        Ok(Decision::answer(response))
    }
}

fn ongoing(
    partition: PartitionId,
    present: &PartitionRegistration,
) -> OngoingPartitionReassignment {
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect();
    OngoingPartitionReassignment {
        partition_index: partition.get(),
        replicas: numbers(&present.replicas),
        adding_replicas: numbers(&present.adding_replicas),
        removing_replicas: numbers(&present.removing_replicas),
    }
}

type Found<'a> = (&'a TopicImage, PartitionId, &'a PartitionRegistration);

impl Active {
    fn find(
        &self,
        name: &str,
        partition: PartitionId,
    ) -> Result<(&TopicImage, &PartitionRegistration), Failure> {
        let unknown =
            |message: String| Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
        let topic = self
            .image
            .topic(name)
            .ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
        let present = topic
            .partition(partition)
            .ok_or_else(|| unknown(format!("Unable to find partition {name}:{partition}.")))?;
        Ok((topic, present))
    }

    fn reassign(
        &self,
        (topic, partition, present): Found<'_>,
        target: &[NodeId],
        may_change_factor: bool,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        self.check_assignment(target, None)?;
        self.check_cordons(target, &present.replicas)?;
        let settled = settled_replicas(present);
        if !may_change_factor && settled.len() != target.len() {
            let message = format!(
                "The replication factor is changed from {} to {}",
                settled.len(),
                target.len()
            );
            return Err(Failure::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
        }
        let may_lead = |replica| self.may_lead(replica, present.directory(replica));
        let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
        change.election = self.election(&topic.name);
        let missing = |from: &[NodeId], other: &[NodeId]| -> Vec<NodeId> {
            from.iter().copied().filter(|node| !other.contains(node)).collect()
        };
        change.removing = missing(&settled, target);
        change.adding = missing(target, &settled);
        change.replicas = target.iter().copied().chain(missing(&settled, target)).collect();
        // What an earlier reassignment was adding, and this one does not want, goes at once.
        let wanted = change.replicas.clone();
        change.isr.retain(|member| wanted.contains(member));
        if change.isr.is_empty() {
            return Err(invalid_assignment("No replica that is in sync would remain.".to_owned()));
        }
        for added in change.adding.clone() {
            if !present.is_replica(added) {
                change.directories.push((added, self.default_directory(added)));
            }
        }
        outcome.change(topic, partition, change);
        Ok(())
    }

    /// Takes a reassignment back: what it added goes, what it was to remove stays.
    fn revert(
        &self,
        (topic, partition, present): Found<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        if !present.is_reassigning() {
            return Err(Failure::new(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, ""));
        }
        let may_lead = |replica| self.may_lead(replica, present.directory(replica));
        let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
        change.election = self.election(&topic.name);
        change.replicas = settled_replicas(present);
        change.isr.retain(|member| !present.adding_replicas.contains(member));
        change.removing.clear();
        change.adding.clear();
        if change.isr.is_empty() {
            return Err(invalid_assignment(
                "No replica that is in sync would remain if the reassignment were taken back."
                    .to_owned(),
            ));
        }
        outcome.change(topic, partition, change);
        Ok(())
    }
}

/// The replicas without those that a reassignment adds.
fn settled_replicas(present: &PartitionRegistration) -> Vec<NodeId> {
    let is_settled = |node: &NodeId| !present.adding_replicas.contains(node);
    present.replicas.iter().copied().filter(is_settled).collect()
}

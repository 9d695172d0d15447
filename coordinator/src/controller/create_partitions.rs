//! CreatePartitions (37).

use std::collections::BTreeSet;

use vltava_metadata::{BATCH_RECORDS_MAX, MetadataRecord, TopicImage};
use vltava_node::named::doubled;
use vltava_wire::messages::create_partitions::{
    CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use vltava_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use vltava_wire::{ErrorCode, NodeId, PartitionId};

use super::create_topics::{invalid_assignment, too_many};
use super::placement::Placement;
use super::random::Random;
use super::{Active, Controller, Decision, Failure};

impl Controller {
    /// Adds partitions to topics, each topic by itself.
    ///
    /// # Errors
    /// NOT_CONTROLLER.
    pub fn create_partitions(
        &mut self,
        request: &CreatePartitionsRequest,
    ) -> Result<Decision<CreatePartitionsResponse>, Failure> {
        let Self { active, random, .. } = self;
        let active = active.as_ref().ok_or_else(|| Failure::new(ErrorCode::NOT_CONTROLLER, ""))?;
        let twice = doubled(request.topics.iter().map(|topic| &topic.name));
        let mut answered = BTreeSet::new();
        let mut records: Vec<MetadataRecord> = Vec::new();
        let mut response = CreatePartitionsResponse::default();
        for topic in &request.topics {
            // What is asked for twice is answered once, and nothing of it done.
            if !answered.insert(&topic.name) {
                continue;
            }
            let added = match twice.contains(&topic.name) {
                false => active.add_partitions(topic, random),
                true => Err(Failure::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")),
            };
            let added = added.and_then(|added| match records.len() + added.len() {
                total if total > BATCH_RECORDS_MAX => Err(too_many()),
                _ => Ok(added),
            });
            let mut result = CreatePartitionsTopicResult {
                name: topic.name.clone(),
                ..CreatePartitionsTopicResult::default()
            };
            match added {
                Ok(added) => records.extend(added),
                Err(failure) => {
                    result.error_code = failure.code;
                    result.error_message = failure.text();
                }
            }
            response.results.push(result);
        }
        if request.validate_only {
            records.clear();
        }
        Ok(Decision::of(records, response))
    }
}

impl Active {
    fn add_partitions(
        &self,
        request: &CreatePartitionsTopic,
        random: &mut Random,
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let Some(topic) = self.image.topic(&request.name) else {
            let message = "This server does not host this topic-partition.";
            return Err(Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
        };
        let additional = additional_partitions(topic, request.count)?;
        let replication_factor =
            topic.partition(PartitionId(0)).map_or(1, |first| first.replicas.len());
        let assignments = match &request.assignments {
            Some(assignments) if !assignments.is_empty() => {
                if assignments.len() != additional {
                    return Err(invalid_assignment(format!(
                        "Attempted to add {additional} additional partition(s), but only {} \
                         assignment(s) were specified.",
                        assignments.len()
                    )));
                }
                let assigned = assignments.iter().map(|assignment| {
                    let replicas: Vec<NodeId> =
                        assignment.broker_ids.iter().copied().map(NodeId).collect();
                    self.check_assignment(&replicas, Some(replication_factor))?;
                    self.check_cordons(&replicas, &[]).map(|()| replicas)
                });
                assigned.collect::<Result<Vec<_>, _>>()?
            }
            _ => {
                let mut placement = Placement::new(&self.image, random);
                (0..additional)
                    .map(|_| placement.place(replication_factor))
                    .collect::<Result<Vec<_>, _>>()?
            }
        };
        let first = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let mut records = Vec::with_capacity(assignments.len());
        for (index, replicas) in (first..).zip(&assignments) {
            if !replicas.iter().any(|replica| self.image.is_active(*replica)) {
                return Err(invalid_assignment(format!(
                    "All brokers specified in the manual partition assignment for partition \
                     {index} are fenced or in controlled shutdown."
                )));
            }
            records.push(self.new_partition(topic.id, index, replicas).into());
        }
        Ok(records)
    }
}

fn additional_partitions(topic: &TopicImage, count: i32) -> Result<usize, Failure> {
    let present = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let invalid = |message: String| Failure::new(ErrorCode::INVALID_PARTITIONS, message);
    if count == present {
        return Err(invalid(format!("Topic already has {present} partition(s).")));
    }
    if count < present {
        return Err(invalid(format!(
            "The topic {} currently has {present} partition(s); {count} would not be an increase.",
            topic.name
        )));
    }
    let additional = usize::try_from(count - present).unwrap_or(0);
    if additional > BATCH_RECORDS_MAX { Err(too_many()) } else { Ok(additional) }
}

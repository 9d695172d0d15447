//! AssignReplicasToDirs (73): in which log directories a broker's replicas lie (KIP-858).
//!
//! A replica in a directory that is offline, or whose log is lost ([`Uuid::LOST_DIR`]), leaves the
//! ISR where another is in it, and does not lead. One that is found again may lead again.

use std::collections::BTreeMap;

use vltava_wire::messages::assign_replicas_to_dirs::{
    DirectoryData, DirectoryDataResponse, PartitionDataResponse, TopicData, TopicDataResponse,
};
use vltava_wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId, PartitionId, Uuid};

use super::leadership::Outcome;
use super::partition_change::PartitionChange;
use super::{Active, Controller, Decision, Failure};

impl Controller {
    /// Notes where replicas lie.
    ///
    /// # Errors
    /// NOT_CONTROLLER; BROKER_ID_NOT_REGISTERED or STALE_BROKER_EPOCH. What is wrong with single
    /// partitions is in the answer.
    pub fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
    ) -> Result<Decision<AssignReplicasToDirsResponse>, Failure> {
        let broker = NodeId(request.broker_id);
        self.check_broker_epoch(broker, BrokerEpoch(request.broker_epoch))?;
        let active = self.active()?;
        let mut outcome = Outcome::default();
        // A partition that is named twice lies where it is named last.
        let mut last = BTreeMap::new();
        for directory in &request.directories {
            for topic in &directory.topics {
                for partition in &topic.partitions {
                    last.insert((topic.topic_id, partition.partition_index), directory.id);
                }
            }
        }
        let mut assign = |directory: Uuid, topic: Uuid, index: i32| {
            let error_code = match last.get(&(topic, index)) {
                Some(wanted) if *wanted == directory => {
                    active.assign(broker, directory, (topic, PartitionId(index)), &mut outcome)
                }
                _ => ErrorCode::NONE,
            };
            PartitionDataResponse { partition_index: index, error_code }
        };
        let directories = request.directories.iter().map(|DirectoryData { id, topics }| {
            let topics = topics.iter().map(|TopicData { topic_id, partitions }| {
                let indexes = partitions.iter().map(|partition| partition.partition_index);
                let partitions = indexes.map(|index| assign(*id, *topic_id, index)).collect();
                TopicDataResponse { topic_id: *topic_id, partitions }
            });
            DirectoryDataResponse { id: *id, topics: topics.collect() }
        });
        let directories = directories.collect();
        let response = AssignReplicasToDirsResponse { directories, ..Default::default() };
        Ok(outcome.decide(response))
    }
}

impl Active {
    fn assign(
        &self,
        broker: NodeId,
        directory: Uuid,
        (topic, partition): (Uuid, PartitionId),
        outcome: &mut Outcome,
    ) -> ErrorCode {
        let Some(topic) = self.image.topic_by_id(topic) else { return ErrorCode::UNKNOWN_TOPIC_ID };
        let Some(present) = topic.partition(partition) else {
            return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        };
        if !present.is_replica(broker) {
            return ErrorCode::NOT_LEADER_OR_FOLLOWER;
        }
        let is_online =
            self.image.broker(broker).is_some_and(|it| it.has_online_directory(directory));
        let may_lead = |replica: NodeId| {
            let lies_in = if replica == broker { directory } else { present.directory(replica) };
            self.may_lead(replica, lies_in)
        };
        let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
        change.election = self.election(&topic.name);
        change.directories.retain(|(replica, _)| *replica != broker);
        change.directories.push((broker, directory));
        let change = if is_online { change } else { change.without(broker) };
        outcome.change(topic, partition, change);
        ErrorCode::NONE
    }
}

//! Applying one record: the only place where an image changes.

use std::sync::Arc;

use vltava_wire::records::metadata::{
    BrokerRegistrationChangeRecord, ClearElrRecord, ConfigRecord, FeatureLevelRecord,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, RemoveTopicRecord, TopicRecord, UnregisterBrokerRecord,
};
use vltava_wire::{BrokerEpoch, NodeId, PartitionId, Str, Uuid};

use super::Image;
use super::cluster::{BrokerRegistration, ControllerRegistration};
use super::config::{ConfigResource, ResourceType};
use super::topic::{PartitionRegistration, TopicImage};
use crate::{Changes, MetadataRecord, PartitionRef};

/// Why a record does not fit the image. A log that was written by one leader after the other
/// never holds such a record, so whoever meets one stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A broker that is not registered.
    #[error("broker {0} is not registered")]
    UnknownBroker(NodeId),
    /// A change for a registration that is not the present one.
    #[error("broker {id} is registered with epoch {registered}, the record says {named}")]
    BrokerEpoch {
        /// The broker.
        id: NodeId,
        /// The epoch in the image.
        registered: BrokerEpoch,
        /// The epoch in the record.
        named: BrokerEpoch,
    },
    /// A topic that does not exist.
    #[error("no topic has the id {0}")]
    UnknownTopic(Uuid),
    /// A topic that exists under this id or this name already.
    #[error("topic {name} with id {id} exists already")]
    TopicExists {
        /// The name in the record.
        name: Str,
        /// The id in the record.
        id: Uuid,
    },
    /// A partition that does not exist.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic's id.
        topic: Uuid,
        /// The partition's index.
        partition: PartitionId,
    },
    /// A number in a record that stands for nothing.
    #[error("{field} cannot be {value}")]
    Value {
        /// The field of the record.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
}

type Result = std::result::Result<(), ApplyError>;

impl Image {
    /// Applies one record, and notes what it changed.
    ///
    /// # Errors
    /// A record that does not fit; the image is then as it was before.
    pub fn apply(&mut self, record: &MetadataRecord, changes: &mut Changes) -> Result {
        match record {
            MetadataRecord::RegisterBroker(record) => self.register_broker(record, changes),
            MetadataRecord::UnregisterBroker(record) => self.unregister_broker(record, changes)?,
            MetadataRecord::BrokerRegistrationChange(record) => {
                self.change_broker(record, changes)?;
            }
            MetadataRecord::RegisterController(record) => {
                self.register_controller(record, changes);
            }
            MetadataRecord::Topic(record) => self.create_topic(record, changes)?,
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record, changes)?,
            MetadataRecord::Partition(record) => self.set_partition(record, changes)?,
            MetadataRecord::PartitionChange(record) => self.change_partition(record, changes)?,
            MetadataRecord::ClearElr(record) => self.clear_elr(record, changes)?,
            MetadataRecord::Config(record) => self.set_config(record, changes),
            MetadataRecord::FeatureLevel(record) => self.set_feature(record, changes),
            MetadataRecord::ProducerIds(record) => self.set_producer_ids(record, changes),
            MetadataRecord::NoOp(_) => {}
        }
        Ok(())
    }

    fn register_broker(&mut self, record: &RegisterBrokerRecord, changes: &mut Changes) {
        let broker = BrokerRegistration::from_record(record);
        changes.brokers.insert(broker.id);
        // A new registration starts anew, also if the old one was never seen fenced.
        self.seniority.retain(|id| *id != broker.id);
        self.note_seniority(&broker);
        self.brokers.insert(broker.id, Arc::new(broker));
    }

    fn note_seniority(&mut self, broker: &BrokerRegistration) {
        if broker.fenced {
            self.seniority.retain(|id| *id != broker.id);
        } else if !self.seniority.contains(&broker.id) {
            self.seniority.push(broker.id);
        }
    }

    fn registered(
        &self,
        id: i32,
        epoch: i64,
    ) -> std::result::Result<&Arc<BrokerRegistration>, ApplyError> {
        let (id, named) = (NodeId(id), BrokerEpoch(epoch));
        let broker = self.brokers.get(&id).ok_or(ApplyError::UnknownBroker(id))?;
        if broker.epoch != named {
            return Err(ApplyError::BrokerEpoch { id, registered: broker.epoch, named });
        }
        Ok(broker)
    }

    fn unregister_broker(
        &mut self,
        record: &UnregisterBrokerRecord,
        changes: &mut Changes,
    ) -> Result {
        let id = self.registered(record.broker_id, record.broker_epoch)?.id;
        self.brokers.remove(&id);
        self.seniority.retain(|senior| *senior != id);
        changes.brokers.insert(id);
        Ok(())
    }

    fn change_broker(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        changes: &mut Changes,
    ) -> Result {
        let present = self.registered(record.broker_id, record.broker_epoch)?;
        let mut broker = BrokerRegistration::clone(present);
        broker.fenced = match record.fenced {
            0 => broker.fenced,
            1 => true,
            -1 => false,
            other => return Err(ApplyError::Value { field: "fenced", value: other.into() }),
        };
        broker.in_controlled_shutdown = match record.in_controlled_shutdown {
            0 => broker.in_controlled_shutdown,
            1 => true,
            other => {
                let field = "in_controlled_shutdown";
                return Err(ApplyError::Value { field, value: other.into() });
            }
        };
        if !record.log_dirs.is_empty() {
            broker.directories.clone_from(&record.log_dirs);
            broker.directories.sort_unstable();
        }
        changes.brokers.insert(broker.id);
        self.note_seniority(&broker);
        self.brokers.insert(broker.id, Arc::new(broker));
        Ok(())
    }

    fn register_controller(&mut self, record: &RegisterControllerRecord, changes: &mut Changes) {
        let controller = ControllerRegistration::from_record(record);
        changes.controllers.insert(controller.id);
        self.controllers.insert(controller.id, Arc::new(controller));
    }

    fn create_topic(&mut self, record: &TopicRecord, changes: &mut Changes) -> Result {
        let (id, name) = (record.topic_id, record.name.detach());
        if self.topics.contains_key(&id) || self.topic_ids.contains_key(&name) {
            return Err(ApplyError::TopicExists { name, id });
        }
        self.topic_ids.insert(name.clone(), id);
        self.topics.insert(id, TopicImage { id, name, partitions: imbl::OrdMap::new() });
        changes.topics_created.insert(id);
        Ok(())
    }

    /// A topic takes its configuration with it.
    fn remove_topic(&mut self, record: &RemoveTopicRecord, changes: &mut Changes) -> Result {
        let id = record.topic_id;
        let topic = self.topics.remove(&id).ok_or(ApplyError::UnknownTopic(id))?;
        self.topic_ids.remove(&topic.name);
        let resource = ConfigResource::topic(&topic.name);
        if self.configs.remove(&resource).is_some() {
            changes.configs.insert(resource);
        }
        changes.topic_deleted(id, topic.name);
        Ok(())
    }

    fn topic_mut(&mut self, id: Uuid) -> std::result::Result<&mut TopicImage, ApplyError> {
        self.topics.get_mut(&id).ok_or(ApplyError::UnknownTopic(id))
    }

    fn set_partition(&mut self, record: &PartitionRecord, changes: &mut Changes) -> Result {
        let (topic, partition) = (record.topic_id, PartitionId(record.partition_id));
        let registration = PartitionRegistration::from_record(record)
            .ok_or_else(|| recovery_state(record.leader_recovery_state))?;
        self.topic_mut(topic)?.partitions.insert(partition, Arc::new(registration));
        changes.partitions.insert(PartitionRef { topic, partition });
        Ok(())
    }

    fn change_partition(
        &mut self,
        record: &PartitionChangeRecord,
        changes: &mut Changes,
    ) -> Result {
        let (topic, partition) = (record.topic_id, PartitionId(record.partition_id));
        let present = self
            .topic_mut(topic)?
            .partitions
            .get_mut(&partition)
            .ok_or(ApplyError::UnknownPartition { topic, partition })?;
        let merged =
            present.merge(record).ok_or_else(|| recovery_state(record.leader_recovery_state))?;
        *present = Arc::new(merged);
        changes.partitions.insert(PartitionRef { topic, partition });
        Ok(())
    }

    /// Forgets who is eligible outside of the ISR: of one topic, or of all if none is named.
    fn clear_elr(&mut self, record: &ClearElrRecord, changes: &mut Changes) -> Result {
        let topics: Vec<Uuid> = if record.topic_name.is_empty() {
            self.topics.keys().copied().collect()
        } else {
            self.topic_ids.get(record.topic_name.as_str()).copied().into_iter().collect()
        };
        for id in topics {
            let topic = self.topic_mut(id)?;
            let affected: Vec<PartitionId> = topic
                .partitions
                .iter()
                .filter(|(_, has)| !has.elr.is_empty() || !has.last_known_elr.is_empty())
                .map(|(partition, _)| *partition)
                .collect();
            for partition in affected {
                if let Some(present) = topic.partitions.get_mut(&partition) {
                    let present = Arc::make_mut(present);
                    present.elr.clear();
                    present.last_known_elr.clear();
                    changes.partitions.insert(PartitionRef { topic: id, partition });
                }
            }
        }
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord, changes: &mut Changes) {
        let resource = ConfigResource {
            kind: ResourceType(record.resource_type),
            name: record.resource_name.detach(),
        };
        let mut config = self.configs.get(&resource).cloned().unwrap_or_default();
        match &record.value {
            Some(value) => {
                Arc::make_mut(&mut config).insert(record.name.detach(), value.detach());
            }
            None => {
                Arc::make_mut(&mut config).remove(record.name.as_str());
            }
        }
        if config.is_empty() {
            self.configs.remove(&resource);
        } else {
            self.configs.insert(resource.clone(), config);
        }
        changes.configs.insert(resource);
    }

    fn set_feature(&mut self, record: &FeatureLevelRecord, changes: &mut Changes) {
        if record.feature_level == 0 {
            self.features.remove(record.name.as_str());
        } else {
            self.features.insert(record.name.detach(), record.feature_level);
        }
        changes.features = true;
    }

    fn set_producer_ids(&mut self, record: &ProducerIdsRecord, changes: &mut Changes) {
        self.next_producer_id = record.next_producer_id;
        changes.producer_ids = true;
    }
}

fn recovery_state(code: i8) -> ApplyError {
    ApplyError::Value { field: "leader_recovery_state", value: code.into() }
}

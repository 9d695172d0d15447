//! CreateTopics (19).

use std::collections::{BTreeMap, BTreeSet};

use vltava_config::keys;
use vltava_metadata::{BATCH_RECORDS_MAX, ConfigMap, MetadataRecord, ResourceType};
use vltava_node::named::doubled;
use vltava_wire::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
};
use vltava_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use vltava_wire::records::metadata::{ConfigRecord, PartitionRecord, TopicRecord};
use vltava_wire::{ErrorCode, NodeId, Str, Uuid};

use super::placement::Placement;
use super::random::Random;
use super::{Active, Controller, Decision, Failure, Happening};

/// The topic of the metadata log, which nobody may create.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// What a topic is to become, once all is checked.
struct NewTopic {
    result: CreatableTopicResult,
    records: Vec<MetadataRecord>,
}

impl Controller {
    /// Creates topics, each by itself: one that is refused does not hinder the others.
    ///
    /// # Errors
    /// NOT_CONTROLLER; POLICY_VIOLATION for more partitions than one batch of records takes.
    pub fn create_topics(
        &mut self,
        request: &CreateTopicsRequest,
    ) -> Result<Decision<CreateTopicsResponse>, Failure> {
        check_size(request)?;
        let Self { active, random, .. } = self;
        let active = active.as_ref().ok_or_else(|| Failure::new(ErrorCode::NOT_CONTROLLER, ""))?;
        let repeated = doubled(request.topics.iter().map(|topic| &topic.name));
        let (mut records, mut happenings) = (Vec::new(), Vec::new());
        let mut response = CreateTopicsResponse::default();
        let mut refused_already = BTreeSet::new();
        let mut new_names: BTreeMap<String, Str> = BTreeMap::new();
        for topic in &request.topics {
            if repeated.contains(&topic.name) {
                if refused_already.insert(&topic.name) {
                    let failure = Failure::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.");
                    response.topics.push(refused(&topic.name, failure));
                }
                continue;
            }
            let created = active
                .check_new_name(&topic.name, &new_names)
                .and_then(|()| active.create_topic(topic, random));
            match created {
                Ok(new) if records.len() + new.records.len() > BATCH_RECORDS_MAX => {
                    response.topics.push(refused(&topic.name, too_many()));
                    drop(new);
                }
                Ok(new) => {
                    new_names.insert(collision_form(&topic.name), topic.name.clone());
                    records.extend(new.records);
                    happenings.push(Happening::TopicCreated {
                        topic: new.result.name.clone(),
                        partitions: new.result.num_partitions,
                        replicas: new.result.replication_factor,
                    });
                    response.topics.push(new.result);
                }
                Err(failure) => response.topics.push(refused(&topic.name, failure)),
            }
        }
        if request.validate_only {
            records.clear();
            happenings.clear();
        }
        Ok(Decision::of(records, response).telling(happenings))
    }
}

pub(super) fn too_many() -> Failure {
    let message = "Excessively large number of partitions per request.";
    Failure::new(ErrorCode::POLICY_VIOLATION, message)
}

fn check_size(request: &CreateTopicsRequest) -> Result<(), Failure> {
    let partitions = request.topics.iter().map(|topic| match topic.assignments.len() {
        0 => usize::try_from(topic.num_partitions).unwrap_or(1),
        assigned => assigned,
    });
    let total = partitions.fold(0usize, usize::saturating_add);
    if total > BATCH_RECORDS_MAX { Err(too_many()) } else { Ok(()) }
}

fn refused(name: &Str, failure: Failure) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.clone(),
        error_code: failure.code,
        error_message: failure.text(),
        ..CreatableTopicResult::default()
    }
}

/// Names that differ in `.` and `_` alone would have the same metrics.
fn collision_form(name: &str) -> String {
    name.replace('.', "_")
}

impl Active {
    fn check_new_name(&self, name: &str, new_names: &BTreeMap<String, Str>) -> Result<(), Failure> {
        let invalid = |message: String| Failure::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message);
        vltava_config::topic::check_name(name).map_err(invalid)?;
        if name == METADATA_TOPIC {
            return Err(invalid(format!("Creation of internal topic {name} is prohibited.")));
        }
        if self.image.topic(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(Failure::new(ErrorCode::TOPIC_ALREADY_EXISTS, message));
        }
        if !name.contains(['.', '_']) {
            return Ok(());
        }
        let form = collision_form(name);
        let among_new = new_names.get(&form);
        // Who collides starts alike up to the first of the two characters.
        let start = &name[..name.find(['.', '_']).unwrap_or(0)];
        let mut present =
            self.image.topic_names_from(start).take_while(|other| other.starts_with(start));
        match among_new.or_else(|| present.find(|other| collision_form(other) == form)) {
            Some(other) => {
                Err(invalid(format!("Topic '{name}' collides with existing topic: {other}")))
            }
            None => Ok(()),
        }
    }

    fn create_topic(
        &self,
        topic: &CreatableTopic,
        random: &mut Random,
    ) -> Result<NewTopic, Failure> {
        let configs = self.new_configs(topic)?;
        let assignments = if topic.assignments.is_empty() {
            self.place_topic(topic, random)?
        } else {
            self.assigned_topic(topic)?
        };
        let id = random.uuid();
        let name = topic.name.detach();
        let mut records: Vec<MetadataRecord> =
            vec![TopicRecord { name: name.clone(), topic_id: id }.into()];
        for (key, value) in &configs {
            let record = ConfigRecord {
                resource_type: ResourceType::TOPIC.0,
                resource_name: name.clone(),
                name: key.clone(),
                value: Some(value.clone()),
            };
            records.push(record.into());
        }
        for (index, replicas) in (0..).zip(&assignments) {
            records.push(self.new_partition(id, index, replicas).into());
        }
        let result = CreatableTopicResult {
            name,
            topic_id: id,
            error_message: None,
            num_partitions: i32::try_from(assignments.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(assignments.first().map_or(0, Vec::len))
                .unwrap_or(i16::MAX),
            configs: Some(self.described_configs(&configs)),
            ..CreatableTopicResult::default()
        };
        Ok(NewTopic { result, records })
    }

    fn place_topic(
        &self,
        topic: &CreatableTopic,
        random: &mut Random,
    ) -> Result<Vec<Vec<NodeId>>, Failure> {
        let replication_factor = match topic.replication_factor {
            -1 => self.values.get(keys::DEFAULT_REPLICATION_FACTOR),
            factor => i32::from(factor),
        };
        let Some(replication_factor) = positive(replication_factor) else {
            let message =
                "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Failure::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
        };
        let partitions = match topic.num_partitions {
            -1 => self.values.get(keys::NUM_PARTITIONS),
            partitions => partitions,
        };
        let Some(partitions) = positive(partitions) else {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(Failure::new(ErrorCode::INVALID_PARTITIONS, message));
        };
        let mut placement = Placement::new(&self.image, random);
        (0..partitions).map(|_| placement.place(replication_factor)).collect()
    }

    fn assigned_topic(&self, topic: &CreatableTopic) -> Result<Vec<Vec<NodeId>>, Failure> {
        let wrong = |what: &str| {
            let message = format!(
                "A manual partition assignment was specified, but {what} was not set to -1."
            );
            Failure::new(ErrorCode::INVALID_REQUEST, message)
        };
        if topic.replication_factor != -1 {
            return Err(wrong("replication factor"));
        }
        if topic.num_partitions != -1 {
            return Err(wrong("numPartitions"));
        }
        let mut assigned = BTreeMap::new();
        let mut replication_factor = None;
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            let replicas: Vec<NodeId> = assignment.broker_ids.iter().copied().map(NodeId).collect();
            self.check_assignment(&replicas, replication_factor)?;
            self.check_cordons(&replicas, &[])?;
            if !replicas.iter().any(|replica| self.image.is_active(*replica)) {
                return Err(invalid_assignment(format!(
                    "All brokers specified in the manual partition assignment for partition \
                     {index} are fenced or in controlled shutdown."
                )));
            }
            replication_factor = Some(replicas.len());
            if assigned.insert(index, replicas).is_some() {
                return Err(invalid_assignment(format!(
                    "Found multiple manual partition assignments for partition {index}"
                )));
            }
        }
        if !assigned.keys().copied().eq(0..topic.assignments.len() as i32) {
            return Err(invalid_assignment(
                "partitions should be a consecutive 0-based integer sequence".to_owned(),
            ));
        }
        Ok(assigned.into_values().collect())
    }

    /// Checks replicas that a person chose.
    pub(super) fn check_assignment(
        &self,
        replicas: &[NodeId],
        replication_factor: Option<usize>,
    ) -> Result<(), Failure> {
        let prefix = "The manual partition assignment includes";
        if replicas.is_empty() {
            return Err(invalid_assignment(format!("{prefix} an empty replica list.")));
        }
        for (index, replica) in replicas.iter().enumerate() {
            if self.image.broker(*replica).is_none() {
                return Err(invalid_assignment(format!(
                    "{prefix} broker {replica}, but no such broker is registered."
                )));
            }
            if replicas[..index].contains(replica) {
                return Err(invalid_assignment(format!(
                    "{prefix} the broker {replica} more than once."
                )));
            }
        }
        match replication_factor {
            Some(others) if others != replicas.len() => Err(invalid_assignment(format!(
                "{prefix} a partition with {} replica(s), but this is not consistent with \
                 previous partitions, which have {others} replica(s).",
                replicas.len()
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that nobody who is new to a partition is cordoned.
    pub(super) fn check_cordons(
        &self,
        replicas: &[NodeId],
        present: &[NodeId],
    ) -> Result<(), Failure> {
        let mut new = replicas.iter().filter(|replica| !present.contains(replica));
        match new.find(|replica| self.image.is_cordoned(**replica)) {
            None => Ok(()),
            Some(replica) => Err(invalid_assignment(format!(
                "The manual partition assignment includes broker {replica}, but all its log \
                 directories are cordoned."
            ))),
        }
    }

    /// A partition at its birth: in sync is who is active, and the first of those leads.
    pub(super) fn new_partition(
        &self,
        topic_id: Uuid,
        index: i32,
        replicas: &[NodeId],
    ) -> PartitionRecord {
        let isr: Vec<i32> = replicas
            .iter()
            .filter(|replica| self.image.is_active(**replica))
            .map(|replica| replica.get())
            .collect();
        PartitionRecord {
            partition_id: index,
            topic_id,
            replicas: replicas.iter().map(|replica| replica.get()).collect(),
            leader: isr.first().copied().unwrap_or(NodeId::NONE.get()),
            isr,
            leader_epoch: 0,
            partition_epoch: 0,
            directories: replicas.iter().map(|id| self.default_directory(*id)).collect(),
            ..PartitionRecord::default()
        }
    }

    fn described_configs(&self, configs: &ConfigMap) -> Vec<CreatableTopicConfigs> {
        let own = configs
            .iter()
            .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
            .collect();
        vltava_config::describe::topic(&self.values, &own)
            .into_iter()
            .map(|described| CreatableTopicConfigs {
                name: Str::from_static(described.spec.name),
                value: described.value.map(Str::from),
                read_only: described.read_only,
                config_source: described.source.code(),
                is_sensitive: described.sensitive,
            })
            .collect()
    }
}

/// INVALID_REPLICA_ASSIGNMENT.
pub(super) fn invalid_assignment(message: String) -> Failure {
    Failure::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
}

fn positive(number: i32) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number > 0)
}

impl Active {
    fn new_configs(&self, topic: &CreatableTopic) -> Result<ConfigMap, Failure> {
        let mut configs = ConfigMap::new();
        for config in &topic.configs {
            let Some(value) = &config.value else {
                let name = &config.name;
                let message = format!("Null value not supported for topic configs: {name}");
                return Err(Failure::new(ErrorCode::INVALID_CONFIG, message));
            };
            configs.insert(config.name.detach(), value.detach());
        }
        self.check_topic_configs(&configs)?;
        Ok(configs)
    }

    /// Checks all that is set for a topic, beside what nodes say of the rest.
    pub(super) fn check_topic_configs(&self, configs: &ConfigMap) -> Result<(), Failure> {
        let pairs = configs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        vltava_config::topic::validate_on(&self.values, pairs)
            .map_err(|error| Failure::new(ErrorCode::INVALID_CONFIG, error.to_string()))
    }
}

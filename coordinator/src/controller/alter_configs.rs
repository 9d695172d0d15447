//! IncrementalAlterConfigs (44, KIP-339) and AlterConfigs (33): what is set at run time.

use std::collections::BTreeSet;
use std::sync::Arc;

use vltava_config::spec::Kind;
use vltava_metadata::{ConfigMap, ConfigResource, MetadataRecord, ResourceType};
use vltava_wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs, incremental_alter_configs,
};
use vltava_wire::records::metadata::ConfigRecord;
use vltava_wire::{ErrorCode, NodeId, Str};

use super::create_topics::check_topic_configs;
use super::{Active, Controller, Decision, Failure};

/// How a key is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Change {
    fn from_code(code: i8) -> Result<Self, Failure> {
        match code {
            0 => Ok(Self::Set),
            1 => Ok(Self::Delete),
            2 => Ok(Self::Append),
            3 => Ok(Self::Subtract),
            other => {
                let message = format!("config operation {other} does not exist");
                Err(Failure::new(ErrorCode::INVALID_REQUEST, message))
            }
        }
    }
}

impl Controller {
    /// Changes single keys of resources, each resource by itself.
    ///
    /// # Errors
    /// NOT_CONTROLLER.
    pub fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest,
    ) -> Result<Decision<IncrementalAlterConfigsResponse>, Failure> {
        let active = self.active()?;
        let mut records = Vec::new();
        let mut response = IncrementalAlterConfigsResponse::default();
        let mut seen = BTreeSet::new();
        for resource in &request.resources {
            let (kind, name) = (resource.resource_type, &resource.resource_name);
            let result = once(&mut seen, kind, name)
                .and_then(|resource| active.check_resource(&resource).map(|()| resource))
                .and_then(|key| active.alter(&key, &resource.configs));
            let failure = result.map(|added| records.extend(added)).err();
            response.responses.push(incremental_alter_configs::AlterConfigsResourceResponse {
                error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
                error_message: failure.and_then(|failure| failure.text()),
                resource_type: kind,
                resource_name: name.clone(),
            });
        }
        if request.validate_only {
            records.clear();
        }
        Ok(Decision::each(records, response))
    }

    /// Replaces all that is set on resources, each resource by itself.
    ///
    /// # Errors
    /// NOT_CONTROLLER.
    pub fn alter_configs(
        &self,
        request: &AlterConfigsRequest,
    ) -> Result<Decision<AlterConfigsResponse>, Failure> {
        let active = self.active()?;
        let mut records = Vec::new();
        let mut response = AlterConfigsResponse::default();
        let mut seen = BTreeSet::new();
        for resource in &request.resources {
            let (kind, name) = (resource.resource_type, &resource.resource_name);
            let result = once(&mut seen, kind, name)
                .and_then(|resource| active.check_resource(&resource).map(|()| resource))
                .and_then(|key| active.replace_configs(&key, &resource.configs));
            let failure = result.map(|added| records.extend(added)).err();
            response.responses.push(alter_configs::AlterConfigsResourceResponse {
                error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
                error_message: failure.and_then(|failure| failure.text()),
                resource_type: kind,
                resource_name: name.clone(),
            });
        }
        if request.validate_only {
            records.clear();
        }
        Ok(Decision::each(records, response))
    }
}

/// A resource may be named once in a request.
fn once(
    seen: &mut BTreeSet<ConfigResource>,
    kind: i8,
    name: &Str,
) -> Result<ConfigResource, Failure> {
    let resource = ConfigResource { kind: ResourceType(kind), name: name.detach() };
    if seen.insert(resource.clone()) {
        return Ok(resource);
    }
    Err(Failure::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."))
}

impl Active {
    fn check_resource(&self, resource: &ConfigResource) -> Result<(), Failure> {
        let name = &resource.name;
        match resource.kind {
            ResourceType::TOPIC if self.image.topic(name).is_some() => Ok(()),
            ResourceType::TOPIC => {
                let message = format!("The topic '{name}' does not exist.");
                Err(Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message))
            }
            ResourceType::BROKER if name.is_empty() => Ok(()),
            ResourceType::BROKER => {
                let node = name.parse().ok().map(NodeId);
                let exists = |id: NodeId| {
                    self.image.broker(id).is_some() || self.image.controller(id).is_some()
                };
                if node.is_some_and(exists) {
                    return Ok(());
                }
                let message = format!("No node with id {name} found.");
                Err(Failure::new(ErrorCode::BROKER_ID_NOT_REGISTERED, message))
            }
            other => {
                let message = format!("Unexpected resource type {}", other.0);
                Err(Failure::new(ErrorCode::INVALID_REQUEST, message))
            }
        }
    }

    fn alter(
        &self,
        resource: &ConfigResource,
        changes: &[incremental_alter_configs::AlterableConfig],
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let mut names = BTreeSet::new();
        if !changes.iter().all(|change| names.insert(&change.name)) {
            let message = "Error due to duplicate config keys";
            return Err(Failure::new(ErrorCode::INVALID_REQUEST, message));
        }
        let present = self.image.config(resource).cloned().unwrap_or_default();
        let mut wanted = ConfigMap::clone(&present);
        for change in changes {
            let operation = Change::from_code(change.config_operation)?;
            if operation == Change::Delete {
                wanted.remove(change.name.as_str());
                continue;
            }
            let Some(value) = &change.value else {
                let message = format!("Null value not supported for : {}", change.name);
                return Err(Failure::new(ErrorCode::INVALID_REQUEST, message));
            };
            let value = match operation {
                Change::Set | Change::Delete => value.detach(),
                Change::Append | Change::Subtract => {
                    self.edited_list(resource, &wanted, &change.name, operation, value)?
                }
            };
            wanted.insert(change.name.detach(), value);
        }
        self.differences(resource, &present, &wanted)
    }

    fn replace_configs(
        &self,
        resource: &ConfigResource,
        configs: &[alter_configs::AlterableConfig],
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let present = self.image.config(resource).cloned().unwrap_or_default();
        let mut wanted = ConfigMap::new();
        for config in configs {
            let Some(value) = &config.value else {
                let message = format!("Null value not supported for : {}", config.name);
                return Err(Failure::new(ErrorCode::INVALID_REQUEST, message));
            };
            wanted.insert(config.name.detach(), value.detach());
        }
        self.differences(resource, &present, &wanted)
    }

    /// A list with elements added or taken away. What is not set starts from what holds without it.
    fn edited_list(
        &self,
        resource: &ConfigResource,
        wanted: &ConfigMap,
        name: &Str,
        operation: Change,
        value: &Str,
    ) -> Result<Str, Failure> {
        let spec = match resource.kind {
            ResourceType::TOPIC => vltava_config::topic::keys::find(name),
            _ => vltava_config::keys::find(name),
        };
        let Some(spec) = spec.filter(|spec| spec.kind == Kind::List) else {
            let verb = if operation == Change::Append { "APPEND" } else { "SUBTRACT" };
            let message = format!("Can't {verb} to key {name} because its type is not LIST.");
            return Err(Failure::new(ErrorCode::INVALID_CONFIG, message));
        };
        let inherited = spec.default_value().to_text().unwrap_or_default();
        let base = wanted.get(name.as_str()).map_or(inherited.as_str(), |text| text.as_str());
        Ok(Str::from(vltava_config::edit_list(base, operation == Change::Append, value)))
    }

    fn differences(
        &self,
        resource: &ConfigResource,
        present: &Arc<ConfigMap>,
        wanted: &ConfigMap,
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let set = wanted.iter().filter(|(name, value)| present.get(*name) != Some(*value));
        if resource.kind == ResourceType::TOPIC {
            check_topic_configs(&resource.name, wanted)?;
        } else {
            for (name, value) in set.clone() {
                vltava_config::check_dynamic(name, value, resource.name.is_empty()).map_err(
                    |problem| Failure::new(ErrorCode::INVALID_CONFIG, problem.to_string()),
                )?;
            }
        }
        let record = |name: &Str, value: Option<Str>| {
            MetadataRecord::from(ConfigRecord {
                resource_type: resource.kind.0,
                resource_name: resource.name.clone(),
                name: name.clone(),
                value,
            })
        };
        let removed = present.keys().filter(|name| !wanted.contains_key(*name));
        let mut records: Vec<_> =
            set.map(|(name, value)| record(name, Some(value.clone()))).collect();
        records.extend(removed.map(|name| record(name, None)));
        Ok(records)
    }
}

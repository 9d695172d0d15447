//! IncrementalAlterConfigs (44, KIP-339) and AlterConfigs (33): what is set at run time.

use vltava_config::group;
use vltava_config::spec::Kind;
use vltava_config::subscription::{self, SubscriptionError};
use vltava_metadata::configuration::pairs;
use vltava_metadata::{ConfigMap, ConfigResource, MetadataRecord, ResourceType};
use vltava_node::named::{RESOURCE_DOUBLED, doubled};
use vltava_wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs, incremental_alter_configs,
};
use vltava_wire::reader::TEXT_MAX;
use vltava_wire::records::metadata::ConfigRecord;
use vltava_wire::{ErrorCode, NodeId, Str};

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

/// What became of one resource of a request.
struct Altered<'a> {
    kind: i8,
    name: &'a Str,
    failure: Option<Failure>,
}

impl Altered<'_> {
    fn code(&self) -> ErrorCode {
        self.failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code)
    }

    fn message(&self) -> Option<Str> {
        self.failure.as_ref().and_then(Failure::text)
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
        let resources = request.resources.iter().map(|resource| {
            let wanted = |key: &ConfigResource, present: &ConfigMap| {
                active.edited(key, present, &resource.configs)
            };
            (resource.resource_type, &resource.resource_name, wanted)
        });
        let (records, altered) = active.alter_each(resources, request.validate_only);
        let responses =
            altered.iter().map(|altered| incremental_alter_configs::AlterConfigsResourceResponse {
                error_code: altered.code(),
                error_message: altered.message(),
                resource_type: altered.kind,
                resource_name: altered.name.clone(),
            });
        let responses = responses.collect();
        let response = IncrementalAlterConfigsResponse { responses, ..Default::default() };
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
        let resources = request.resources.iter().map(|resource| {
            let wanted = |_: &ConfigResource, _: &ConfigMap| replaced(&resource.configs);
            (resource.resource_type, &resource.resource_name, wanted)
        });
        let (records, altered) = active.alter_each(resources, request.validate_only);
        let responses = altered.iter().map(|altered| alter_configs::AlterConfigsResourceResponse {
            error_code: altered.code(),
            error_message: altered.message(),
            resource_type: altered.kind,
            resource_name: altered.name.clone(),
        });
        let responses = responses.collect();
        let response = AlterConfigsResponse { responses, ..Default::default() };
        Ok(Decision::each(records, response))
    }
}

fn doubled_keys() -> Failure {
    Failure::new(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys")
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
            ResourceType::GROUP if name.is_empty() => {
                let message = "Default group resources are not allowed.";
                Err(Failure::new(ErrorCode::INVALID_REQUEST, message))
            }
            ResourceType::CLIENT_METRICS if name.is_empty() => {
                let message = "Default client metrics resources are not allowed.";
                Err(Failure::new(ErrorCode::INVALID_REQUEST, message))
            }
            ResourceType::GROUP | ResourceType::CLIENT_METRICS => Ok(()),
            other => {
                let message = format!("Unexpected resource type {}", other.0);
                Err(Failure::new(ErrorCode::INVALID_REQUEST, message))
            }
        }
    }

    /// Has each resource get what is wanted of it: by its name, and what is set on it now.
    fn alter_each<'a, W>(
        &self,
        resources: impl Iterator<Item = (i8, &'a Str, W)>,
        validate_only: bool,
    ) -> (Vec<MetadataRecord>, Vec<Altered<'a>>)
    where
        W: FnOnce(&ConfigResource, &ConfigMap) -> Result<ConfigMap, Failure>,
    {
        let (mut records, mut altered) = (Vec::new(), Vec::new());
        let resources: Vec<_> = resources.collect();
        let twice = doubled(resources.iter().map(|(kind, name, _)| (*kind, *name)));
        for (kind, name, wanted) in resources {
            let once = match twice.contains(&(kind, name)) {
                true => Err(Failure::new(ErrorCode::INVALID_REQUEST, RESOURCE_DOUBLED)),
                false => Ok(ConfigResource { kind: ResourceType(kind), name: name.detach() }),
            };
            let result = once.and_then(|resource| {
                self.check_resource(&resource)?;
                let present = self.image.config(&resource).cloned().unwrap_or_default();
                let wanted = wanted(&resource, &present)?;
                self.differences(&resource, &present, &wanted)
            });
            let failure = result.map(|added| records.extend(added)).err();
            altered.push(Altered { kind, name, failure });
        }
        if validate_only {
            records.clear();
        }
        (records, altered)
    }

    /// What is set on a resource after changes of single keys.
    fn edited(
        &self,
        resource: &ConfigResource,
        present: &ConfigMap,
        changes: &[incremental_alter_configs::AlterableConfig],
    ) -> Result<ConfigMap, Failure> {
        if !doubled(changes.iter().map(|change| &change.name)).is_empty() {
            return Err(doubled_keys());
        }
        let mut wanted = present.clone();
        for change in changes {
            let operation = Change::from_code(change.config_operation)?;
            if operation == Change::Delete {
                wanted.remove(change.name.as_str());
                continue;
            }
            let value = given(&change.name, change.value.as_ref())?;
            let value = match operation {
                Change::Set | Change::Delete => value.detach(),
                Change::Append | Change::Subtract => {
                    self.edited_list(resource, &wanted, &change.name, operation, value)?
                }
            };
            wanted.insert(change.name.detach(), value);
        }
        Ok(wanted)
    }

    /// A list with elements added or taken away. What is not set starts from the key's default,
    /// whatever nodes say, as in Kafka.
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
            ResourceType::GROUP => vltava_config::group::find(name),
            ResourceType::CLIENT_METRICS => vltava_config::subscription::find(name),
            _ => vltava_config::keys::find(name),
        };
        let Some(spec) = spec.filter(|spec| spec.kind == Kind::List) else {
            let verb = if operation == Change::Append { "APPEND" } else { "SUBTRACT" };
            let message = format!("Can't {verb} to key {name} because its type is not LIST.");
            return Err(Failure::new(ErrorCode::INVALID_CONFIG, message));
        };
        let inherited = match resource.kind {
            ResourceType::TOPIC => vltava_config::topic::default_of(spec),
            _ => spec.default_value(),
        };
        let inherited = inherited.to_text().unwrap_or_default();
        let base = wanted.get(name.as_str()).map_or(inherited.as_str(), |text| text.as_str());
        Ok(Str::from(vltava_config::edit_list(base, operation == Change::Append, value)))
    }

    /// Checks all that is wanted of a resource; `set` is what of it is new.
    fn check_wanted<'a>(
        &self,
        resource: &ConfigResource,
        wanted: &ConfigMap,
        mut set: impl Iterator<Item = (&'a Str, &'a Str)>,
    ) -> Result<(), Failure> {
        let refused = |code, message: String| Failure::new(code, message);
        match resource.kind {
            ResourceType::TOPIC => self.check_topic_configs(wanted),
            ResourceType::GROUP => group::validate(pairs(wanted), &self.values)
                .map_err(|message| refused(ErrorCode::INVALID_CONFIG, message)),
            ResourceType::CLIENT_METRICS => {
                subscription::validate(pairs(wanted)).map_err(|error| match error {
                    SubscriptionError::Request(it) => refused(ErrorCode::INVALID_REQUEST, it),
                    SubscriptionError::Config(it) => refused(ErrorCode::INVALID_CONFIG, it),
                })
            }
            _ => set.try_for_each(|(name, value)| {
                // Kafka's brokers answer this code, too (KAFKA-13609).
                vltava_config::check_dynamic(name, value, resource.name.is_empty())
                    .map_err(|problem| refused(ErrorCode::INVALID_REQUEST, problem.to_string()))
            }),
        }
    }

    fn differences(
        &self,
        resource: &ConfigResource,
        present: &ConfigMap,
        wanted: &ConfigMap,
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let set = wanted.iter().filter(|(name, value)| present.get(*name) != Some(*value));
        if let Some((name, _)) = set.clone().find(|(_, value)| value.len() > TEXT_MAX) {
            // Elements that are appended can make it so; the protocol would cut it.
            let message =
                format!("The value of {name} exceeds the maximum value size of {TEXT_MAX} bytes.");
            return Err(Failure::new(ErrorCode::INVALID_CONFIG, message));
        }
        self.check_wanted(resource, wanted, set.clone())?;
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

/// What is set on a resource once all of it is replaced.
fn replaced(configs: &[alter_configs::AlterableConfig]) -> Result<ConfigMap, Failure> {
    if !doubled(configs.iter().map(|config| &config.name)).is_empty() {
        return Err(doubled_keys());
    }
    let set = configs.iter().map(|config| {
        let value = given(&config.name, config.value.as_ref())?;
        Ok((config.name.detach(), value.detach()))
    });
    set.collect()
}

fn given<'a>(name: &Str, value: Option<&'a Str>) -> Result<&'a Str, Failure> {
    value.ok_or_else(|| {
        let message = format!("Null value not supported for : {name}");
        Failure::new(ErrorCode::INVALID_REQUEST, message)
    })
}

//! Configuration of topics and brokers.

use vltava_wire::Str;
use vltava_wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use vltava_wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use vltava_wire::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use crate::cluster::{Cluster, Speaks};
use crate::error::ClientError;

/// What has a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum ResourceType {
    /// A topic.
    Topic = 2,
    /// A broker; its name is its id, or empty for what holds for all.
    Broker = 4,
}

/// A topic or a broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Which of the two.
    pub kind: ResourceType,
    /// Its name.
    pub name: String,
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: &str) -> Self {
        Self { kind: ResourceType::Topic, name: name.to_owned() }
    }

    /// One broker.
    pub fn broker(id: i32) -> Self {
        Self { kind: ResourceType::Broker, name: id.to_string() }
    }

    /// What holds for all brokers.
    pub fn all_brokers() -> Self {
        Self { kind: ResourceType::Broker, name: String::new() }
    }

    fn describe(&self) -> String {
        match (self.kind, self.name.as_str()) {
            (ResourceType::Topic, name) => format!("configuration of topic {name}"),
            (ResourceType::Broker, "") => "configuration of all brokers".to_owned(),
            (ResourceType::Broker, id) => format!("configuration of broker {id}"),
        }
    }
}

/// One key of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: Str,
    /// The value; `None` if it has none or is secret.
    pub value: Option<Str>,
    /// Where the value comes from, as Kafka numbers it: 1 topic, 2 broker, 3 all brokers,
    /// 4 the node's file, 5 default.
    pub source: i8,
    /// Whether it cannot be changed at run time.
    pub read_only: bool,
    /// Whether the value is secret.
    pub sensitive: bool,
    /// What the key means, if it was asked for.
    pub documentation: Option<Str>,
}

impl ConfigEntry {
    /// Where the value comes from, as Kafka's tools name it.
    pub fn source_name(&self) -> &'static str {
        match self.source {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => "DEFAULT_CONFIG",
            _ => "UNKNOWN",
        }
    }

    /// Whether the value is Kafka's default.
    pub fn is_default(&self) -> bool {
        self.source == 5
    }
}

impl From<&DescribeConfigsResourceResult> for ConfigEntry {
    fn from(entry: &DescribeConfigsResourceResult) -> Self {
        Self {
            name: entry.name.clone(),
            value: entry.value.clone(),
            source: entry.config_source,
            read_only: entry.read_only,
            sensitive: entry.is_sensitive,
            documentation: entry.documentation.clone().filter(|text| !text.is_empty()),
        }
    }
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterOp {
    /// Gives it a value.
    Set(String),
    /// Takes its value away, so that the next wider one holds.
    Delete,
    /// Adds to a list.
    Append(String),
    /// Takes from a list.
    Subtract(String),
}

impl AlterOp {
    /// Gives it that value, or takes its value away where there is none.
    pub fn to(value: Option<&str>) -> Self {
        value.map_or(Self::Delete, |value| Self::Set(value.to_owned()))
    }

    fn to_wire(&self) -> (i8, Option<Str>) {
        match self {
            Self::Set(value) => (0, Some(value.as_str().into())),
            Self::Delete => (1, None),
            Self::Append(value) => (2, Some(value.as_str().into())),
            Self::Subtract(value) => (3, Some(value.as_str().into())),
        }
    }
}

impl Cluster {
    /// The configuration of a topic or broker, its keys in order; with `documentation`, what
    /// each means.
    ///
    /// # Errors
    /// If there is no such resource, or no node answers.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
        documentation: bool,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind as i8,
                resource_name: resource.name.as_str().into(),
                configuration_keys: None,
            }],
            include_synonyms: false,
            include_documentation: documentation,
        };
        let check = |result: &DescribeConfigsResult| {
            let message = result.error_message.as_deref();
            ClientError::check(|| resource.describe(), result.error_code, message)
        };
        let (request, check) = (&request, &check);
        // What a broker's file says, only that broker knows.
        let node = match resource.kind {
            ResourceType::Broker if self.options().speaks == Speaks::Brokers => {
                resource.name.parse::<i32>().ok()
            }
            _ => None,
        };
        let response = self
            .retry(|| async move {
                let connection = match node {
                    Some(id) => self.node(id).await?,
                    None => self.any().await?,
                };
                let response = connection.call(request).await?;
                response.results.iter().try_for_each(check).map(|()| response)
            })
            .await?;
        let mut entries: Vec<ConfigEntry> =
            response.results.iter().flat_map(|result| &result.configs).map(Into::into).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Changes some keys of a configuration and leaves the others.
    ///
    /// # Errors
    /// If a key or value is refused (then none is changed), or no node answers.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[(&str, AlterOp)],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let configs = changes.iter().map(|(name, op)| {
            let (config_operation, value) = op.to_wire();
            AlterableConfig { name: (*name).into(), config_operation, value }
        });
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind as i8,
                resource_name: resource.name.as_str().into(),
                configs: configs.collect(),
            }],
            validate_only,
        };
        let check =
            |response: &<IncrementalAlterConfigsRequest as vltava_wire::Request>::Response| {
                response.responses.iter().try_for_each(|result| {
                    let message = result.error_message.as_deref();
                    ClientError::check(|| resource.describe(), result.error_code, message)
                })
            };
        // A broker checks by itself what it could not go on with, as far as it can be reached.
        let own = match resource.kind {
            ResourceType::Broker if self.options().speaks == Speaks::Brokers => {
                resource.name.parse::<i32>().ok()
            }
            _ => None,
        };
        if let Some(id) = own
            && let Ok(connection) = self.node(id).await
            && let Ok(response) = connection.call(&request).await
        {
            return check(&response);
        }
        self.call_controller(&request, check).await.map(|_| ())
    }
}

//! Settings of topics and brokers, asked for and changed.

use std::collections::BTreeMap;

use serde::Serialize;
use vltava_client::ClientError;
use vltava_wire::Str;
use vltava_wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult,
};
use vltava_wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use vltava_wire::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use crate::cluster::session::{Session, check};

/// What has settings, as the protocol numbers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(i32),
    /// All brokers.
    AllBrokers,
}

/// The number that sets a value in IncrementalAlterConfigs (KIP-339).
const SET: i8 = 0;
/// The number that takes a value back.
const DELETE: i8 = 1;
/// Where a topic's own settings come from, as the protocol numbers it.
pub(crate) const OF_TOPIC: i8 = 1;
/// Where defaults come from, as the protocol numbers it.
pub(crate) const OF_TABLE: i8 = 5;

impl Resource {
    const fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::AllBrokers => 4,
        }
    }

    fn name(&self) -> Str {
        match self {
            Self::Topic(name) => name.as_str().into(),
            Self::Broker(id) => id.to_string().into(),
            Self::AllBrokers => Str::default(),
        }
    }

    /// The resource for a person.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Topic(name) => format!("topic {name}"),
            Self::Broker(id) => format!("broker {id}"),
            Self::AllBrokers => "all brokers".to_owned(),
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: &'static str,
    pub(crate) read_only: bool,
    pub(crate) sensitive: bool,
    #[serde(skip)]
    pub(crate) source_code: i8,
}

impl From<DescribeConfigsResourceResult> for Setting {
    fn from(found: DescribeConfigsResourceResult) -> Self {
        Self {
            name: found.name.to_string(),
            value: found.value.map(|value| value.to_string()),
            source: source_name(found.config_source),
            read_only: found.read_only,
            sensitive: found.is_sensitive,
            source_code: found.config_source,
        }
    }
}

fn source_name(code: i8) -> &'static str {
    match code {
        1 => "topic",
        2 => "broker, at run time",
        3 => "all brokers, at run time",
        4 => "file or environment",
        5 => "default",
        _ => "unknown",
    }
}

/// Asks for all settings of a resource.
pub(crate) async fn describe(
    session: &Session,
    resource: &Resource,
) -> Result<Vec<Setting>, ClientError> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: resource.kind(),
            resource_name: resource.name(),
            configuration_keys: None,
        }],
        ..Default::default()
    };
    // A broker answers for itself alone.
    let answer = match resource {
        Resource::Broker(id) => {
            let metadata = session.metadata(Some(&[])).await?;
            let address = crate::cluster::session::address_of(&metadata, *id).ok_or_else(|| {
                ClientError::Invalid(format!("there is no broker {id} in the cluster"))
            })?;
            session.ask_at(&address, &request, i16::MAX).await?
        }
        _ => session.ask(&request).await?,
    };
    let mut settings = Vec::new();
    for result in answer.results {
        check(|| resource.shown(), result.error_code, result.error_message.as_ref())?;
        settings.extend(result.configs.into_iter().map(Setting::from));
    }
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(settings)
}

/// What a topic sets for itself.
pub(crate) async fn own_of_topic(
    session: &Session,
    topic: &str,
) -> Result<BTreeMap<String, String>, ClientError> {
    let settings = describe(session, &Resource::Topic(topic.to_owned())).await?;
    Ok(settings
        .into_iter()
        .filter(|setting| setting.source_code == OF_TOPIC)
        .filter_map(|setting| Some((setting.name, setting.value?)))
        .collect())
}

/// Sets some values and takes others back.
pub(crate) async fn alter(
    session: &Session,
    resource: &Resource,
    set: impl IntoIterator<Item = (String, String)>,
    reset: impl IntoIterator<Item = String>,
) -> Result<(), ClientError> {
    let set = set.into_iter().map(|(name, value)| AlterableConfig {
        name: name.into(),
        config_operation: SET,
        value: Some(value.into()),
    });
    let reset = reset.into_iter().map(|name| AlterableConfig {
        name: name.into(),
        config_operation: DELETE,
        value: None,
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: resource.kind(),
            resource_name: resource.name(),
            configs: set.chain(reset).collect(),
        }],
        ..Default::default()
    };
    for answer in session.ask(&request).await?.responses {
        check(|| resource.shown(), answer.error_code, answer.error_message.as_ref())?;
    }
    Ok(())
}

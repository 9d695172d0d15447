//! DescribeConfigs (32): what topics and brokers are set to, and why (KIP-226).

use std::collections::BTreeMap;
use std::sync::Arc;

use vltava_config::describe::Described;
use vltava_config::{Role, describe};
use vltava_metadata::{ConfigMap, ResourceType};
use vltava_net::Reply;
use vltava_wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use vltava_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::metadata::topic;
use crate::server::Broker;

/// What is told of one resource: its keys, or why not.
type Outcome = Result<Vec<Described>, (ErrorCode, String)>;

/// Answers from the table of keys, the broker's file, and the image.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeConfigsRequest>) -> Reply {
    let results = call
        .request
        .resources
        .iter()
        .map(|resource| {
            let outcome = describe_one(broker, resource);
            answer(&call.request, resource, outcome)
        })
        .collect();
    call.reply(&DescribeConfigsResponse { throttle_time_ms: 0, results })
}

fn describe_one(broker: &Broker, resource: &DescribeConfigsResource) -> Outcome {
    let image = broker.cluster.image();
    let name = &resource.resource_name;
    let values = broker.cluster.values();
    match ResourceType(resource.resource_type) {
        ResourceType::TOPIC if !topic::is_valid_name(name) => {
            Err((ErrorCode::INVALID_TOPIC_EXCEPTION, format!("{name:?} is no name of a topic")))
        }
        ResourceType::TOPIC => match image.topic(name) {
            Some(_) => Ok(describe::topic(&values, &texts(&image.topic_config(name)))),
            None => {
                Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}")))
            }
        },
        ResourceType::BROKER if name.is_empty() => Ok(describe::cluster_default(&values)),
        ResourceType::BROKER if name.parse() == Ok(broker.id.get()) => {
            Ok(describe::node(&values, Role::Broker))
        }
        ResourceType::BROKER => Err((
            ErrorCode::INVALID_REQUEST,
            format!("this is broker {}; {name:?} is described by itself", broker.id),
        )),
        // There is nothing that a group or a metrics subscription could be set to.
        ResourceType::GROUP | ResourceType::CLIENT_METRICS => Ok(Vec::new()),
        ResourceType(kind) => Err((
            ErrorCode::INVALID_REQUEST,
            format!("resources of type {kind} have no configuration here"),
        )),
    }
}

fn texts(config: &ConfigMap) -> BTreeMap<String, String> {
    config.iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn answer(
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    outcome: Outcome,
) -> DescribeConfigsResult {
    let base = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    };
    match outcome {
        Err((error_code, message)) => {
            DescribeConfigsResult { error_code, error_message: Some(message.into()), ..base }
        }
        Ok(described) => {
            let is_wanted = |described: &&Described| {
                let keys = resource.configuration_keys.as_ref();
                keys.is_none_or(|keys| keys.iter().any(|key| *key == described.spec.name))
            };
            let configs = described
                .iter()
                .filter(is_wanted)
                .map(|described| entry(request, described))
                .collect();
            DescribeConfigsResult { error_message: None, configs, ..base }
        }
    }
}

fn entry(request: &DescribeConfigsRequest, described: &Described) -> DescribeConfigsResourceResult {
    let text = |value: &Option<String>| value.as_deref().map(Str::from);
    let synonyms = described.synonyms.iter().filter(|_| request.include_synonyms);
    let help = request.include_documentation.then(|| Str::from_static(described.spec.help));
    DescribeConfigsResourceResult {
        name: Str::from_static(described.spec.name),
        value: text(&described.value),
        read_only: described.read_only,
        config_source: described.source.code(),
        is_sensitive: described.sensitive,
        synonyms: synonyms
            .map(|synonym| DescribeConfigsSynonym {
                name: Str::from_static(synonym.name),
                value: text(&synonym.value),
                source: synonym.source.code(),
            })
            .collect(),
        config_type: described.spec.kind.code(),
        documentation: help,
    }
}

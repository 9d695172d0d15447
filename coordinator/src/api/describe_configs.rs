//! DescribeConfigs (32): of topics, of this coordinator, and what is set for all nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use vltava_config::Role;
use vltava_config::describe::{Described, cluster_default, node, topic};
use vltava_metadata::{ConfigMap, ResourceType};
use vltava_net::Reply;
use vltava_wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use vltava_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use vltava_wire::{ErrorCode, Str};

use super::{Call, Context};
use crate::controller::{Failure, dynamic_values};
use crate::status::Status;

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<DescribeConfigsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let status = context.status.borrow();
    let results = request.resources.iter().map(|resource| {
        let described = describe(context, &status, resource);
        let (configs, failure) = match described {
            Ok(described) => (described, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        DescribeConfigsResult {
            error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
            error_message: failure.and_then(|failure| failure.text()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: configs
                .into_iter()
                .filter(|described| is_wanted(resource, described.spec.name))
                .map(|described| result(described, &request))
                .collect(),
        }
    });
    let response = DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    };
    call.answer::<DescribeConfigsRequest>(&response)
}

fn is_wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| *key == *name))
}

fn describe(
    context: &Context,
    status: &Status,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Described>, Failure> {
    let name = resource.resource_name.as_str();
    let values = dynamic_values(&context.values, context.node, &status.image);
    match ResourceType(resource.resource_type) {
        ResourceType::TOPIC if status.image.topic(name).is_some() => {
            Ok(topic(&values, &plain(&status.image.topic_config(name))))
        }
        ResourceType::TOPIC => Err(Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "")),
        ResourceType::BROKER if name.is_empty() => Ok(cluster_default(&values)),
        ResourceType::BROKER if name == context.node.to_string() => {
            Ok(node(&values, Role::Coordinator))
        }
        ResourceType::BROKER => {
            let message = format!("this is node {}; ask node {name} for its own", context.node);
            Err(Failure::new(ErrorCode::INVALID_REQUEST, message))
        }
        other => {
            let message = format!("resource type {} has no configuration here", other.0);
            Err(Failure::new(ErrorCode::INVALID_REQUEST, message))
        }
    }
}

fn plain(config: &ConfigMap) -> BTreeMap<String, String> {
    config.iter().map(|(name, value)| (String::from(name), String::from(value))).collect()
}

fn result(described: Described, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = described.synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: Str::from_static(synonym.name),
        value: synonym.value.map(Str::from),
        source: synonym.source.code(),
    });
    DescribeConfigsResourceResult {
        name: Str::from_static(described.spec.name),
        value: described.value.map(Str::from),
        read_only: described.read_only,
        config_source: described.source.code(),
        is_sensitive: described.sensitive,
        synonyms: if request.include_synonyms { synonyms.collect() } else { Vec::new() },
        config_type: described.spec.kind.code(),
        documentation: request.include_documentation.then(|| Str::from_static(described.spec.help)),
    }
}

//! ListConfigResources (74): what has a configuration (KIP-714, KIP-1142).

use std::sync::Arc;

use vltava_metadata::ResourceType;
use vltava_net::Reply;
use vltava_wire::messages::list_config_resources::ConfigResource;
use vltava_wire::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::server::Broker;

/// The kinds that can be listed.
const KINDS: [ResourceType; 5] = [
    ResourceType::TOPIC,
    ResourceType::BROKER,
    ResourceType::BROKER_LOGGER,
    ResourceType::CLIENT_METRICS,
    ResourceType::GROUP,
];

/// Answers from the image.
pub async fn handle(broker: &Arc<Broker>, call: Call<ListConfigResourcesRequest>) -> Reply {
    let image = broker.cluster.image();
    let asked: Vec<ResourceType> = match call.version() {
        0 => vec![ResourceType::CLIENT_METRICS],
        _ if call.request.resource_types.is_empty() => KINDS.to_vec(),
        _ => call.request.resource_types.iter().map(|kind| ResourceType(*kind)).collect(),
    };
    if asked.iter().any(|kind| !KINDS.contains(kind)) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return call.reply(&ListConfigResourcesResponse { error_code, ..Default::default() });
    }
    let mut config_resources = Vec::new();
    let mut add = |kind: ResourceType, resource_name: Str| {
        config_resources.push(ConfigResource { resource_name, resource_type: kind.0 });
    };
    for kind in asked {
        match kind {
            ResourceType::TOPIC => {
                image.topics_by_name().for_each(|topic| add(kind, topic.name.clone()));
            }
            ResourceType::BROKER | ResourceType::BROKER_LOGGER => {
                image.brokers().for_each(|broker| add(kind, broker.id.to_string().into()));
            }
            _ => {
                let set = image.configs().filter(|(resource, _)| resource.kind == kind);
                set.for_each(|(resource, _)| add(kind, resource.name.clone()));
            }
        }
    }
    call.reply(&ListConfigResourcesResponse { config_resources, ..Default::default() })
}

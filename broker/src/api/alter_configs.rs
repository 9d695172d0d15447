//! AlterConfigs (33): the active coordinator carries it out, once this broker has checked what
//! concerns itself.

use std::sync::Arc;

use vltava_metadata::ConfigMap;
use vltava_net::Reply;
use vltava_node::named::{RESOURCE_DOUBLED, doubled};
use vltava_wire::ErrorCode;
use vltava_wire::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use vltava_wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

use crate::api::context::Call;
use crate::api::forward;
use crate::api::own_config;
use crate::server::Broker;

/// Refuses what this broker could not go on with, and forwards the rest.
pub async fn handle(broker: &Arc<Broker>, mut call: Call<AlterConfigsRequest>) -> Reply {
    let mut refused = Vec::new();
    let resources = call.request.resources.iter();
    let twice = doubled(resources.map(|it| (it.resource_type, it.resource_name.clone())));
    let check = |resource: &AlterConfigsResource| match twice
        .contains(&(resource.resource_type, resource.resource_name.clone()))
    {
        true => Err(RESOURCE_DOUBLED.to_owned()),
        false => check(broker, resource),
    };
    call.request.resources.retain(|resource| match check(resource) {
        Ok(()) => true,
        Err(message) => {
            refused.push(AlterConfigsResourceResponse {
                error_code: ErrorCode::INVALID_REQUEST,
                error_message: Some(message.into()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
            });
            false
        }
    });
    if call.request.resources.is_empty() {
        let response = AlterConfigsResponse { responses: refused, ..Default::default() };
        return call.reply(&response);
    }
    forward::rest(broker, call, move |response| response.responses.extend(refused))
}

/// The request replaces all that is set.
fn check(broker: &Broker, resource: &AlterConfigsResource) -> Result<(), String> {
    if !own_config::is_own(broker, resource.resource_type, &resource.resource_name) {
        return Ok(());
    }
    let configs = resource.configs.iter();
    let wanted: ConfigMap =
        configs.filter_map(|config| Some((config.name.clone(), config.value.clone()?))).collect();
    own_config::check(broker, &wanted)
}

//! IncrementalAlterConfigs (44): the active coordinator carries it out, once this broker has
//! checked what concerns itself (KIP-339).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_node::loggers;
use vltava_node::named::{RESOURCE_DOUBLED, doubled};
use vltava_wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse,
};
use vltava_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::api::forward;
use crate::api::own_config::{self, Edit};
use crate::server::Broker;

/// Sets its own log levels, refuses what this broker could not go on with, and forwards the rest.
pub async fn handle(broker: &Arc<Broker>, mut call: Call<IncrementalAlterConfigsRequest>) -> Reply {
    // Kafka answers both in the order of the request; nobody reads it so.
    let mut here = Vec::new();
    let validate_only = call.request.validate_only;
    let resources = call.request.resources.iter();
    let twice = doubled(resources.map(|it| (it.resource_type, it.resource_name.clone())));
    call.request.resources.retain(|resource| {
        let message = match check(broker, resource) {
            _ if twice.contains(&(resource.resource_type, resource.resource_name.clone())) => {
                RESOURCE_DOUBLED.to_owned()
            }
            _ if resource.resource_type == loggers::BROKER_LOGGER => {
                here.push(loggers::alter(broker.id, resource, validate_only));
                return false;
            }
            Ok(()) => return true,
            Err(message) => message,
        };
        here.push(AlterConfigsResourceResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            error_message: Some(message.into()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
        false
    });
    if call.request.resources.is_empty() {
        let response = IncrementalAlterConfigsResponse { responses: here, ..Default::default() };
        return call.reply(&response);
    }
    forward::rest(broker, call, move |response| response.responses.extend(here))
}

fn check(broker: &Broker, resource: &AlterConfigsResource) -> Result<(), String> {
    if !own_config::is_own(broker, resource.resource_type, &resource.resource_name) {
        return Ok(());
    }
    let none = Str::default();
    let edits = resource.configs.iter().map(|config| {
        let value = config.value.as_ref().unwrap_or(&none);
        let edit = match config.config_operation {
            1 => Edit::Delete,
            2 => Edit::Append(value),
            3 => Edit::Subtract(value),
            // The coordinator refuses operations that do not exist.
            _ => Edit::Set(value),
        };
        (&config.name, edit)
    });
    let wanted = own_config::edited(&own_config::present(broker), edits);
    own_config::check(broker, &wanted)
}

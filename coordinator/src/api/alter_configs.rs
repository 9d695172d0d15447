//! AlterConfigs (33): all that is set on a resource is replaced.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::alter_configs::AlterConfigsResourceResponse;
use vltava_wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<AlterConfigsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.alter_configs(request),
        |request, failure| AlterConfigsResponse {
            responses: request
                .resources
                .iter()
                .map(|resource| AlterConfigsResourceResponse {
                    error_code: failure.code,
                    error_message: failure.text(),
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name.clone(),
                })
                .collect(),
            ..AlterConfigsResponse::default()
        },
    )
}

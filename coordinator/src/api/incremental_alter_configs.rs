//! IncrementalAlterConfigs (44): single keys are set at run time (KIP-339).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_node::loggers::{self, BROKER_LOGGER};
use vltava_wire::messages::incremental_alter_configs::AlterConfigsResource;
use vltava_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::{Call, Context, refuse};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<IncrementalAlterConfigsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    // Levels are this node's own. Those of others come to them, not by way of brokers.
    let is_level = |resource: &AlterConfigsResource| resource.resource_type == BROKER_LOGGER;
    if !request.resources.is_empty() && request.resources.iter().all(is_level) {
        let responses = loggers::alter_all(context.node, &request.resources, request.validate_only);
        let response = IncrementalAlterConfigsResponse { responses, ..Default::default() };
        return call.answer::<IncrementalAlterConfigsRequest>(&response);
    }
    context.operate(
        call,
        request,
        |request, controller, _| controller.incremental_alter_configs(request),
        refuse,
    )
}

//! AlterConfigs (33): all that is set on a resource is replaced.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::AlterConfigsRequest;

use super::{Call, Context, refuse};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<AlterConfigsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.alter_configs(request),
        refuse,
    )
}

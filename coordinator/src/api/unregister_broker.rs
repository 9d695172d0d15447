//! UnregisterBroker (64): a broker that will not come back is forgotten.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::NodeId;
use vltava_wire::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::{Call, Context, refuse};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<UnregisterBrokerRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| {
            let decision = controller.unregister_broker(NodeId(request.broker_id))?;
            Ok(decision.map(|()| UnregisterBrokerResponse {
                error_message: None,
                ..UnregisterBrokerResponse::default()
            }))
        },
        refuse,
    )
}

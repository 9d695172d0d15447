//! ControllerRegistration (70): a coordinator says where it is (KIP-919).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{ControllerRegistrationRequest, ControllerRegistrationResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<ControllerRegistrationRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| {
            let decision = controller.register_controller(request)?;
            Ok(decision.map(|()| ControllerRegistrationResponse {
                error_message: None,
                ..ControllerRegistrationResponse::default()
            }))
        },
        |_, failure| ControllerRegistrationResponse {
            error_code: failure.code,
            error_message: failure.text(),
            ..ControllerRegistrationResponse::default()
        },
    )
}

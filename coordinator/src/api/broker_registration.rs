//! BrokerRegistration (62): a broker process says who and where it is (KIP-631).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{BrokerRegistrationRequest, BrokerRegistrationResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<BrokerRegistrationRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, moment| controller.register_broker(request, moment),
        |request, failure| {
            let (broker, code) = (request.broker_id, failure.code);
            tracing::debug!(broker, %code, "a registration is refused: {}", failure.message);
            BrokerRegistrationResponse { error_code: code, ..BrokerRegistrationResponse::default() }
        },
    )
}

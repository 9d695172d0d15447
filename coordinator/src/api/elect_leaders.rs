//! ElectLeaders (43): preferred or unclean elections on demand (KIP-460).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<ElectLeadersRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.elect_leaders(request),
        |_request, failure| ElectLeadersResponse {
            error_code: failure.code,
            ..ElectLeadersResponse::default()
        },
    )
}

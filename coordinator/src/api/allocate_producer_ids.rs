//! AllocateProducerIds (67): a block of ids for a broker's producers (KIP-730).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<AllocateProducerIdsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.allocate_producer_ids(request),
        |_request, failure| AllocateProducerIdsResponse {
            error_code: failure.code,
            ..AllocateProducerIdsResponse::default()
        },
    )
}

//! AlterPartition (56): a leader proposes who is in sync (KIP-497).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{AlterPartitionRequest, AlterPartitionResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<AlterPartitionRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.alter_partition(request),
        |_request, failure| AlterPartitionResponse {
            error_code: failure.code,
            ..AlterPartitionResponse::default()
        },
    )
}

//! CreatePartitions (37).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::CreatePartitionsRequest;

use super::{Call, Context, refuse};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<CreatePartitionsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.create_partitions(request),
        refuse,
    )
}

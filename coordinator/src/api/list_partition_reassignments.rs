//! ListPartitionReassignments (46): which replicas move (KIP-455).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::ListPartitionReassignmentsRequest;

use super::{Call, Context, refuse};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<ListPartitionReassignmentsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.list_partition_reassignments(request),
        refuse,
    )
}

//! ListPartitionReassignments (46): which replicas move (KIP-455).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<ListPartitionReassignmentsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.list_partition_reassignments(request),
        |_request, failure| ListPartitionReassignmentsResponse {
            error_code: failure.code,
            error_message: failure.text(),
            ..ListPartitionReassignmentsResponse::default()
        },
    )
}

//! FetchSnapshot (59): a part of a snapshot of the metadata log (KIP-630).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{FetchSnapshotResponse, Request, Response, rpc};
use vltava_wire::messages::FetchSnapshotRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<FetchSnapshotRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request =
        rpc::snapshot_request_from_wire(request, &context.cluster_id).map(Request::FetchSnapshot);
    let refuse = |error| {
        rpc::snapshot_response_to_wire(&FetchSnapshotResponse {
            error,
            ..FetchSnapshotResponse::default()
        })
    };
    let to_wire = |response| match response {
        Response::FetchSnapshot(answer) => rpc::snapshot_response_to_wire(&answer),
        other => unreachable!("FetchSnapshotRequest is answered by {other:?}"),
    };
    context.quorum::<FetchSnapshotRequest>(call, request, to_wire, refuse)
}

//! Fetch (1): coordinators and brokers follow the metadata log (KIP-595).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{FetchResponse, Request, Response, rpc};
use vltava_wire::messages::FetchRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<FetchRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request = rpc::fetch_request_from_wire(request, &context.cluster_id).map(Request::Fetch);
    let refuse =
        |error| rpc::fetch_response_to_wire(&FetchResponse { error, ..FetchResponse::default() });
    let to_wire = |response| match response {
        Response::Fetch(answer) => rpc::fetch_response_to_wire(&answer),
        other => unreachable!("FetchRequest is answered by {other:?}"),
    };
    context.quorum::<FetchRequest>(call, request, to_wire, refuse)
}

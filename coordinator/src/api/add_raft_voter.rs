//! AddRaftVoter (80): a coordinator joins the voters (KIP-853).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{LeaderInfo, Request, Response, VoterChangeResponse, rpc};
use vltava_wire::messages::AddRaftVoterRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<AddRaftVoterRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request = rpc::add_request_from_wire(request, &context.cluster_id).map(Request::AddVoter);
    let refuse = |error| {
        rpc::add_response_to_wire(&VoterChangeResponse { error, leader: LeaderInfo::default() })
    };
    let to_wire = |response| match response {
        Response::AddVoter(answer) => rpc::add_response_to_wire(&answer),
        other => unreachable!("AddRaftVoterRequest is answered by {other:?}"),
    };
    context.quorum::<AddRaftVoterRequest>(call, request, to_wire, refuse)
}

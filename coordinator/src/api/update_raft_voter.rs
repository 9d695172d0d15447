//! UpdateRaftVoter (82): a voter's endpoints or versions changed (KIP-853).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{LeaderInfo, Request, Response, VoterChangeResponse, rpc};
use vltava_wire::messages::UpdateRaftVoterRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<UpdateRaftVoterRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request =
        rpc::update_request_from_wire(request, &context.cluster_id).map(Request::UpdateVoter);
    let refuse = |error| {
        rpc::update_response_to_wire(&VoterChangeResponse { error, leader: LeaderInfo::default() })
    };
    let to_wire = |response| match response {
        Response::UpdateVoter(answer) => rpc::update_response_to_wire(&answer),
        other => unreachable!("UpdateRaftVoterRequest is answered by {other:?}"),
    };
    context.quorum::<UpdateRaftVoterRequest>(call, request, to_wire, refuse)
}

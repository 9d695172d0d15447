//! RemoveRaftVoter (81): a coordinator leaves the voters (KIP-853).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{LeaderInfo, Request, Response, VoterChangeResponse, rpc};
use vltava_wire::messages::RemoveRaftVoterRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<RemoveRaftVoterRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request =
        rpc::remove_request_from_wire(&request, &context.cluster_id).map(Request::RemoveVoter);
    let refuse = |error| {
        rpc::remove_response_to_wire(&VoterChangeResponse { error, leader: LeaderInfo::default() })
    };
    let to_wire = |response| match response {
        Response::RemoveVoter(answer) => rpc::remove_response_to_wire(&answer),
        other => unreachable!("RemoveRaftVoterRequest is answered by {other:?}"),
    };
    context.quorum::<RemoveRaftVoterRequest>(call, request, to_wire, refuse)
}

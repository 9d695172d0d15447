//! Vote (52): a coordinator asks for a vote, or whether it would get it (KIP-595, KIP-996).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{LeaderInfo, Request, Response, VoteResponse, rpc};
use vltava_wire::messages::VoteRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<VoteRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request = rpc::vote_request_from_wire(request, &context.cluster_id).map(Request::Vote);
    let refuse = |error| {
        let leader = LeaderInfo::default();
        rpc::vote_response_to_wire(&VoteResponse { error, leader, granted: false })
    };
    let to_wire = move |response| match response {
        Response::Vote(vote) => rpc::vote_response_to_wire(&vote),
        other => unreachable!("a vote is answered by {other:?}"),
    };
    context.quorum::<VoteRequest>(call, request, to_wire, refuse)
}

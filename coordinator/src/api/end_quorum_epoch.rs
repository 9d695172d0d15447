//! EndQuorumEpoch (54): a coordinator says that it leads no more (KIP-595).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{LeaderInfo, QuorumEpochResponse, Request, Response, rpc};
use vltava_wire::messages::EndQuorumEpochRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<EndQuorumEpochRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request =
        rpc::end_request_from_wire(request, &context.cluster_id).map(Request::EndQuorumEpoch);
    let refuse = |error| {
        rpc::end_response_to_wire(&QuorumEpochResponse { error, leader: LeaderInfo::default() })
    };
    let to_wire = |response| match response {
        Response::EndQuorumEpoch(answer) => rpc::end_response_to_wire(&answer),
        other => unreachable!("EndQuorumEpochRequest is answered by {other:?}"),
    };
    context.quorum::<EndQuorumEpochRequest>(call, request, to_wire, refuse)
}

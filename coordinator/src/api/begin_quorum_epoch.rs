//! BeginQuorumEpoch (53): a coordinator says that it leads (KIP-595).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_quorum::{LeaderInfo, QuorumEpochResponse, Request, Response, rpc};
use vltava_wire::messages::BeginQuorumEpochRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<BeginQuorumEpochRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let request =
        rpc::begin_request_from_wire(request, &context.cluster_id).map(Request::BeginQuorumEpoch);
    let refuse = |error| {
        rpc::begin_response_to_wire(&QuorumEpochResponse { error, leader: LeaderInfo::default() })
    };
    let to_wire = |response| match response {
        Response::BeginQuorumEpoch(answer) => rpc::begin_response_to_wire(&answer),
        other => unreachable!("BeginQuorumEpochRequest is answered by {other:?}"),
    };
    context.quorum::<BeginQuorumEpochRequest>(call, request, to_wire, refuse)
}

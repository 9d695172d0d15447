//! DescribeCluster (60): the coordinators, to who asks a coordinator (KIP-919).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::describe_cluster::DescribeClusterBroker;
use vltava_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};
use vltava_wire::{ErrorCode, NodeId, Str, operations};

use super::{Call, Context};
use crate::status::Status;

/// The endpoint type of coordinators.
const CONTROLLERS: i8 = 2;

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<DescribeClusterRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    if request.endpoint_type != CONTROLLERS {
        let message = "this is a coordinator: ask it for controllers, or ask a broker";
        let response = DescribeClusterResponse {
            error_code: ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            error_message: Some(Str::from_static(message)),
            endpoint_type: CONTROLLERS,
            ..DescribeClusterResponse::default()
        };
        return call.answer::<DescribeClusterRequest>(&response);
    }
    let status = context.news.latest();
    let response = DescribeClusterResponse {
        endpoint_type: CONTROLLERS,
        cluster_id: context.cluster_id.clone(),
        controller_id: status.leader.leader.unwrap_or(NodeId::NONE).get(),
        brokers: coordinators(&status, &call.listener),
        cluster_authorized_operations: operations::if_asked(
            request.include_cluster_authorized_operations,
            operations::CLUSTER,
        ),
        ..DescribeClusterResponse::default()
    };
    call.answer::<DescribeClusterRequest>(&response)
}

/// The coordinators that registered; voters that did not yet, by what the voter set says.
fn coordinators(status: &Status, listener: &str) -> Vec<DescribeClusterBroker> {
    let entry = |id: NodeId, host: &Str, port: u16| DescribeClusterBroker {
        broker_id: id.get(),
        host: host.clone(),
        port: i32::from(port),
        rack: None,
        is_fenced: false,
    };
    let image = &status.image;
    let registered = image.controllers().filter_map(|controller| {
        let endpoint =
            controller.endpoints.get(listener).or(controller.endpoints.values().next())?;
        Some(entry(controller.id, &endpoint.host, endpoint.port))
    });
    let unregistered =
        status.voters.iter().filter(|voter| image.controller(voter.key.id).is_none());
    let voters = unregistered.filter_map(|voter| {
        let endpoint = voter.endpoint(listener)?;
        Some(entry(voter.key.id, &endpoint.host, endpoint.port))
    });
    registered.chain(voters).collect()
}

//! DescribeCluster (60): the brokers, or the coordinators, with their addresses.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::describe_cluster::DescribeClusterBroker;
use vltava_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};
use vltava_wire::{ErrorCode, NodeId, Str, operations};

use crate::api::context::Call;
use crate::server::Broker;

/// The kind of endpoint that a broker's listener serves (KIP-919).
const BROKERS: i8 = 1;

/// Answers from the image.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeClusterRequest>) -> Reply {
    let request = &call.request;
    if request.endpoint_type != BROKERS {
        // The coordinators are described by the coordinators (KIP-919).
        let error_code = match request.endpoint_type {
            2 => ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            _ => ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
        };
        let message = "a broker describes brokers: endpoint type 1";
        return call.reply(&DescribeClusterResponse {
            error_code,
            error_message: Some(Str::from_static(message)),
            ..Default::default()
        });
    }
    let image = broker.cluster.image();
    let brokers = image
        .brokers()
        .filter(|broker| request.include_fenced_brokers || !broker.fenced)
        .filter_map(|broker| {
            let endpoint = broker.endpoint(&call.listener)?;
            Some(DescribeClusterBroker {
                broker_id: broker.id.get(),
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
                is_fenced: broker.fenced,
            })
        })
        .collect();
    call.reply(&DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: image.cluster_id().clone(),
        controller_id: image.senior_broker().unwrap_or(NodeId::NONE).get(),
        brokers,
        cluster_authorized_operations: operations::if_asked(
            request.include_cluster_authorized_operations,
            operations::CLUSTER,
        ),
        ..Default::default()
    })
}

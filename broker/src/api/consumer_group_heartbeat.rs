//! ConsumerGroupHeartbeat (68): a member of a group of the new protocol joins, stays or leaves.

use std::sync::Arc;

use vltava_metadata::{GROUP_VERSION, GROUP_VERSION_CONSUMER};
use vltava_net::Reply;
use vltava_wire::ErrorCode;
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use crate::api::context::Call;
use crate::group::calls::ConsumerHeartbeatCall;
use crate::server::Broker;

/// Answers when what the heartbeat changes is stored on all replicas in sync.
pub async fn handle(broker: &Arc<Broker>, call: Call<ConsumerGroupHeartbeatRequest>) -> Reply {
    if !is_served(broker) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        let error_message = None;
        return call.reply(&ConsumerGroupHeartbeatResponse {
            error_code,
            error_message,
            ..Default::default()
        });
    }
    let beaten = broker.groups.consumer_heartbeat(ConsumerHeartbeatCall {
        request: call.request.clone(),
        version: call.version(),
        client_id: call.client_id(),
        client_host: format!("/{}", call.peer.ip().to_canonical()).into(),
        random: rand::random(),
    });
    beaten.reply(&call)
}

/// Whether the cluster's features have groups of the new protocol; where they have not, clients are
/// told to use the classic one.
pub fn is_served(broker: &Broker) -> bool {
    broker.cluster.image().feature_level(GROUP_VERSION) >= GROUP_VERSION_CONSUMER
}

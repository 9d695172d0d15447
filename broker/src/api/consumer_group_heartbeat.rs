//! ConsumerGroupHeartbeat (68): a member of a group of the new protocol joins, stays or leaves.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::ConsumerGroupHeartbeatRequest;

use crate::api::context::Call;
use crate::group::calls::ConsumerHeartbeatCall;
use crate::server::Broker;

/// Answers when what the heartbeat changes is stored on all replicas in sync.
pub async fn handle(broker: &Arc<Broker>, call: Call<ConsumerGroupHeartbeatRequest>) -> Reply {
    let beaten = broker.groups.consumer_heartbeat(ConsumerHeartbeatCall {
        request: call.request.clone(),
        version: call.version(),
        client_id: call.client_id(),
        client_host: format!("/{}", call.peer.ip().to_canonical()).into(),
        random: rand::random(),
    });
    beaten.reply(&call)
}

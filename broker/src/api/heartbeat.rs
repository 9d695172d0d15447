//! Heartbeat (12): a member is alive, and learns whether its group rebalances.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::HeartbeatRequest;

use crate::api::context::Call;
use crate::group::calls::HeartbeatCall;
use crate::server::Broker;

/// Answers at once.
pub async fn handle(broker: &Arc<Broker>, call: Call<HeartbeatRequest>) -> Reply {
    let request = &call.request;
    let beaten = broker.groups.heartbeat(HeartbeatCall {
        group_id: request.group_id.clone(),
        generation: request.generation_id,
        member_id: request.member_id.clone(),
        instance_id: request.group_instance_id.clone(),
    });
    beaten.reply(&call)
}

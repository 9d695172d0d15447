//! JoinGroup (11): a member enters a group, or comes back to it.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::JoinGroupRequest;

use crate::api::context::Call;
use crate::group::calls::JoinCall;
use crate::server::Broker;

/// Answers when the group's join phase ends.
pub async fn handle(broker: &Arc<Broker>, call: Call<JoinGroupRequest>) -> Reply {
    let request = &call.request;
    let version = call.version();
    let joined = broker.groups.join(JoinCall {
        group_id: request.group_id.clone(),
        version,
        member_id: request.member_id.clone(),
        instance_id: request.group_instance_id.clone(),
        client_id: call.client_id(),
        client_host: format!("/{}", call.peer.ip().to_canonical()).into(),
        session_timeout_ms: request.session_timeout_ms,
        // Version 0 knows one timeout for both.
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: request.protocol_type.clone(),
        protocols: request
            .protocols
            .iter()
            .map(|protocol| (protocol.name.clone(), protocol.metadata.clone()))
            .collect(),
        reason: request.reason.clone(),
        random: rand::random(),
    });
    joined.reply(&call)
}

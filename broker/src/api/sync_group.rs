//! SyncGroup (14): a member asks for its assignment; the leader brings everybody's.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::ErrorCode;
use vltava_wire::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::api::context::Call;
use crate::group::calls::SyncCall;
use crate::server::Broker;

/// The first version that must say which protocol the member believes in (KIP-559).
const PROTOCOL_SINCE: i16 = 5;

/// Answers when the leader's assignment is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<SyncGroupRequest>) -> Reply {
    let request = &call.request;
    let says_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version() >= PROTOCOL_SINCE && !says_protocol {
        let error_code = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
        return call.reply(&SyncGroupResponse { error_code, ..Default::default() });
    }
    let assignments = request.assignments.iter();
    let synced = broker.groups.sync(SyncCall {
        group_id: request.group_id.clone(),
        generation: request.generation_id,
        member_id: request.member_id.clone(),
        instance_id: request.group_instance_id.clone(),
        protocol_type: request.protocol_type.clone(),
        protocol: request.protocol_name.clone(),
        assignments: assignments
            .map(|given| (given.member_id.clone(), given.assignment.clone()))
            .collect(),
    });
    synced.reply(&call)
}

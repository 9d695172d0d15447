//! LeaveGroup (13): members leave a group.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::LeaveGroupRequest;

use crate::api::context::Call;
use crate::group::calls::{LeaveCall, Leaver};
use crate::server::Broker;

/// The first version in which several members may leave at once (KIP-345).
const SEVERAL_SINCE: i16 = 3;

/// Answers when the members are gone; one by one where the version can.
pub async fn handle(broker: &Arc<Broker>, call: Call<LeaveGroupRequest>) -> Reply {
    let request = &call.request;
    let several = call.version() >= SEVERAL_SINCE;
    let members = match several {
        true => request
            .members
            .iter()
            .map(|member| Leaver {
                member_id: member.member_id.clone(),
                instance_id: member.group_instance_id.clone(),
                reason: member.reason.clone(),
            })
            .collect(),
        false => vec![Leaver { member_id: request.member_id.clone(), ..Leaver::default() }],
    };
    let left = broker.groups.leave(LeaveCall { group_id: request.group_id.clone(), members });
    let left = left.map(move |mut response| {
        let first = response.members.first().map(|member| member.error_code);
        if let Some(code) = first.filter(|_| !several && response.error_code.is_ok()) {
            response.error_code = code;
        }
        response
    });
    left.reply(&call)
}

//! ShareGroupHeartbeat (76): a member of a share group joins, stays or leaves.

use std::sync::Arc;

use vltava_metadata::{SHARE_VERSION, SHARE_VERSION_GROUPS};
use vltava_net::Reply;
use vltava_wire::ErrorCode;
use vltava_wire::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};

use crate::api::context::Call;
use crate::group::calls::ShareHeartbeatCall;
use crate::server::Broker;

/// Answers when what the heartbeat changes is stored on all replicas in sync.
pub async fn handle(broker: &Arc<Broker>, call: Call<ShareGroupHeartbeatRequest>) -> Reply {
    if !is_served(broker) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return call.reply(&ShareGroupHeartbeatResponse { error_code, ..Default::default() });
    }
    let beaten = broker.groups.share_heartbeat(ShareHeartbeatCall {
        request: call.request.clone(),
        client_id: call.client_id(),
        client_host: format!("/{}", call.peer.ip().to_canonical()).into(),
    });
    beaten.reply(&call)
}

/// Whether the cluster's features have share groups.
pub fn is_served(broker: &Broker) -> bool {
    broker.cluster.image().feature_level(SHARE_VERSION) >= SHARE_VERSION_GROUPS
}

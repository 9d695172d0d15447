//! BrokerHeartbeat (63): a broker says that it lives (KIP-631).
//!
//! A standby answers NOT_CONTROLLER, but notes who speaks on the connection: should the broker and
//! the active coordinator die together, the next one has seen the connection close.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};
use vltava_wire::{BrokerEpoch, NodeId};

use super::{Call, Context};
use crate::driver::Message;

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<BrokerHeartbeatRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let spoke = Message::Spoke {
        connection: call.connection,
        broker: NodeId(request.broker_id),
        epoch: BrokerEpoch(request.broker_epoch),
    };
    context.inbox.offer(spoke, 0);
    context.operate(
        call,
        request,
        |request, controller, moment| controller.heartbeat(request, moment),
        |_, failure| BrokerHeartbeatResponse {
            error_code: failure.code,
            ..BrokerHeartbeatResponse::default()
        },
    )
}

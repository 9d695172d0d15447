//! AssignReplicasToDirs (73): a broker says in which log directories its replicas lie (KIP-858).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<AssignReplicasToDirsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.assign_replicas_to_dirs(request),
        |_request, failure| AssignReplicasToDirsResponse {
            error_code: failure.code,
            ..AssignReplicasToDirsResponse::default()
        },
    )
}

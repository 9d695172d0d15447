//! InitProducerId (22): an id for an idempotent producer, or id and epoch for a transactional one
//! (KIP-98, KIP-360).
//!
//! Ids come in blocks from the coordinator. An idempotent producer that names the id which it had
//! gets a new one all the same: nothing has to be fenced where there is no transaction.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use vltava_wire::{ErrorCode, ProducerId};

use crate::api::context::Call;
use crate::error::{ToErrorCode, fenced_code};
use crate::server::Broker;
use crate::txn::calls::InitCall;

/// From this version on a fenced producer is told so by the code that means it (KIP-588).
const FENCED_SINCE: i16 = 4;

fn answered(outcome: Result<(i64, i16), ErrorCode>, version: i16) -> InitProducerIdResponse {
    match outcome {
        Ok((producer_id, producer_epoch)) => {
            InitProducerIdResponse { producer_id, producer_epoch, ..Default::default() }
        }
        Err(code) => InitProducerIdResponse {
            error_code: fenced_code(code, version, FENCED_SINCE),
            producer_epoch: -1,
            ..Default::default()
        },
    }
}

/// Draws an id, or has the coordinator of the transactional id give one.
pub async fn handle(broker: &Arc<Broker>, call: Call<InitProducerIdRequest>) -> Reply {
    let version = call.version();
    let request = &call.request;
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    if (id == -1) != (epoch == -1) || request.transactional_id.as_deref() == Some("") {
        return call.reply(&answered(Err(ErrorCode::INVALID_REQUEST), version));
    }
    if let Some(transactional_id) = &request.transactional_id {
        let init = InitCall {
            id: transactional_id.clone(),
            timeout_ms: request.transaction_timeout_ms,
            expected: (id != -1).then_some((id, epoch)),
        };
        let answer = broker.transactions.init(init);
        return answer.map(move |outcome| answered(outcome, version)).reply(&call);
    }
    let broker = Arc::clone(broker);
    call.reply_later(async move {
        let ids = broker.partitions.producer_ids();
        let drawn = ids.next(broker.id, &broker.cluster, &broker.controller).await;
        let drawn = drawn.map(|ProducerId(id)| (id, 0)).map_err(|error| {
            tracing::warn!(%error, "a producer got no id");
            error.code()
        });
        answered(drawn, version)
    })
}

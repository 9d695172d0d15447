//! InitProducerId (22): an id for an idempotent producer (KIP-98).
//!
//! Ids come in blocks from the coordinator. An idempotent producer that names the id which it had
//! gets a new one all the same: nothing has to be fenced where there is no transaction (KIP-360).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use vltava_wire::{ErrorCode, ProducerId};

use crate::api::context::Call;
use crate::error::ToErrorCode;
use crate::server::Broker;

/// Draws an id. A transactional producer is refused for good: there are no transactions here.
pub async fn handle(broker: &Arc<Broker>, call: Call<InitProducerIdRequest>) -> Reply {
    let refused = |error_code| InitProducerIdResponse {
        error_code,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    match call.request.transactional_id.as_deref() {
        Some("") => return call.reply(&refused(ErrorCode::INVALID_REQUEST)),
        Some(_) => {
            // Both librdkafka and the Java client take this for final, and say that the broker
            // does not support what they need.
            return call.reply(&refused(ErrorCode::UNSUPPORTED_VERSION));
        }
        None => {}
    }
    let broker = Arc::clone(broker);
    call.reply_later(async move {
        let ids = broker.partitions.producer_ids();
        match ids.next(broker.id, &broker.cluster, &broker.controller).await {
            Ok(ProducerId(producer_id)) => {
                InitProducerIdResponse { producer_id, ..InitProducerIdResponse::default() }
            }
            Err(error) => {
                tracing::warn!(%error, "a producer got no id");
                refused(error.code())
            }
        }
    })
}

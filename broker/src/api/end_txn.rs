//! EndTxn (26): commits or aborts a transaction (KIP-98). From version 5 on the answer says under
//! which id and epoch the producer goes on (KIP-890).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::ErrorCode;
use vltava_wire::messages::{EndTxnRequest, EndTxnResponse};

use crate::api::context::Call;
use crate::error::fenced_code;
use crate::server::Broker;
use crate::txn::calls::{EPOCH_PER_TRANSACTION, EndCall};

/// From this version on clients know that each transaction has an epoch of its own.
const OWN_EPOCH_SINCE: i16 = 5;

/// From this version on a fenced producer is told so by the code that means it (KIP-588).
const FENCED_SINCE: i16 = 2;

/// Ends the transaction, and answers when that is decided for good.
pub async fn handle(broker: &Arc<Broker>, call: Call<EndTxnRequest>) -> Reply {
    let version = call.version();
    let request = &call.request;
    let answered = move |outcome: Result<(i64, i16), ErrorCode>| match outcome {
        Ok((producer_id, producer_epoch)) => {
            EndTxnResponse { producer_id, producer_epoch, ..Default::default() }
        }
        Err(code) => EndTxnResponse {
            error_code: fenced_code(code, version, FENCED_SINCE),
            ..Default::default()
        },
    };
    if request.transactional_id.is_empty() {
        return call.reply(&answered(Err(ErrorCode::INVALID_REQUEST)));
    }
    let ended = broker.transactions.end(EndCall {
        id: request.transactional_id.clone(),
        producer_id: request.producer_id,
        producer_epoch: request.producer_epoch,
        commits: request.committed,
        client_version: if version >= OWN_EPOCH_SINCE { EPOCH_PER_TRANSACTION } else { 0 },
    });
    ended.map(answered).reply(&call)
}

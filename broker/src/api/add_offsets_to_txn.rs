//! AddOffsetsToTxn (25): a transaction will commit offsets of a group, so the group's partition of
//! `__consumer_offsets` is one that it writes to (KIP-98).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::error::fenced_code;
use crate::metadata::topic::GROUP_OFFSETS;
use crate::server::Broker;
use crate::txn::calls::PartitionsCall;

/// From this version on a fenced producer is told so by the code that means it (KIP-588).
const FENCED_SINCE: i16 = 2;

/// Adds the group's partition to the transaction.
pub async fn handle(broker: &Arc<Broker>, call: Call<AddOffsetsToTxnRequest>) -> Reply {
    let version = call.version();
    let request = &call.request;
    let answered = move |code: ErrorCode| AddOffsetsToTxnResponse {
        error_code: fenced_code(code, version, FENCED_SINCE),
        ..Default::default()
    };
    if request.transactional_id.is_empty() {
        return call.reply(&answered(ErrorCode::INVALID_REQUEST));
    }
    // The topic may not be there yet: clients ask for the group's coordinator, which makes it, only
    // afterwards. How many partitions it will have is known.
    let partition = broker.groups.partition_of(&request.group_id).get();
    let added = broker.transactions.add(PartitionsCall {
        id: request.transactional_id.clone(),
        producer_id: request.producer_id,
        producer_epoch: request.producer_epoch,
        partitions: [(Str::from_static(GROUP_OFFSETS), partition)].into(),
        client_version: 0,
    });
    added.map(answered).reply(&call)
}

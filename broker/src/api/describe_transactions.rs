//! DescribeTransactions (65): how transactions stand that this broker coordinates (KIP-664).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_node::named::once;
use vltava_wire::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};

use crate::api::context::Call;
use crate::server::Broker;

/// Describes each transactional id.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeTransactionsRequest>) -> Reply {
    let ids = once(&call.request.transactional_ids, |id| id.as_str());
    call.reply(&DescribeTransactionsResponse {
        transaction_states: ids.map(|id| broker.transactions.describe(id)).collect(),
        ..Default::default()
    })
}

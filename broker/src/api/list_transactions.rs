//! ListTransactions (66): the transactions that this broker coordinates (KIP-664).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::ErrorCode;
use vltava_wire::messages::{ListTransactionsRequest, ListTransactionsResponse};

use crate::api::context::Call;
use crate::metadata::regex;
use crate::server::Broker;
use crate::txn::calls::ListFilter;

/// Lists what the filters let through.
pub async fn handle(broker: &Arc<Broker>, call: Call<ListTransactionsRequest>) -> Reply {
    let request = &call.request;
    let pattern = request.transactional_id_pattern.as_deref().filter(|text| !text.is_empty());
    let pattern = match pattern.map(regex::whole).transpose() {
        Ok(pattern) => pattern,
        Err(why) => {
            tracing::debug!(%why, "a pattern of transactional ids cannot be used");
            let error_code = ErrorCode::INVALID_REGULAR_EXPRESSION;
            return call.reply(&ListTransactionsResponse { error_code, ..Default::default() });
        }
    };
    call.reply(&broker.transactions.list(&ListFilter {
        states: request.state_filters.clone(),
        producer_ids: request.producer_id_filters.clone(),
        duration_ms: request.duration_filter,
        pattern,
    }))
}

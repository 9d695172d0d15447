//! ListTransactions (key 66): the transactions that a broker coordinates.
//!
//! Source: KIP-664, KIP-994 (duration), KIP-1152 (pattern of ids).

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Asks for the transactions that a broker coordinates.
    ListTransactionsRequest "0-2", flexible "0+" {
        state_filters: Vec<Str>, "0+";
        producer_id_filters: Vec<i64>, "0+";
        duration_filter: i64, "1+", default -1;
        transactional_id_pattern: Option<Str>, "2+", nullable "2+";
    }
}

message! {
    /// Answers a [`ListTransactionsRequest`].
    ListTransactionsResponse "0-2", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        unknown_state_filters: Vec<Str>, "0+";
        transaction_states: Vec<TransactionState>, "0+";
    }

    /// Part of [`ListTransactionsResponse`].
    TransactionState {
        transactional_id: Str, "0+";
        producer_id: i64, "0+";
        transaction_state: Str, "0+";
    }
}

request!(ListTransactionsRequest, ListTransactions, ListTransactionsResponse);

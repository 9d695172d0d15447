//! DescribeTransactions and ListTransactions: what tools are shown.

use vltava_wire::messages::describe_transactions::{TopicData, TransactionState};
use vltava_wire::messages::list_transactions::TransactionState as Listed;
use vltava_wire::{ErrorCode, Str};

use super::calls::ListFilter;
use super::machine::Shard;
use super::state::{State, Stored, by_topic};

impl Shard {
    /// How the transaction of an id stands.
    pub fn describe(&self, id: &Str) -> TransactionState {
        let transactional_id = id.clone();
        let Some(stored) = self.stored(id).filter(|stored| stored.producer_epoch >= 0) else {
            let error_code = ErrorCode::TRANSACTIONAL_ID_NOT_FOUND;
            return TransactionState { error_code, transactional_id, ..Default::default() };
        };
        let topics = by_topic(&stored.partitions).into_iter();
        TransactionState {
            error_code: ErrorCode::NONE,
            transactional_id,
            transaction_state: Str::from_static(stored.state.name()),
            transaction_timeout_ms: stored.timeout_ms,
            transaction_start_time_ms: stored.start_ms,
            producer_id: stored.producer_id,
            producer_epoch: stored.producer_epoch,
            topics: topics.map(|(topic, partitions)| TopicData { topic, partitions }).collect(),
        }
    }

    /// The ids that a filter lets through; `wall` is the time in ms since 1970.
    pub fn list(&self, filter: &ListFilter, wall: i64) -> Vec<Listed> {
        let states: Vec<State> = known_states(&filter.states).0;
        let passes = |id: &Str, stored: &Stored| {
            (filter.states.is_empty() || states.contains(&stored.state))
                && (filter.producer_ids.is_empty()
                    || filter.producer_ids.contains(&stored.producer_id))
                && (filter.duration_ms < 0
                    || wall.saturating_sub(stored.start_ms) > filter.duration_ms)
                && filter.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
        };
        let all = self.transactions.iter().map(|(id, transaction)| (id, &transaction.stored));
        let listed = all.filter(|(id, stored)| stored.producer_epoch >= 0 && passes(id, stored));
        let listed = listed.map(|(id, stored)| Listed {
            transactional_id: id.clone(),
            producer_id: stored.producer_id,
            transaction_state: Str::from_static(stored.state.name()),
        });
        listed.collect()
    }
}

/// The states of these names, and the names that no state has.
pub fn known_states(names: &[Str]) -> (Vec<State>, Vec<Str>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for name in names {
        match State::ALL.iter().find(|state| state.name() == name.as_str()) {
            Some(state) => known.push(*state),
            None => unknown.push(name.clone()),
        }
    }
    (known, unknown)
}

//! AddPartitionsToTxn and AddOffsetsToTxn: what a transaction writes to, told or asked.

use vltava_wire::ErrorCode;

use super::calls::{PartitionsCall, TopicPartition};
use super::machine::{Reply, Shard};
use super::state::{State, Stored};
use crate::shard::Token;

fn check_producer(stored: &Stored, call: &PartitionsCall) -> Result<(), ErrorCode> {
    if stored.producer_id != call.producer_id {
        return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    }
    if stored.producer_epoch != call.producer_epoch {
        return Err(ErrorCode::PRODUCER_FENCED);
    }
    Ok(())
}

impl Shard {
    pub(super) fn add(&mut self, token: Token, call: &PartitionsCall) {
        match self.next_with(call) {
            Err(code) => self.reply(token, Reply::Add(code)),
            Ok(None) => self.reply(token, Reply::Add(ErrorCode::NONE)),
            Ok(Some(next)) => {
                self.store(&call.id, next, Some((token, Reply::Add(ErrorCode::NONE))));
            }
        }
    }

    fn next_with(&self, call: &PartitionsCall) -> Result<Option<Stored>, ErrorCode> {
        let transaction =
            self.transactions.get(&call.id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let stored = &transaction.stored;
        // Before anything else: the producer may have been told already under which id and epoch
        // it goes on.
        if transaction.pending.is_some() || stored.state.is_prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        check_producer(stored, call)?;
        if stored.state == State::Ongoing && call.partitions.is_subset(&stored.partitions) {
            return Ok(None);
        }
        Ok(Some(stored.with(&call.partitions, call.client_version, self.now)))
    }

    /// Whether each partition is part of the transaction that a producer is in.
    ///
    /// # Errors
    /// The code for all of them, if the producer is not in one.
    pub fn verify(
        &self,
        call: &PartitionsCall,
    ) -> Result<Vec<(TopicPartition, ErrorCode)>, ErrorCode> {
        let transaction =
            self.transactions.get(&call.id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let stored = &transaction.stored;
        // The producer may have been told already under which id and epoch it goes on.
        let is_next = (call.producer_id, call.producer_epoch) == stored.identity_after();
        if !(is_next && stored.state.is_prepared()) {
            check_producer(stored, call)?;
        }
        if stored.state.is_prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let outcome = |partition: &TopicPartition| match stored.partitions.contains(partition) {
            true => ErrorCode::NONE,
            false => ErrorCode::TRANSACTION_ABORTABLE,
        };
        Ok(call.partitions.iter().map(|at| (at.clone(), outcome(at))).collect())
    }
}

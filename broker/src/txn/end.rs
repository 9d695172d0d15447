//! EndTxn: a transaction is committed or aborted.
//!
//! Where each transaction has an epoch of its own (`transaction.version` 2), a request in the
//! epoch before the present one is a retry, and one in the present epoch is about the transaction
//! that the producer is in now, begun or not (KIP-890):
//!
//! | state          | abort, retry | abort, present | commit, retry | commit, present |
//! |----------------|--------------|----------------|---------------|-----------------|
//! | Empty          | fenced       | aborts         | fenced        | invalid         |
//! | Ongoing        | fenced       | aborts         | fenced        | commits         |
//! | PrepareAbort   | concurrent   | concurrent     | concurrent    | concurrent      |
//! | PrepareCommit  | concurrent   | concurrent     | concurrent    | concurrent      |
//! | CompleteAbort  | done         | aborts         | invalid       | invalid         |
//! | CompleteCommit | invalid      | aborts         | done          | invalid         |
//!
//! (PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE; "done" is NONE again.) While a
//! transaction ends, its producer may have learned of the decision and be in the next one, under
//! another id, too: what it asks is judged once the markers are written. A producer that was
//! fenced is two epochs behind, and what it sends no retry.

use vltava_wire::ErrorCode;

use super::calls::{EPOCH_PER_TRANSACTION, EndCall};
use super::machine::{Event, Reply, Shard};
use super::state::{NO_EPOCH, NONE, State, Stored, is_exhausted};
use crate::shard::Token;

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing: it has been done.
    Done,
    /// The transaction ends so.
    Decide(State),
}

const fn outcome(commits: bool) -> State {
    if commits { State::PrepareCommit } else { State::PrepareAbort }
}

/// Before each transaction had its own epoch: the state alone says what a retry is.
fn judge_by_state(stored: &Stored, call: &EndCall) -> Result<Verdict, ErrorCode> {
    if call.producer_epoch != stored.producer_epoch {
        return Err(ErrorCode::PRODUCER_FENCED);
    }
    match (stored.state, call.commits) {
        (State::Ongoing, commits) => Ok(Verdict::Decide(outcome(commits))),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(Verdict::Done),
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
            Err(ErrorCode::CONCURRENT_TRANSACTIONS)
        }
        _ => Err(ErrorCode::INVALID_TXN_STATE),
    }
}

/// Whether a request is the retry of one that used up the epochs of a producer id, and whose
/// producer is to go on under another one.
fn is_retry_over_rotation(stored: &Stored, call: &EndCall) -> bool {
    stored.previous_producer_id == call.producer_id
        && call.producer_epoch == i16::MAX - 1
        && stored.producer_epoch == 0
}

/// For a transaction that is not ending.
fn judge_by_epoch(stored: &Stored, call: &EndCall) -> Result<Verdict, ErrorCode> {
    let is_present = call.producer_epoch == stored.producer_epoch;
    // No producer is ever told the largest epoch: where it is stored, one was fenced in its last.
    let is_retry = is_retry_over_rotation(stored, call)
        || (!is_exhausted(call.producer_epoch) && call.producer_epoch + 1 == stored.producer_epoch);
    let is_known = match stored.state {
        State::CompleteCommit | State::CompleteAbort => is_retry || is_present,
        _ => is_present,
    };
    if !is_known {
        return Err(ErrorCode::PRODUCER_FENCED);
    }
    match (stored.state, call.commits, is_retry) {
        (State::Ongoing, commits, _) => Ok(Verdict::Decide(outcome(commits))),
        (State::CompleteCommit, true, true) | (State::CompleteAbort, false, true) => {
            Ok(Verdict::Done)
        }
        // A producer may abort without knowing whether it has begun anything.
        (State::Empty | State::CompleteCommit | State::CompleteAbort, false, false) => {
            Ok(Verdict::Decide(State::PrepareAbort))
        }
        _ => Err(ErrorCode::INVALID_TXN_STATE),
    }
}

impl Shard {
    pub(super) fn end(&mut self, token: Token, call: EndCall) {
        if let Err(code) = self.try_end(token, &call) {
            if code == ErrorCode::INVALID_TXN_STATE {
                let state = self.stored(&call.id).map_or("none", |stored| stored.state.name());
                tracing::warn!(
                    id = %call.id, state, commits = call.commits,
                    "a producer ends a transaction that is not in the state for it"
                );
            }
            self.reply(token, Reply::End(Err(code)));
        }
    }

    fn try_end(&mut self, token: Token, call: &EndCall) -> Result<(), ErrorCode> {
        let has_own_epoch = call.client_version >= EPOCH_PER_TRANSACTION;
        let transaction =
            self.transactions.get(&call.id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let stored = &transaction.stored;
        // The producer may have moved on to the id or epoch that is being stored, or that it was
        // told when this was decided.
        if has_own_epoch && (transaction.pending.is_some() || stored.state.is_prepared()) {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let is_known = stored.producer_id == call.producer_id
            || (has_own_epoch && is_retry_over_rotation(stored, call));
        if !is_known {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        let verdict = match has_own_epoch {
            true => judge_by_epoch(stored, call),
            false => judge_by_state(stored, call),
        };
        if transaction.pending.is_some() && verdict != Err(ErrorCode::PRODUCER_FENCED) {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let state = match verdict? {
            Verdict::Done => {
                let identity = (stored.producer_id, stored.producer_epoch);
                self.reply(token, Reply::End(Ok(identity)));
                return Ok(());
            }
            Verdict::Decide(state) => state,
        };
        let (stored, again) = (stored.clone(), || Event::End(token, call.clone()));
        let next_id = match has_own_epoch {
            true => self.id_after(stored.producer_epoch, again),
            false => Some(NONE),
        };
        let Some(next_id) = next_id else { return Ok(()) };
        let next = stored.decided(state, call.client_version, next_id, self.now);
        let identity = match has_own_epoch {
            true => next.identity_after(),
            false => (NONE, NO_EPOCH),
        };
        self.store(&call.id, next, Some((token, Reply::End(Ok(identity)))));
        Ok(())
    }
}

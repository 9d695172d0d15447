//! InitProducerId: a producer takes a transactional id over, fences who had it, and ends what was
//! left open.

use vltava_wire::ErrorCode;

use super::calls::InitCall;
use super::config::TRANSACTIONS_MAX;
use super::machine::{Event, Reply, Shard};
use super::state::{NO_EPOCH, State, Stored, Transaction, is_exhausted};
use crate::shard::Token;

impl Shard {
    pub(super) fn init(&mut self, token: Token, call: InitCall) {
        if let Err(code) = self.try_init(token, &call) {
            self.reply(token, Reply::Init(Err(code)));
        }
    }

    fn try_init(&mut self, token: Token, call: &InitCall) -> Result<(), ErrorCode> {
        if call.timeout_ms <= 0 || call.timeout_ms > self.config.max_timeout_ms {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        let again = || Event::Init(token, call.clone());
        let Some(transaction) = self.transactions.get(&call.id) else {
            if self.transactions.len() >= TRANSACTIONS_MAX {
                return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
            }
            let Some(id) = self.new_id(again) else { return Ok(()) };
            let new = Stored::new(id, call.timeout_ms, self.now);
            let key = call.id.detach();
            self.transactions.insert(key, Transaction::new(new.clone()));
            self.take_over(token, call, &new, (id, 0), NO_EPOCH);
            return Ok(());
        };
        if transaction.pending.is_some() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let stored = transaction.stored.clone();
        // The producer may have been told already under which id it goes on.
        if stored.state.is_prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        check_identity(&stored, call.expected)?;
        if stored.state == State::Ongoing {
            // The producer comes back until that is done; the epoch is bumped once more then.
            let code = Err(ErrorCode::CONCURRENT_TRANSACTIONS);
            self.fence(&call.id, Some((token, Reply::Init(code))));
            return Ok(());
        }
        self.bump(token, call, &stored)
    }

    fn bump(&mut self, token: Token, call: &InitCall, stored: &Stored) -> Result<(), ErrorCode> {
        let epoch = stored.producer_epoch;
        let last = match call.expected {
            None => NO_EPOCH,
            Some((_, expected)) if expected == epoch => epoch,
            // It has been bumped already, and the answer was lost.
            Some((_, expected)) if expected == stored.last_producer_epoch => {
                let identity = (stored.producer_id, epoch);
                self.take_over(token, call, stored, identity, stored.last_producer_epoch);
                return Ok(());
            }
            Some(_) => return Err(ErrorCode::PRODUCER_FENCED),
        };
        let identity = match is_exhausted(epoch) {
            false => (stored.producer_id, epoch + 1),
            true => match self.new_id(|| Event::Init(token, call.clone())) {
                Some(id) => (id, 0),
                None => return Ok(()),
            },
        };
        self.take_over(token, call, stored, identity, last);
        Ok(())
    }

    fn take_over(
        &mut self,
        token: Token,
        call: &InitCall,
        stored: &Stored,
        identity: (i64, i16),
        last_epoch: i16,
    ) {
        let next = stored.taken_over(identity, last_epoch, call.timeout_ms, self.now);
        self.store(&call.id, next, Some((token, Reply::Init(Ok(identity)))));
    }
}

/// A producer that says who it is must be the one that has the id; or the one that had it when
/// its epochs were used up, as its answer may have been lost (KIP-360).
fn check_identity(stored: &Stored, expected: Option<(i64, i16)>) -> Result<(), ErrorCode> {
    let is_fine = expected.is_none_or(|(id, epoch)| {
        id == stored.producer_id || (id == stored.previous_producer_id && is_exhausted(epoch))
    });
    is_fine.then_some(()).ok_or(ErrorCode::PRODUCER_FENCED)
}

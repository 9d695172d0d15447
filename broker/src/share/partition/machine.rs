//! A share-partition as a pure machine: which records of a partition a share group may be given,
//! which it holds, and what became of the others (KIP-932).
//!
//! It knows records from its start to the last one that was ever given out, as spans of one state.
//! What members acknowledge is *moving* until it is stored: nobody is given such records, and no
//! one is told of success. Writes go one after the other; each takes along all that has changed
//! since the one before, so that under load many acknowledgements share one. Whatever is final at
//! the front moves the start.

use vltava_wire::{ErrorCode, Str};

use super::messages::Given;
pub use super::messages::{
    AckBatch, Acknowledge, Acquired, Appetite, Limits, LogBatch, Refused, StateBatch, Stored, Write,
};
use super::span::{RecordState, Span, Spans};

/// How many times delivered a record must be before less is delivered along with it: half of what
/// is allowed, and this at least.
const THROTTLE_MIN: i16 = 2;

const fn invalid_state(message: &'static str) -> Refused {
    Refused { code: ErrorCode::INVALID_RECORD_STATE, message }
}

/// One share-partition.
#[derive(Clone, Debug)]
pub struct SharePartition {
    limits: Limits,
    state_epoch: i32,
    /// The first offset that is not done with.
    start: i64,
    /// The first offset that was never given out.
    next: i64,
    spans: Spans,
    /// The number of the write that takes along what changes from now on.
    number: u64,
    /// The write under way.
    writing: Option<u64>,
    /// The start, as it was last stored.
    stored_start: i64,
}

impl SharePartition {
    /// The share-partition as it was stored. What is not known of records below the last known one
    /// is that they were never given out, or that it was not stored: they may be.
    pub fn load(stored: &Stored, limits: Limits) -> Self {
        let mut spans = Spans::default();
        let mut next = stored.start;
        let mut batches = stored.batches.clone();
        batches.sort_by_key(|batch| batch.first);
        for batch in batches {
            let first = batch.first.max(next);
            if batch.last < first {
                continue;
            }
            if first > next {
                spans.0.insert(next, Span::plain(first - 1, RecordState::Available, 0));
            }
            let tired =
                batch.state == RecordState::Available && batch.count >= limits.deliveries_max;
            let state = if tired { RecordState::Archived } else { batch.state };
            spans.0.insert(first, Span::plain(batch.last, state, batch.count));
            next = batch.last + 1;
        }
        let mut partition = Self {
            limits,
            state_epoch: stored.state_epoch,
            start: stored.start,
            next,
            spans,
            number: 1,
            writing: None,
            stored_start: stored.start,
        };
        partition.move_start();
        partition
    }

    /// The bounds are others by now.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The first offset that is not done with.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The first offset that was never given out.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The first offset that may be given out; `None` while the group has as many records in
    /// flight as it may.
    pub fn next_fetch_offset(&self) -> Option<i64> {
        let free = self.spans.0.iter().find(|(_, span)| span.is_free());
        match free {
            Some((first, _)) => Some(*first),
            None => (self.next - self.start < self.limits.in_flight_max).then_some(self.next),
        }
    }

    /// When the next lock runs out.
    pub fn next_deadline(&self) -> Option<u64> {
        let held = self.spans.0.values().filter(|span| span.is_held());
        held.map(|span| span.lock_until).min()
    }

    /// Gives a member what it may have of these batches, which were read from `from` on: what lies
    /// between them and before them does not exist.
    pub fn acquire(
        &mut self,
        member: &Str,
        from: i64,
        batches: &[LogBatch],
        appetite: Appetite,
        lock_until: u64,
    ) -> Vec<Acquired> {
        let mut given = Given::new(appetite);
        let mut at = from;
        for batch in batches {
            let first = batch.first.max(self.start);
            if batch.last < first || (batch.last < from) {
                continue;
            }
            if given.is_full() {
                break;
            }
            self.pass_over(at, first - 1);
            at = batch.last + 1;
            if batch.void {
                self.pass_over(first, batch.last);
                continue;
            }
            given.begin_batch();
            if self.acquire_within(member, first, batch.last, lock_until, &mut given) {
                break;
            }
        }
        self.move_start();
        given.runs
    }

    /// Gives what is free of one batch; says whether that is all there will be.
    fn acquire_within(
        &mut self,
        member: &Str,
        first: i64,
        last: i64,
        lock_until: u64,
        given: &mut Given,
    ) -> bool {
        let known: Vec<(i64, i64, i16)> = self
            .spans
            .parts(first, last)
            .filter(|(_, _, span)| span.is_free())
            .map(|(from, to, span)| (from, to, span.count))
            .collect();
        for (from, to, count) in known {
            let room = given.room();
            if room == 0 {
                return true;
            }
            let careful = self.careful_size(to - from + 1, count);
            let to = to.min(from.saturating_add(room.min(careful.unwrap_or(i64::MAX)) - 1));
            self.lock(member, from, to, lock_until);
            given.add(from, to, count + 1);
            if careful.is_some() {
                return true;
            }
        }
        let from = first.max(self.next);
        if from > last {
            return false;
        }
        let in_flight = self.limits.in_flight_max - (self.next - self.start);
        if in_flight <= 0 || given.room() == 0 {
            return true;
        }
        let room = if given.appetite.strict { given.room().min(in_flight) } else { given.room() };
        let to = last.min(from.saturating_add(room - 1));
        self.pass_over(self.next, from - 1);
        self.spans.0.insert(from, Span::plain(to, RecordState::Available, 0));
        self.next = to + 1;
        self.lock(member, from, to, lock_until);
        given.add(from, to, 1);
        to < last
    }

    /// How many records of a run are given out together once they have failed often: ever fewer,
    /// and at the last try one, so that the bad one among them takes no others along.
    fn careful_size(&self, size: i64, count: i16) -> Option<i64> {
        let max = self.limits.deliveries_max;
        let from = THROTTLE_MIN.max((max + 1) / 2);
        if count < from {
            return None;
        }
        if count >= max - 1 {
            return Some(1);
        }
        Some((size >> (count - from + 1)).max(1))
    }

    fn lock(&mut self, member: &Str, first: i64, last: i64, lock_until: u64) {
        self.spans.change(first, last, |span| {
            span.state = RecordState::Acquired;
            span.count += 1;
            span.member = member.clone();
            span.lock_until = lock_until;
        });
    }

    /// There is nothing at these offsets, or nothing for a share group.
    fn pass_over(&mut self, first: i64, last: i64) {
        let first = first.max(self.start);
        if last < first {
            return;
        }
        let known: Vec<(i64, i64)> = self
            .spans
            .parts(first, last)
            .filter(|(_, _, span)| span.is_free())
            .map(|(from, to, _)| (from, to))
            .collect();
        for (from, to) in known {
            self.spans.change(from, to, |span| {
                span.state = RecordState::Archived;
                span.dirty = true;
            });
        }
        if last >= self.next {
            let from = self.next;
            let mut span = Span::plain(last, RecordState::Archived, 0);
            span.dirty = true;
            self.spans.0.insert(from, span);
            self.next = last + 1;
        }
    }

    /// The log was read from `from` to `end`, and there is nothing there.
    pub fn nothing_between(&mut self, from: i64, end: i64) {
        self.pass_over(from, end - 1);
        self.move_start();
    }

    /// A member says what became of records: all of it is taken, or nothing. Returns the number of
    /// the write that stores it; `None` if there is nothing to store.
    ///
    /// # Errors
    /// Records that the member does not hold, or that were never given out.
    pub fn acknowledge(
        &mut self,
        member: &str,
        batches: &[AckBatch],
        renewed_until: u64,
    ) -> Result<Option<u64>, Refused> {
        batches.iter().try_for_each(|batch| self.check(member, batch))?;
        let (number, max) = (self.number, self.limits.deliveries_max);
        let mut stores = false;
        for (first, last, kind) in batches.iter().flat_map(AckBatch::runs) {
            let first = first.max(self.start);
            if last < first {
                continue;
            }
            stores |= kind != Acknowledge::Renew;
            self.spans.change(first, last, |span| {
                let to = match kind {
                    Acknowledge::Accept => RecordState::Acknowledged,
                    Acknowledge::Release if span.count < max => RecordState::Available,
                    Acknowledge::Gap | Acknowledge::Reject | Acknowledge::Release => {
                        RecordState::Archived
                    }
                    Acknowledge::Renew => {
                        span.lock_until = renewed_until;
                        return;
                    }
                };
                span.moving = Some((number, to));
            });
        }
        Ok(stores.then_some(number))
    }

    fn check(&self, member: &str, batch: &AckBatch) -> Result<(), Refused> {
        if batch.last < self.start {
            return Ok(());
        }
        let past = |message| Err(Refused { code: ErrorCode::INVALID_REQUEST, message });
        if self.spans.0.is_empty() {
            return Err(invalid_state(
                "Batch record not found. The request batch offsets are not found in the cache.",
            ));
        }
        if batch.first >= self.next {
            return past(
                "Batch record not found. The first offset in request is past acquired \
                 records.",
            );
        }
        if batch.last >= self.next {
            return past(
                "Batch record not found. The last offset in request is past acquired \
                 records.",
            );
        }
        for (_, _, span) in self.spans.parts(batch.first.max(self.start), batch.last) {
            if span.state != RecordState::Acquired {
                return Err(invalid_state(
                    "The batch cannot be acknowledged. The batch is not in the acquired state.",
                ));
            }
            if span.moving.is_some() {
                return Err(invalid_state(
                    "The record state is invalid. The acknowledgement of delivery could not be \
                     completed.",
                ));
            }
            if *span.member != *member {
                return Err(invalid_state("Member is not the owner of batch record"));
            }
        }
        Ok(())
    }

    /// A member is gone: what it holds may go to others. Says whether it held anything.
    pub fn release(&mut self, member: &str) -> bool {
        self.give_back(|span| *span.member == *member)
    }

    /// Time has passed: what was locked until now may go to others. Says whether there was any.
    pub fn expire(&mut self, now: u64) -> bool {
        self.give_back(|span| span.lock_until <= now)
    }

    fn give_back(&mut self, which: impl Fn(&Span) -> bool) -> bool {
        let held: Vec<(i64, i64)> = self
            .spans
            .0
            .iter()
            .filter(|(_, span)| span.is_held() && which(span))
            .map(|(first, span)| (*first, span.last))
            .collect();
        let max = self.limits.deliveries_max;
        for (first, last) in &held {
            self.spans.change(*first, *last, |span| {
                settle(
                    span,
                    if span.count < max { RecordState::Available } else { RecordState::Archived },
                );
                span.dirty = true;
            });
        }
        self.move_start();
        !held.is_empty()
    }

    /// The log starts later by now: what lies before is done with.
    pub fn log_starts_at(&mut self, offset: i64) {
        if offset <= self.start {
            return;
        }
        self.spans.drop_below(offset);
        self.start = offset;
        self.next = self.next.max(offset);
        self.move_start();
    }

    /// What is to be stored now; `None` if there is nothing, or a write is under way.
    pub fn begin_write(&mut self) -> Option<Write> {
        if self.writing.is_some() {
            return None;
        }
        let number = self.number;
        let outcome = |span: &Span| match span.moving {
            Some((_, to)) => (to, true),
            // That somebody holds records is not stored.
            None => (span.state, span.dirty && span.state != RecordState::Acquired),
        };
        let is_done = |span: &Span| outcome(span).0.is_final();
        let undone = self.spans.0.iter().find(|(_, span)| !is_done(span));
        let start = undone.map_or(self.next, |(first, _)| *first);
        let mut batches: Vec<StateBatch> = Vec::new();
        let mut complete = 0;
        let mut changed = start != self.stored_start;
        for (first, span) in self.spans.0.range(start..) {
            let (state, news) = outcome(span);
            if state.is_final() {
                complete += span.last - first + 1;
            }
            if !news {
                continue;
            }
            changed = true;
            let batch = StateBatch { first: *first, last: span.last, state, count: span.count };
            match batches.last_mut() {
                Some(before)
                    if before.last + 1 == batch.first
                        && (before.state, before.count) == (batch.state, batch.count) =>
                {
                    before.last = batch.last;
                }
                _ => batches.push(batch),
            }
        }
        changed |= self.spans.0.values().any(|span| span.moving.is_some());
        if !changed {
            return None;
        }
        self.spans.0.values_mut().for_each(|span| span.dirty = false);
        self.writing = Some(number);
        self.number += 1;
        let complete = i32::try_from(complete).unwrap_or(i32::MAX);
        self.stored_start = start;
        Some(Write { number, state_epoch: self.state_epoch, start, complete, batches })
    }

    /// The number of the write under way.
    pub fn writing(&self) -> Option<u64> {
        self.writing
    }

    /// Whether a write is under way, or there is something to store.
    pub fn is_busy(&self) -> bool {
        let changed = |span: &Span| {
            span.moving.is_some() || (span.dirty && span.state != RecordState::Acquired)
        };
        self.writing.is_some() || self.spans.0.values().any(changed)
    }

    /// A write is stored, or is not: then what was to become of its records has not happened, and
    /// their members hold them as before.
    pub fn end_write(&mut self, number: u64, stored: bool) {
        if self.writing != Some(number) {
            return;
        }
        self.writing = None;
        if !stored {
            // Whatever else it would have said goes with the next one.
            self.stored_start = -1;
        }
        let moving: Vec<(i64, i64)> = self
            .spans
            .0
            .iter()
            .filter(|(_, span)| span.moving.is_some_and(|(of, _)| of <= number))
            .map(|(first, span)| (*first, span.last))
            .collect();
        for (first, last) in moving {
            self.spans.change(first, last, |span| match span.moving.take() {
                Some((_, to)) if stored => settle(span, to),
                _ => {}
            });
        }
        if !stored {
            let lost = |span: &Span| span.moving.is_none() && span.state != RecordState::Acquired;
            self.spans.0.values_mut().filter(|span| lost(span)).for_each(|span| {
                span.dirty = true;
            });
        }
        self.move_start();
    }

    fn move_start(&mut self) {
        while let Some(first) = self.spans.0.first_entry() {
            let span = first.get();
            if !span.state.is_final() || span.moving.is_some() {
                break;
            }
            self.start = span.last + 1;
            first.remove();
        }
        if self.spans.0.is_empty() {
            self.start = self.next;
        }
    }
}

/// Records become something that nobody holds.
fn settle(span: &mut Span, state: RecordState) {
    span.state = state;
    span.member = Str::default();
    span.lock_until = 0;
}

#[cfg(test)]
#[path = "tests/machine.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/storm.rs"]
mod storm;

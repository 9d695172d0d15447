//! State batches of a share-partition, the stored and the new ones together.

use std::collections::BTreeMap;

use vltava_wire::records::share_state::StateBatch;

/// Which of two claims about a record holds: the one that it was given out more often by, and of
/// two alike the one nearer to its end. So a write that is late changes nothing.
fn outranks(one: &StateBatch, other: &StateBatch) -> bool {
    (one.delivery_count, one.delivery_state) >= (other.delivery_count, other.delivery_state)
}

/// Puts new batches over the stored ones, and leaves out what lies before `start` (nothing, if
/// that is negative).
pub fn combine(stored: &[StateBatch], new: &[StateBatch], start: i64) -> Vec<StateBatch> {
    let mut spans: BTreeMap<i64, StateBatch> = BTreeMap::new();
    for batch in stored.iter().chain(new) {
        put(&mut spans, batch, start);
    }
    let mut combined: Vec<StateBatch> = Vec::with_capacity(spans.len());
    for batch in spans.into_values() {
        match combined.last_mut() {
            Some(before)
                if before.last_offset + 1 == batch.first_offset
                    && before.delivery_state == batch.delivery_state
                    && before.delivery_count == batch.delivery_count =>
            {
                before.last_offset = batch.last_offset;
            }
            _ => combined.push(batch),
        }
    }
    combined
}

/// Splits the stored spans around a batch, and puts it where it outranks them.
fn put(spans: &mut BTreeMap<i64, StateBatch>, batch: &StateBatch, start: i64) {
    let (first, last) = (batch.first_offset.max(start), batch.last_offset);
    if last < first {
        return;
    }
    for at in [first, last + 1] {
        let Some((_, span)) = spans.range_mut(..at).next_back() else { continue };
        if span.last_offset >= at {
            let rest = StateBatch { first_offset: at, ..span.clone() };
            span.last_offset = at - 1;
            spans.insert(at, rest);
        }
    }
    let within: Vec<StateBatch> = spans.range(first..=last).map(|(_, span)| span.clone()).collect();
    let mut at = first;
    let part =
        |first_offset, last_offset| StateBatch { first_offset, last_offset, ..batch.clone() };
    for span in within {
        if span.first_offset > at {
            spans.insert(at, part(at, span.first_offset - 1));
        }
        if outranks(batch, &span) {
            spans.insert(span.first_offset, part(span.first_offset, span.last_offset));
        }
        at = span.last_offset + 1;
    }
    if at <= last {
        spans.insert(at, part(at, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i64, last: i64, state: i8, count: i16) -> StateBatch {
        StateBatch {
            first_offset: first,
            last_offset: last,
            delivery_state: state,
            delivery_count: count,
        }
    }

    #[test]
    fn new_batches_go_over_stored_ones_and_alike_ones_become_one() {
        let stored = [batch(0, 9, 0, 1), batch(15, 19, 2, 1)];
        assert_eq!(
            combine(&stored, &[batch(5, 16, 2, 1)], -1),
            [batch(0, 4, 0, 1), batch(5, 19, 2, 1)]
        );
        assert_eq!(
            combine(&stored, &[batch(3, 4, 0, 2)], -1),
            [batch(0, 2, 0, 1), batch(3, 4, 0, 2), batch(5, 9, 0, 1), batch(15, 19, 2, 1)]
        );
    }

    #[test]
    fn what_was_given_out_less_often_or_is_less_final_changes_nothing() {
        let stored = [batch(0, 9, 2, 2)];
        assert_eq!(combine(&stored, &[batch(2, 3, 4, 1)], -1), stored);
        assert_eq!(combine(&stored, &[batch(2, 3, 0, 2)], -1), stored);
        let freed = combine(&stored, &[batch(2, 3, 0, 3)], -1);
        assert_eq!(freed, [batch(0, 1, 2, 2), batch(2, 3, 0, 3), batch(4, 9, 2, 2)]);
    }

    #[test]
    fn what_lies_before_the_start_is_left_out() {
        let stored = [batch(0, 9, 0, 1), batch(10, 12, 2, 1)];
        assert_eq!(combine(&stored, &[], 5), [batch(5, 9, 0, 1), batch(10, 12, 2, 1)]);
        assert_eq!(combine(&stored, &[batch(3, 20, 2, 9)], 15), [batch(15, 20, 2, 9)]);
        assert_eq!(combine(&[], &[batch(3, 4, 0, 1)], 15), []);
    }
}

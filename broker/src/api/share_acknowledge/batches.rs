//! Batches of acknowledgements as they come in, checked.

use vltava_wire::ErrorCode;

use super::RENEWS_SINCE;
use crate::share::coordinator::machine::Refusal;
use crate::share::partition::machine::{AckBatch, Acknowledge};

/// What a request says of a batch of records.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
    /// One kind for all, or one for each.
    pub kinds: &'a [i8],
}

/// Reads the batches for one partition: in order, none over another, each with kinds that exist.
///
/// # Errors
/// INVALID_REQUEST.
pub fn check(told: &[Told<'_>], renews: bool, version: i16) -> Result<Vec<AckBatch>, Refusal> {
    let invalid = || Refusal::from(ErrorCode::INVALID_REQUEST);
    let mut end = -1;
    let mut batches = Vec::with_capacity(told.len());
    for batch in told {
        let size = batch.last.checked_sub(batch.first).and_then(|it| it.checked_add(1));
        let size = size.filter(|size| *size > 0 && batch.first > end).ok_or_else(invalid)?;
        let many = batch.kinds.len() as i64;
        if many != 1 && many != size {
            return Err(invalid());
        }
        end = batch.last;
        let kind = |code: &i8| match Acknowledge::from_code(*code) {
            Some(Acknowledge::Renew) if !renews || version < RENEWS_SINCE => None,
            kind => kind,
        };
        let kinds: Option<Vec<_>> = batch.kinds.iter().map(kind).collect();
        let kinds = kinds.ok_or_else(invalid)?;
        batches.push(AckBatch { first: batch.first, last: batch.last, kinds });
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ok(told: &[(i64, i64, &[i8])], renews: bool) -> bool {
        let told: Vec<Told<'_>> =
            told.iter().map(|&(first, last, kinds)| Told { first, last, kinds }).collect();
        check(&told, renews, 2).is_ok()
    }

    #[test]
    fn batches_are_in_order_and_have_one_kind_or_one_for_each_record() {
        assert!(is_ok(&[(0, 4, &[1]), (5, 6, &[1, 2])], false));
        for wrong in [
            &[(4, 0, &[1][..])][..],
            &[(0, 4, &[])],
            &[(0, 4, &[1, 1])],
            &[(5, 6, &[1]), (6, 7, &[1])],
            &[(-2, 3, &[1])],
            &[(0, i64::MAX, &[1]), (0, 1, &[1])],
            &[(0, 0, &[5])],
            &[(0, 0, &[-1])],
        ] {
            assert!(!is_ok(wrong, true), "{wrong:?}");
        }
    }

    #[test]
    fn more_time_is_asked_for_by_requests_that_say_so() {
        assert!(is_ok(&[(0, 0, &[4])], true));
        assert!(!is_ok(&[(0, 0, &[4])], false));
        assert!(check(&[Told { first: 0, last: 0, kinds: &[4] }], true, 1).is_err());
    }
}

//! Runs of records that share their fate: what a share-partition remembers of what it gave out.

use std::collections::BTreeMap;

use vltava_wire::Str;

/// Where a record is on its way through a share group; the numbers are those that are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordState {
    /// It may be given to somebody.
    #[default]
    Available,
    /// A member has it, for a time.
    Acquired,
    /// It was processed.
    Acknowledged,
    /// It will not be processed.
    Archived,
}

impl RecordState {
    /// The state of that number; `None` for a number that stands for none.
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Available),
            1 => Some(Self::Acquired),
            2 => Some(Self::Acknowledged),
            4 => Some(Self::Archived),
            _ => None,
        }
    }

    /// Its number.
    pub const fn code(self) -> i8 {
        match self {
            Self::Available => 0,
            Self::Acquired => 1,
            Self::Acknowledged => 2,
            Self::Archived => 4,
        }
    }

    /// Whether nobody will be given the record any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }
}

/// A run of records of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The last offset; the first is the key.
    pub(super) last: i64,
    pub(super) state: RecordState,
    /// How often the records were given out.
    pub(super) count: i16,
    /// Who has them, if they are acquired.
    pub(super) member: Str,
    /// Until when, on the monotonic clock.
    pub(super) lock_until: u64,
    /// What they become once the write of that number is stored.
    pub(super) moving: Option<(u64, RecordState)>,
    /// Whether they are not what is stored of them.
    pub(super) dirty: bool,
}

impl Span {
    pub(super) fn plain(last: i64, state: RecordState, count: i16) -> Self {
        Self {
            last,
            state,
            count,
            member: Str::default(),
            lock_until: 0,
            moving: None,
            dirty: false,
        }
    }

    /// Whether the records may be given out.
    pub(super) fn is_free(&self) -> bool {
        self.state == RecordState::Available && self.moving.is_none()
    }

    /// Whether the records are held, and nothing is being stored about them.
    pub(super) fn is_held(&self) -> bool {
        self.state == RecordState::Acquired && self.moving.is_none()
    }

    fn continues(&self, next: &Self) -> bool {
        let same = Self { last: next.last, ..self.clone() };
        same == *next
    }
}

/// The spans of a share-partition, without a hole between the first and the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(pub(super) BTreeMap<i64, Span>);

impl Spans {
    /// Makes `at` the first offset of a span, if any span holds it.
    fn cut(&mut self, at: i64) {
        let Some((&first, span)) = self.0.range_mut(..at).next_back() else { return };
        if span.last >= at {
            let rest = span.clone();
            span.last = at - 1;
            debug_assert!(first < at);
            self.0.insert(at, rest);
        }
    }

    /// Changes all records from `first` to `last`, and no others; spans are split as need be.
    pub(super) fn change(&mut self, first: i64, last: i64, mut change: impl FnMut(&mut Span)) {
        self.cut(first);
        self.cut(last + 1);
        self.0.range_mut(first..=last).for_each(|(_, span)| change(span));
        self.join(first, last);
    }

    /// Joins what has become alike, in and around a range.
    fn join(&mut self, first: i64, last: i64) {
        let before = self.0.range(..first).next_back().map(|(first, _)| *first);
        let mut at = before.unwrap_or(first);
        while let Some(span) = self.0.get(&at) {
            let next = span.last + 1;
            match self.0.get(&next) {
                Some(follower) if span.continues(follower) => {
                    let last = follower.last;
                    self.0.remove(&next);
                    if let Some(span) = self.0.get_mut(&at) {
                        span.last = last;
                    }
                }
                Some(_) if at <= last => at = next,
                _ => break,
            }
        }
    }

    /// The parts of spans from `first` to `last`, each with the first and last offset of the part.
    pub(super) fn parts(&self, first: i64, last: i64) -> impl Iterator<Item = (i64, i64, &Span)> {
        let before = self.0.range(..first).next_back().filter(|(_, span)| span.last >= first);
        let within = self.0.range(first..=last.max(first)).filter(move |(at, _)| **at <= last);
        before.into_iter().chain(within).map(move |(at, span)| {
            let (from, to) = ((*at).max(first), span.last.min(last));
            (from, to, span)
        })
    }

    /// Forgets all below an offset.
    pub(super) fn drop_below(&mut self, offset: i64) {
        self.cut(offset);
        self.0 = self.0.split_off(&offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans() -> Spans {
        Spans(BTreeMap::from([(10, Span::plain(19, RecordState::Available, 0))]))
    }

    #[test]
    fn a_change_splits_what_it_must_and_joins_what_it_can() {
        let mut spans = spans();
        spans.change(12, 14, |span| span.count = 1);
        let bounds = |spans: &Spans| -> Vec<(i64, i64)> {
            spans.0.iter().map(|(first, span)| (*first, span.last)).collect()
        };
        assert_eq!(bounds(&spans), [(10, 11), (12, 14), (15, 19)]);
        spans.change(15, 16, |span| span.count = 1);
        assert_eq!(bounds(&spans), [(10, 11), (12, 16), (17, 19)]);
        spans.change(10, 19, |span| span.count = 2);
        assert_eq!(bounds(&spans), [(10, 19)]);
    }

    #[test]
    fn parts_are_cut_to_what_is_asked_for() {
        let mut spans = spans();
        spans.change(12, 14, |span| span.count = 1);
        let parts = |first, last| -> Vec<(i64, i64)> {
            spans.parts(first, last).map(|(first, last, _)| (first, last)).collect()
        };
        assert_eq!(parts(11, 13), [(11, 11), (12, 13)]);
        assert_eq!(parts(13, 13), [(13, 13)]);
        assert_eq!(parts(18, 30), [(18, 19)]);
        assert!(parts(20, 30).is_empty());
    }

    #[test]
    fn what_is_below_is_forgotten() {
        let mut spans = spans();
        spans.drop_below(15);
        assert_eq!(spans.0.keys().collect::<Vec<_>>(), [&15]);
        spans.drop_below(25);
        assert!(spans.0.is_empty());
    }
}

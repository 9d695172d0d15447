//! What falls due when.
//!
//! A deadline that moves with every heartbeat is not put into the heap each time: it has one
//! entry there, and when that comes up too early, it is put back at the time that holds by then.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use vltava_wire::Str;

pub use crate::shard::Now;

/// What falls due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A member has not been heard of for its session timeout.
    Member {
        /// Its group.
        group: Str,
        /// Its id.
        member: Str,
    },
    /// A member of a group of the new protocol has not given up what it has to.
    Revocation {
        /// Its group.
        group: Str,
        /// Its id.
        member: Str,
    },
    /// A classic member in such a group has not joined again, as it should.
    Rejoin {
        /// Its group.
        group: Str,
        /// Its id.
        member: Str,
    },
    /// A classic member in such a group has not asked for what it has.
    Collection {
        /// Its group.
        group: Str,
        /// Its id.
        member: Str,
    },
    /// The join phase of a group ends.
    Join(Str),
    /// Members of a group that have not asked for their assignment are given up.
    Sync(Str),
    /// Expired offsets and groups are looked for.
    Cleanup,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    /// Keeps the order of what falls due in the same millisecond.
    number: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, as the heap yields the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl Due {
    /// The member, and its group, that something of a group of the new protocol is about.
    pub(super) fn of_member(&self) -> Option<(&Str, &Str)> {
        match self {
            Self::Member { group, member }
            | Self::Revocation { group, member }
            | Self::Rejoin { group, member }
            | Self::Collection { group, member } => Some((group, member)),
            Self::Join(_) | Self::Sync(_) | Self::Cleanup => None,
        }
    }
}

/// All that is to fall due.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Entry>,
    number: u64,
}

impl Timers {
    /// When to look again at the earliest.
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes the next entry that `mono` has reached, with the time that it was put there for.
    pub(super) fn pop(&mut self, mono: u64) -> Option<(u64, Due)> {
        if self.next()? > mono {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.due))
    }

    fn push(&mut self, at: u64, due: Due) {
        self.number += 1;
        self.heap.push(Entry { at, number: self.number, due });
    }
}

/// One deadline that may be moved or cleared at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadline {
    at: Option<u64>,
    /// The earliest entry in the heap that belongs to this deadline.
    entry: Option<u64>,
}

impl Deadline {
    /// Moves the deadline.
    pub(super) fn set(&mut self, at: u64, timers: &mut Timers, due: impl FnOnce() -> Due) {
        self.at = Some(at);
        if self.entry.is_none_or(|entry| entry > at) {
            self.entry = Some(at);
            timers.push(at, due());
        }
    }

    /// Whether there is a deadline.
    pub(super) fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Takes the deadline away.
    pub(super) fn clear(&mut self) {
        self.at = None;
    }

    /// An entry that was put into the heap for `entry` has come up: whether the deadline has
    /// passed. If it has, it is cleared.
    pub(super) fn reached(
        &mut self,
        entry: u64,
        mono: u64,
        timers: &mut Timers,
        due: impl FnOnce() -> Due,
    ) -> bool {
        if self.entry != Some(entry) {
            return false;
        }
        self.entry = None;
        match self.at {
            Some(at) if at > mono => {
                self.set(at, timers, due);
                false
            }
            Some(_) => {
                self.at = None;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_moved_is_put_back_and_reached_once() {
        let mut timers = Timers::default();
        let mut deadline = Deadline::default();
        let due = || Due::Cleanup;
        deadline.set(10, &mut timers, due);
        for at in 11..=100 {
            deadline.set(at, &mut timers, due);
        }
        assert_eq!(timers.heap.len(), 1, "a heartbeat costs no entry");
        let (entry, _) = timers.pop(10).expect("the first entry");
        assert!(!deadline.reached(entry, 10, &mut timers, due));
        assert_eq!(timers.next(), Some(100));
        let (entry, _) = timers.pop(100).expect("the entry put back");
        assert!(deadline.reached(entry, 100, &mut timers, due));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_that_comes_nearer_is_reached_early_and_only_once() {
        let mut timers = Timers::default();
        let mut deadline = Deadline::default();
        let due = || Due::Cleanup;
        deadline.set(100, &mut timers, due);
        deadline.set(10, &mut timers, due);
        let (entry, _) = timers.pop(10).expect("the nearer entry");
        assert!(deadline.reached(entry, 10, &mut timers, due));
        let (entry, _) = timers.pop(100).expect("the entry left over");
        assert!(!deadline.reached(entry, 100, &mut timers, due));
    }

    #[test]
    fn a_cleared_deadline_is_not_reached() {
        let mut timers = Timers::default();
        let mut deadline = Deadline::default();
        deadline.set(10, &mut timers, || Due::Cleanup);
        deadline.clear();
        let (entry, _) = timers.pop(10).expect("the entry left over");
        assert!(!deadline.reached(entry, 10, &mut timers, || Due::Cleanup));
    }
}

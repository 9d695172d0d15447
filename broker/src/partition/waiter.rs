//! Who waits for a partition to come somewhere, and is woken when it has.
//!
//! A produce waits for the high watermark or for a flush, a fetch for records. Each is woken by the
//! partition itself, once, when the mark that it waits for reaches its offset; nothing polls.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use vltava_wire::Offset;

/// What moves on in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The high watermark: what consumers may read.
    HighWatermark,
    /// The last stable offset: what consumers may read that want only what is committed.
    LastStable,
    /// The log's end: what followers may read.
    LogEnd,
    /// What the log has flushed.
    Flushed,
    /// The least log start of all live replicas (KIP-107).
    LowWatermark,
}

const MARKS: usize = 5;

/// Wakes one task. The same one may be registered with many partitions.
pub type Wake = Arc<Notify>;

#[derive(Debug, Default)]
struct Waiting {
    next_id: u64,
    by_mark: [BTreeMap<(Offset, u64), Wake>; MARKS],
}

/// Those who wait for one partition.
///
/// Bounded by the requests in flight: each registers once per partition, and leaves when it is
/// dropped.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<Waiting>);

impl Waiters {
    /// Has `wake` woken once `mark` reaches `offset` or the partition's role changes. Register
    /// first, then look whether it has come that far already.
    #[must_use = "dropping the registration ends it"]
    pub fn register(self: &Arc<Self>, mark: Mark, offset: Offset, wake: &Wake) -> Registration {
        let mut waiting = self.0.lock();
        let id = waiting.next_id;
        waiting.next_id += 1;
        waiting.by_mark[mark as usize].insert((offset, id), Arc::clone(wake));
        Registration { waiters: Arc::clone(self), mark, key: (offset, id) }
    }

    /// Those who wait for `mark` to reach `offset` or less: to be woken, and gone from here.
    #[must_use = "who is taken out must be woken"]
    pub fn reached(&self, mark: Mark, offset: Offset) -> Vec<Wake> {
        let mut waiting = self.0.lock();
        let by_offset = &mut waiting.by_mark[mark as usize];
        if by_offset.first_key_value().is_none_or(|((first, _), _)| *first > offset) {
            return Vec::new();
        }
        let later = by_offset.split_off(&(offset.next(), 0));
        std::mem::replace(by_offset, later).into_values().collect()
    }

    /// Wakes all: the partition is not what it was when they began to wait.
    pub fn wake_all(&self) {
        for by_offset in &mut self.0.lock().by_mark {
            for wake in std::mem::take(by_offset).into_values() {
                wake.notify_one();
            }
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.lock().by_mark.iter().map(BTreeMap::len).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A place among those who wait; given up when dropped.
#[derive(Debug)]
pub struct Registration {
    waiters: Arc<Waiters>,
    mark: Mark,
    key: (Offset, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.waiters.0.lock().by_mark[self.mark as usize].remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_woken(wake: &Wake) -> bool {
        wake.notified().now_or_never().is_some()
    }

    fn reach(waiters: &Waiters, mark: Mark, offset: Offset) {
        waiters.reached(mark, offset).iter().for_each(|wake| wake.notify_one());
    }

    #[test]
    fn a_waiter_is_woken_when_its_offset_is_reached_and_not_before() {
        let waiters = Arc::new(Waiters::default());
        let (near, far) = (Wake::default(), Wake::default());
        let _near = waiters.register(Mark::HighWatermark, Offset(5), &near);
        let _far = waiters.register(Mark::HighWatermark, Offset(6), &far);
        reach(&waiters, Mark::LogEnd, Offset(9));
        reach(&waiters, Mark::HighWatermark, Offset(4));
        assert!(!is_woken(&near));
        reach(&waiters, Mark::HighWatermark, Offset(5));
        assert!(is_woken(&near) && !is_woken(&far));
        reach(&waiters, Mark::HighWatermark, Offset(60));
        assert!(is_woken(&far));
    }

    #[test]
    fn who_is_woken_before_it_looks_does_not_miss_it() {
        let waiters = Arc::new(Waiters::default());
        let wake = Wake::default();
        let _place = waiters.register(Mark::Flushed, Offset(1), &wake);
        reach(&waiters, Mark::Flushed, Offset(1));
        assert!(is_woken(&wake));
    }

    #[test]
    fn a_change_of_role_wakes_everybody() {
        let waiters = Arc::new(Waiters::default());
        let wakes: Vec<_> = (0..3).map(|_| Wake::default()).collect();
        let marks = [Mark::HighWatermark, Mark::LogEnd, Mark::LowWatermark];
        let _places: Vec<_> = marks
            .iter()
            .zip(&wakes)
            .map(|(&mark, wake)| waiters.register(mark, Offset(1 << 40), wake))
            .collect();
        waiters.wake_all();
        assert!(wakes.iter().all(is_woken));
        assert!(waiters.is_empty());
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let waiters = Arc::new(Waiters::default());
        let place = waiters.register(Mark::LogEnd, Offset(1), &Wake::default());
        assert_eq!(waiters.len(), 1);
        drop(place);
        assert!(waiters.is_empty());
    }
}

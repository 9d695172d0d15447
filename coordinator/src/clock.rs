//! The two clocks of a node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vltava_quorum::Instant;

/// The monotonic clock, which all timeouts use, and the wall clock, which records and reports use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// Now, by the monotonic clock.
    pub(crate) fn now(self) -> Instant {
        Instant::from(self.start.elapsed())
    }

    /// The moment at which a monotonic time comes, for timers.
    pub(crate) fn at(self, instant: Instant) -> std::time::Instant {
        self.start + instant.since_start()
    }

    /// Now, in ms since 1970.
    pub(crate) fn wall_ms() -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// A moment of the past, in ms since 1970.
    pub(crate) fn wall_of(self, past: Instant) -> i64 {
        let ago = self.now() - past;
        Self::wall_ms() - i64::try_from(ago.as_millis()).unwrap_or(0)
    }
}

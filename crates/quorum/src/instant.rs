//! A moment on a node's own monotonic clock.
//!
//! The machine has no clock. Its driver says what time it is with every event.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Microseconds since an arbitrary moment of the driver's choice (its start, say).
///
/// Never compared between nodes. It must never go backwards on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    micros: u64,
}

impl Instant {
    /// The moment that the clock counts from.
    pub const START: Self = Self { micros: 0 };

    /// The moment `micros` µs after the clock's start.
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// The moment `millis` ms after the clock's start.
    pub const fn from_millis(millis: u64) -> Self {
        Self { micros: millis.saturating_mul(1_000) }
    }

    /// Microseconds since the clock's start.
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// How long after the clock's start this moment is.
    pub const fn since_start(self) -> Duration {
        Duration::from_micros(self.micros)
    }
}

impl From<Duration> for Instant {
    fn from(since_start: Duration) -> Self {
        Self { micros: u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX) }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self { micros: self.micros.saturating_add(Self::from(wait).micros) }
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time between two moments; zero if `earlier` is the later one.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} ms", self.micros / 1_000, self.micros % 1_000)
    }
}

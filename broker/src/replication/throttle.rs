//! Throttles of replication (KIP-73): replicas that move leave bandwidth to those that work.
//!
//! A topic says which of its replicas are throttled, a broker how many bytes a second it gives
//! them: one rate for what it serves as leader, one for what it fetches as follower. Only
//! replicas that are not in sync are held back, so that no throttle makes an ISR shrink; bytes of
//! throttled replicas count whether they are in sync or not.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use vltava_config::{Values, keys};
use vltava_wire::NodeId;

/// How long a follower leaves a throttled replica alone before it looks whether its time has come.
pub const HELD_BACK_FOR: Duration = Duration::from_millis(100);

/// Bytes over the last few windows of time (`replication.quota.window.num`,
/// `replication.quota.window.size.seconds`).
#[derive(Clone, Debug)]
pub struct Meter {
    window: Duration,
    windows_max: usize,
    /// When a window began, and the bytes in it; the oldest first.
    windows: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// A meter of so many windows of that length.
    pub fn new(window: Duration, windows_max: usize) -> Self {
        Self { window, windows_max: windows_max.max(1), windows: VecDeque::new() }
    }

    fn forget_old(&mut self, now: Instant) {
        let span = self.window.saturating_mul(u32::try_from(self.windows_max).unwrap_or(u32::MAX));
        while let Some((begun, _)) = self.windows.front()
            && now.saturating_duration_since(*begun) >= span
        {
            self.windows.pop_front();
        }
    }

    /// Counts bytes.
    pub fn record(&mut self, bytes: u64, now: Instant) {
        self.forget_old(now);
        match self.windows.back_mut() {
            Some((begun, sum)) if now.saturating_duration_since(*begun) < self.window => {
                *sum = sum.saturating_add(bytes);
            }
            _ => self.windows.push_back((now, bytes)),
        }
    }

    /// Bytes a second, over the windows that are remembered, one of them at least.
    pub fn rate(&mut self, now: Instant) -> f64 {
        self.forget_old(now);
        let Some((begun, _)) = self.windows.front() else { return 0.0 };
        let span = now.saturating_duration_since(*begun).max(self.window);
        let bytes: u64 = self.windows.iter().map(|(_, bytes)| bytes).sum();
        bytes as f64 / span.as_secs_f64()
    }
}

/// One direction's throttle.
#[derive(Debug)]
pub struct Throttle {
    /// Bytes a second; `i64::MAX` throttles nothing.
    rate: AtomicI64,
    meter: Mutex<Meter>,
}

impl Throttle {
    fn new(meter: Meter) -> Self {
        Self { rate: AtomicI64::new(i64::MAX), meter: Mutex::new(meter) }
    }

    /// Changes the rate, in bytes a second.
    pub fn set_rate(&self, rate: i64) {
        self.rate.store(rate, Ordering::Release);
    }

    /// Counts bytes of a throttled replica.
    pub fn record(&self, bytes: usize, now: Instant) {
        self.meter.lock().record(bytes as u64, now);
    }

    /// Whether more went through than the rate allows.
    pub fn is_exceeded(&self, now: Instant) -> bool {
        let rate = self.rate.load(Ordering::Acquire);
        rate != i64::MAX && self.meter.lock().rate(now) > rate as f64
    }
}

/// A broker's throttles.
#[derive(Debug)]
pub struct Throttles {
    /// Of what it serves (`leader.replication.throttled.rate`).
    pub leader: Throttle,
    /// Of what it fetches (`follower.replication.throttled.rate`).
    pub follower: Throttle,
    /// Of what moves between its own log directories
    /// (`replica.alter.log.dirs.io.max.bytes.per.second`).
    pub moves: Throttle,
}

impl Throttles {
    /// The throttles that a configuration asks for.
    pub fn new(values: &Values) -> Self {
        let meter = |seconds: i32, windows: i32| {
            let window = Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
            Meter::new(window, usize::try_from(windows).unwrap_or(1))
        };
        let replication = meter(
            values.get(keys::REPLICATION_QUOTA_WINDOW_SIZE_SECONDS),
            values.get(keys::REPLICATION_QUOTA_WINDOW_NUM),
        );
        let moves = meter(
            values.get(keys::ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_SIZE_SECONDS),
            values.get(keys::ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_NUM),
        );
        let throttles = Self {
            leader: Throttle::new(replication.clone()),
            follower: Throttle::new(replication),
            moves: Throttle::new(moves),
        };
        throttles.configure(values);
        throttles
    }

    /// Takes the rates over.
    pub fn configure(&self, values: &Values) {
        self.leader.set_rate(values.get(keys::LEADER_REPLICATION_THROTTLED_RATE));
        self.follower.set_rate(values.get(keys::FOLLOWER_REPLICATION_THROTTLED_RATE));
        self.moves.set_rate(values.get(keys::REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND));
    }
}

/// Which ways a replica is throttled, as its topic says.
#[derive(Debug, Default)]
pub struct Throttled {
    leader: AtomicBool,
    follower: AtomicBool,
}

impl Throttled {
    /// Takes over what the topic's configuration says of this broker's replica.
    pub fn set(&self, leader: bool, follower: bool) {
        self.leader.store(leader, Ordering::Release);
        self.follower.store(follower, Ordering::Release);
    }

    /// Whether what is served to followers counts.
    pub fn as_leader(&self) -> bool {
        self.leader.load(Ordering::Acquire)
    }

    /// Whether what is fetched counts.
    pub fn as_follower(&self) -> bool {
        self.follower.load(Ordering::Acquire)
    }
}

/// Whether a topic's list (`leader.replication.throttled.replicas` or `follower.…`) has a broker's
/// replica of a partition.
pub fn is_listed(list: &str, partition: i32, broker: NodeId) -> bool {
    let list = list.trim();
    list == "*"
        || list.split(',').any(|element| {
            let pair = element.trim().split_once(':');
            pair.is_some_and(|(index, node)| {
                index.parse() == Ok(partition) && node.parse() == Ok(broker.get())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_is_taken_over_the_windows_that_are_remembered() {
        let start = Instant::now();
        let mut meter = Meter::new(SECOND, 3);
        assert_eq!(meter.rate(start), 0.0);
        meter.record(300, start);
        assert_eq!(meter.rate(start), 300.0, "a burst counts as a second's");
        meter.record(300, start + SECOND);
        assert_eq!(meter.rate(start + 2 * SECOND), 300.0);
        assert_eq!(meter.rate(start + 3 * SECOND), 150.0, "the first window is forgotten");
        assert_eq!(meter.rate(start + 4 * SECOND), 0.0);
    }

    #[test]
    fn no_rate_throttles_nothing_and_a_rate_only_while_it_is_exceeded() {
        let start = Instant::now();
        let throttles = Throttles::new(&Values::default());
        throttles.leader.record(usize::MAX / 2, start);
        assert!(!throttles.leader.is_exceeded(start), "no rate is set");

        let pairs = [("leader.replication.throttled.rate", "1000")];
        throttles.configure(&Values::from_pairs(pairs).expect("a rate"));
        assert!(throttles.leader.is_exceeded(start));
        assert!(!throttles.follower.is_exceeded(start), "each direction has its own");
        let later = start + 12 * SECOND;
        assert!(!throttles.leader.is_exceeded(later));
        throttles.leader.record(1000, later);
        assert!(!throttles.leader.is_exceeded(later), "the rate itself is allowed");
        throttles.leader.record(1, later);
        assert!(throttles.leader.is_exceeded(later));
    }

    #[test]
    fn a_list_names_partitions_with_their_brokers_or_all() {
        let me = NodeId(2);
        assert!(is_listed("*", 7, me));
        assert!(is_listed("0:1, 7:2", 7, me) && is_listed("7:2", 7, me));
        assert!(!is_listed("7:1,2:7", 7, me) && !is_listed("", 7, me));
    }
}

//! Log lines that an outsider can cause are rationed.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Keys that are remembered. Beyond it, the windows that have passed are forgotten; if none has,
/// the line is not written: more keys than this within one window is a flood.
const KEYS_MAX: usize = 1024;

/// Lines about one address and one kind of trouble, per interval.
const LINES: u32 = 3;
const LINES_INTERVAL: Duration = Duration::from_secs(10);

/// Lets so many lines per key through in each interval, and counts the others.
#[derive(Debug)]
pub struct RateLimit<K> {
    lines: u32,
    interval: Duration,
    windows: Mutex<HashMap<K, Window>>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    passed: u32,
    suppressed: u64,
}

impl<K: Eq + Hash> Default for RateLimit<K> {
    /// As much as a person wants to read of one address and one kind of trouble.
    fn default() -> Self {
        Self::new(LINES, LINES_INTERVAL)
    }
}

impl<K: Eq + Hash> RateLimit<K> {
    /// Lets `lines` lines per key through in each `interval`.
    pub fn new(lines: u32, interval: Duration) -> Self {
        Self { lines, interval, windows: Mutex::default() }
    }

    /// Whether a line about `key` may be written at `now`: if so, how many about the same key
    /// were not since the last one that was.
    pub fn check(&self, key: K, now: Instant) -> Option<u64> {
        let mut windows = self.windows.lock();
        if windows.len() >= KEYS_MAX && !windows.contains_key(&key) {
            let interval = self.interval;
            windows.retain(|_, window| now.saturating_duration_since(window.start) < interval);
            if windows.len() >= KEYS_MAX {
                return None;
            }
        }
        let window = windows.entry(key).or_insert(Window { start: now, passed: 0, suppressed: 0 });
        if now.saturating_duration_since(window.start) >= self.interval {
            (window.start, window.passed) = (now, 0);
        }
        if window.passed < self.lines {
            window.passed += 1;
            return Some(std::mem::take(&mut window.suppressed));
        }
        window.suppressed += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_window_tells_how_many_lines_were_kept_back() {
        let limit = RateLimit::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let passed = (0..5).filter(|_| limit.check("peer", start).is_some()).count();
        assert_eq!(passed, 2);
        assert_eq!(limit.check("other", start), Some(0));
        assert_eq!(limit.check("peer", start + Duration::from_secs(10)), Some(3));
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_the_table() {
        let limit = RateLimit::new(1, Duration::from_secs(10));
        let start = Instant::now();
        let passed = (0..10_000).filter(|key| limit.check(*key, start).is_some()).count();
        assert_eq!(passed, KEYS_MAX);
        assert!(limit.check(10_000, start + Duration::from_secs(10)).is_some());
        assert_eq!(limit.windows.lock().len(), 1);
    }
}

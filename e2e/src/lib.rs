//! What the end-to-end programs share: a real cluster of real processes, a load of numbered records
//! by librdkafka, faults, and the check that nothing acknowledged was lost.
//!
//! The programs take the cluster as a user does: by the `vltava` command and its `--json`.

#![allow(clippy::print_stdout, reason = "these are commands that report to a person")]

pub mod admin;
pub mod ask;
pub mod check;
pub mod clients;
pub mod cluster;
pub mod conformance;
pub mod consumers;
pub mod faults;
mod feed;
pub mod histories;
pub mod java;
pub mod kafka;
pub mod kube;
pub mod power;
pub mod producers;
pub mod spine;
pub mod transactions;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// What went wrong, as a sentence.
pub type Outcome<T = ()> = Result<T, String>;

/// A time in seconds, as a person writes it on a command line.
///
/// # Errors
/// Why it is none.
pub fn seconds(text: &str) -> Outcome<Duration> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Asks until `ask` has an answer; `what` names it if it does not come in time.
///
/// # Errors
/// What `ask` said last, once `limit` has passed.
pub fn until<T>(what: &str, limit: Duration, ask: impl FnMut() -> Result<T, String>) -> Outcome<T> {
    at_last(limit, ask).map_err(|reason| format!("{what} did not come within {limit:?}: {reason}"))
}

/// As [`until`], where what `ask` says is wrong by itself if it does not change in time.
///
/// # Errors
/// What `ask` said last.
pub fn at_last<T>(limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> Outcome<T> {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        match ask() {
            // What takes long to ask is asked less often: it must not slow down what it waits for.
            Err(_) if start.elapsed() <= limit => {
                std::thread::sleep(BETWEEN.max(asked.elapsed() * 3));
            }
            answer => return answer,
        }
    }
}

/// The least time between two questions of [`until`].
const BETWEEN: Duration = Duration::from_millis(50);

/// Whether an error says that something took too long, rather than that it is wrong: an answer of
/// [`until`], of the command that starts nodes, or of a client.
pub fn is_timeout(error: &str) -> bool {
    ["did not come within", "is not ready after", "Timed out", "timed out", "gave up after"]
        .iter()
        .any(|words| error.contains(words))
}

/// Waits for what a client does in threads of its own.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

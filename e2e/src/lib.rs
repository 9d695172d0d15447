//! What the end-to-end programs share: a real cluster of real processes, a load of numbered records
//! by librdkafka, faults, and the check that nothing acknowledged was lost.
//!
//! The programs take the cluster as a user does: by the `vltava` command and its `--json`.

#![allow(clippy::print_stdout, reason = "these are commands that report to a person")]

pub mod admin;
pub mod check;
pub mod cluster;
pub mod consumers;
pub mod faults;
pub mod java;
pub mod kube;
pub mod power;
pub mod producers;
pub mod spine;

use std::time::{Duration, Instant};

/// What went wrong, as a sentence.
pub type Outcome<T = ()> = Result<T, String>;

/// Asks until `ask` has an answer; `what` names it if it does not come in time.
///
/// # Errors
/// What `ask` said last, once `limit` has passed.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> Outcome<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(reason) if start.elapsed() > limit => {
                return Err(format!("{what} did not come within {limit:?}: {reason}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

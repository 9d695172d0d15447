//! Compaction against a simple model: random histories, and the power cut at every change of the
//! disk.
//!
//! Whatever happens, a reader sees the last value of each key, every record at the offset that it
//! was given and in that order, and all that was committed above what was cleaned; producers are
//! known by what is left.
//!
//! A failing history prints its seed; `VLTAVA_SEED=S` runs that one alone and tells its steps.
//! `VLTAVA_HISTORIES=N` runs that many, `VLTAVA_FIRST=S` starts at another seed.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a failure tells its seed and steps")]

mod cleaning;
mod history;
mod model;
mod power;
mod random;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Histories run by default; each takes a few milliseconds.
const HISTORIES: u64 = 100;

/// Logs in which the power is cut at every change.
const CUT_LOGS: u64 = 2;

fn given(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn run_all(default: u64, run: impl Fn(u64) -> Result<(), String>) {
    if let Some(seed) = given("VLTAVA_SEED") {
        run(seed).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        return;
    }
    let first = given("VLTAVA_FIRST").unwrap_or(0);
    for seed in first..first + given("VLTAVA_HISTORIES").unwrap_or(default) {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(Ok(())) => {}
            Ok(Err(what)) => panic!("seed {seed}: {what}"),
            Err(panic) => {
                eprintln!("seed {seed} panicked");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn a_compacted_log_survives_every_history() {
    run_all(HISTORIES, history::run);
}

#[test]
fn the_power_may_go_at_every_change_of_the_disk() {
    run_all(CUT_LOGS, power::cut_everywhere);
}

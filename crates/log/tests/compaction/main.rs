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

use vltava_log::SyncKind;

/// Histories run by default; each takes a few milliseconds.
const HISTORIES: u64 = 100;

/// Logs in which the power is cut at every change.
const CUT_LOGS: u64 = 2;

/// Within how many histories a missing fsync must be noticed.
const HISTORIES_TO_NOTICE: u64 = 200;

/// What a round syncs, and with which history to begin: some matter only in few of them, and those
/// before the first that notices would be run in vain each time.
const KINDS: [(SyncKind, u64); 5] = [
    (SyncKind::CleanedLog, 0),
    (SyncKind::CleanedIndex, 205),
    (SyncKind::SwapFolder, 20),
    (SyncKind::SwapRetired, 205),
    (SyncKind::SwapNames, 205),
];

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
    run_all(HISTORIES, |seed| history::run(seed, None));
}

#[test]
fn the_power_may_go_at_every_change_of_the_disk() {
    run_all(CUT_LOGS, power::cut_everywhere);
}

/// The first history, from one on, that goes wrong without that kind of fsync.
fn first_to_notice(kind: SyncKind, first: u64) -> Option<u64> {
    (first..first + HISTORIES_TO_NOTICE).find(|&seed| {
        // What a missing fsync breaks may also break an assumption of the log's code.
        let outcome = catch_unwind(AssertUnwindSafe(|| history::run(seed, Some(kind))));
        !matches!(outcome, Ok(Ok(())))
    })
}

#[test]
fn each_fsync_of_a_round_is_missed_when_it_is_left_out() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let noticed: Vec<_> =
        KINDS.into_iter().map(|(kind, first)| (kind, first_to_notice(kind, first))).collect();
    std::panic::set_hook(hook);
    for (kind, seed) in &noticed {
        let seed = seed.map_or("no history".to_owned(), |seed| format!("history {seed}"));
        println!("left out {kind:?}: {seed}");
    }
    let unnoticed: Vec<_> = noticed.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(unnoticed.is_empty(), "left out without being missed: {unnoticed:?}");
}

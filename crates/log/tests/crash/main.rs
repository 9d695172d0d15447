//! Random histories of a log on a disk that loses what was not synced, against a simple model.
//!
//! Whatever happens, after a crash the log is a prefix of what was appended, byte for byte, at
//! least up to what a flush had promised; epochs, producers, transactions and indexes agree with
//! it. And no fsync is there in vain: with any one kind of them left out, some history goes wrong.
//!
//! A failing history prints its seed; `VLTAVA_SEED=S` runs that one alone and tells its steps.
//! `VLTAVA_HISTORIES=N` runs that many, `VLTAVA_FIRST=S` starts at another seed.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a failure tells its seed and steps")]

mod history;
mod model;
mod owner;

use std::panic::{AssertUnwindSafe, catch_unwind};

use vltava_log::SyncKind;

/// Histories run by default; each takes a few milliseconds.
const HISTORIES: u64 = 400;

/// Within how many histories a missing fsync must be noticed.
const HISTORIES_TO_NOTICE: u64 = 800;

fn given(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn a_log_survives_every_history() {
    if let Some(seed) = given("VLTAVA_SEED") {
        history::run(seed, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        return;
    }
    let first = given("VLTAVA_FIRST").unwrap_or(0);
    for seed in first..first + given("VLTAVA_HISTORIES").unwrap_or(HISTORIES) {
        let outcome = catch_unwind(AssertUnwindSafe(|| history::run(seed, None)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(what)) => panic!("seed {seed}: {what}"),
            Err(panic) => {
                eprintln!("seed {seed} panicked");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// What a log and the checkpoints beside it sync.
const KINDS: [SyncKind; 15] = [
    SyncKind::LogFlush,
    SyncKind::SegmentRoll,
    SyncKind::IndexRoll,
    SyncKind::TxnIndex,
    SyncKind::SegmentFolder,
    SyncKind::LogFolder,
    SyncKind::ProducerSnapshot,
    SyncKind::EpochCheckpoint,
    SyncKind::EpochCheckpointFolder,
    SyncKind::TruncateLog,
    SyncKind::TruncateFolder,
    SyncKind::RetentionFolder,
    SyncKind::OffsetCheckpoint,
    SyncKind::OffsetCheckpointFolder,
    SyncKind::CleanShutdownFolder,
];

/// The first history that goes wrong without that kind of fsync.
fn first_to_notice(kind: SyncKind) -> Option<u64> {
    (0..HISTORIES_TO_NOTICE).find(|&seed| {
        // What a missing fsync breaks may also break an assumption of the log's code.
        let outcome = catch_unwind(AssertUnwindSafe(|| history::run(seed, Some(kind))));
        !matches!(outcome, Ok(Ok(())))
    })
}

#[test]
fn each_fsync_is_missed_when_it_is_left_out() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let noticed: Vec<_> = KINDS.into_iter().map(|kind| (kind, first_to_notice(kind))).collect();
    std::panic::set_hook(hook);
    for (kind, seed) in &noticed {
        let seed = seed.map_or("no history".to_owned(), |seed| format!("history {seed}"));
        println!("left out {kind:?}: {seed}");
    }
    let unnoticed: Vec<_> = noticed.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(unnoticed.is_empty(), "left out without being missed: {unnoticed:?}");
}

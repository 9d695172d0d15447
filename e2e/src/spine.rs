//! The checks of `cargo xtask spine`: each starts a cluster of its own and tries one promise.

mod bad_input;
mod compaction;
mod compose;
mod failover;
mod full_disk;
mod groups;
mod java_tools;
mod resources;
mod saturation;
mod transactions;
mod walkthrough;

use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::feed::fed;

/// What a person chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the saturated machine is watched.
    pub saturated_for: Duration,
}

/// One promise and what tries it.
pub struct Check {
    /// How the check is called.
    pub name: &'static str,
    /// What it tries.
    pub promise: &'static str,
    /// Tries it; returns what was found.
    pub run: fn(&Settings) -> Outcome<String>,
}

/// Every check.
pub const CHECKS: &[Check] = &[
    Check {
        name: "walkthrough",
        promise: "kcat sees a leader die, another take over, and the first one come back",
        run: |_| walkthrough::run(),
    },
    Check {
        name: "failover",
        promise: "kill -9 of a leader costs at most 2 s without an ack, and no record",
        run: |_| failover::leader(),
    },
    Check {
        name: "failover-both",
        promise: "so does the leader together with the active coordinator",
        run: |_| failover::leader_and_coordinator(),
    },
    Check {
        name: "pause",
        promise: "a leader that stands still costs at most its session and a second",
        run: |_| failover::pause(),
    },
    Check {
        name: "groups",
        promise: "two members share six partitions; one leaves; each record comes once",
        run: |_| groups::run(),
    },
    Check {
        name: "migration",
        promise: "a group goes from the classic protocol to KIP-848's and back while it consumes",
        run: |_| groups::migration(),
    },
    Check {
        name: "transactions",
        promise: "while brokers die, committed is read once, aborted never, and nothing hangs",
        run: |_| transactions::run(),
    },
    Check {
        name: "resources",
        promise: "start, memory and idle CPU stay within bounds, also after a kill of all",
        run: |_| resources::run(),
    },
    Check {
        name: "saturation",
        promise: "while every core is saturated nobody is fenced (--minutes says for how long)",
        run: saturation::run,
    },
    Check {
        name: "bad-input",
        promise: "garbage, giant frames and idle crowds harm nobody else",
        run: |_| bad_input::run(),
    },
    Check {
        name: "full-disk",
        promise: "a full disk refuses writes, serves reads, and recovers",
        run: |_| full_disk::run(),
    },
    Check {
        name: "compaction",
        promise: "a compacted topic shrinks under kills, and no key's last value is lost",
        run: |_| compaction::run(),
    },
    Check {
        name: "compose",
        promise: "the compose file's cluster outlives docker kill, and reads settings of old",
        run: |_| compose::run(),
    },
    Check {
        name: "java-tools",
        promise: "Apache's own tools work on the cluster, and read its files",
        run: |_| java_tools::run(),
    },
];

/// A folder that goes when the check ends.
fn folder() -> Outcome<tempfile::TempDir> {
    tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))
}

/// Runs kcat and returns what it printed.
pub(crate) fn kcat(arguments: &[&str], input: &str) -> Outcome<String> {
    let line = format!("kcat {}", arguments.join(" "));
    fed(Command::new("kcat").args(arguments), &line, input)
}

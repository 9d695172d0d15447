//! Omissions that are planted: each fsync is left out in turn, and must be missed.
//!
//! Most are missed by real processes, on the [platter](super::platter): after a cut something is
//! not there that was promised, or is there again. Some matter only in moments that no load hits at
//! will, as between an append after a truncation and its flush; those are missed by the random
//! histories of the crates that call them, on a disk that loses what was not synced.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Settings, Wrong};
use crate::Outcome;

/// Within how many cuts an omission is to be missed by real processes.
const CUTS_TO_MISS: u32 = 6;
/// After this time no omission is tried among processes any more that a history has missed already.
const BUDGET: Duration = Duration::from_secs(10 * 60);
/// How many clusters run at a time: they mostly wait.
const AT_A_TIME: usize = 2;

/// What real processes do before the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// All at once, under load: new segments and snapshots, truncations, retention.
    Busy,
    /// A new cluster, a topic made and deleted, a restart: little, so that no other sync brings
    /// along what was left out.
    Quiet,
    /// None: what it guards lasts for so short a time, and so seldom, that no cut would hit it.
    Unseen,
}

/// A node's role and the kind of fsync, as `VLTAVA_SKIP_SYNC` takes them, and where it is missed.
const OMISSIONS: &[(&str, Scene)] = &[
    ("broker:LogFlush", Scene::Busy),
    ("broker:SegmentRoll", Scene::Busy),
    ("broker:IndexRoll", Scene::Busy),
    ("broker:TxnIndex", Scene::Busy),
    ("broker:SegmentFolder", Scene::Busy),
    ("broker:LogFolder", Scene::Quiet),
    ("broker:ProducerSnapshot", Scene::Busy),
    ("broker:EpochCheckpoint", Scene::Busy),
    ("broker:EpochCheckpointFolder", Scene::Busy),
    ("broker:TruncateLog", Scene::Busy),
    ("broker:TruncateFolder", Scene::Busy),
    ("broker:RetentionFolder", Scene::Busy),
    ("broker:OffsetCheckpoint", Scene::Busy),
    ("broker:OffsetCheckpointFolder", Scene::Busy),
    ("broker:MetaProperties", Scene::Quiet),
    ("broker:MetaPropertiesFolder", Scene::Quiet),
    ("broker:PartitionMetadata", Scene::Quiet),
    ("broker:CleanShutdownFolder", Scene::Quiet),
    ("broker:AsideFolder", Scene::Quiet),
    ("broker:DataFolder", Scene::Quiet),
    ("broker:CleanedLog", Scene::Unseen),
    ("broker:CleanedIndex", Scene::Unseen),
    ("broker:SwapFolder", Scene::Unseen),
    ("broker:SwapRetired", Scene::Unseen),
    ("broker:SwapNames", Scene::Unseen),
    ("broker:MovedFolder", Scene::Unseen),
    ("coordinator:LogFlush", Scene::Busy),
    ("coordinator:SegmentRoll", Scene::Busy),
    ("coordinator:SegmentFolder", Scene::Busy),
    ("coordinator:EpochCheckpoint", Scene::Busy),
    ("coordinator:MetaProperties", Scene::Quiet),
    ("coordinator:MetaPropertiesFolder", Scene::Quiet),
    ("coordinator:OffsetCheckpoint", Scene::Busy),
    ("coordinator:QuorumState", Scene::Busy),
    ("coordinator:QuorumStateFolder", Scene::Quiet),
    ("coordinator:MetadataSnapshot", Scene::Busy),
    ("coordinator:MetadataSnapshotFolder", Scene::Busy),
    ("coordinator:DataFolder", Scene::Quiet),
];

/// Tests that leave out each fsync in random histories and print `left out KIND: history SEED`:
/// arguments of `cargo test`, and the test's name.
const HISTORIES: &[(&str, &str, &str)] = &[
    ("vltava-log", "--test crash", "each_fsync_is_missed_when_it_is_left_out"),
    ("vltava-log", "--test compaction", "each_fsync_of_a_round_is_missed_when_it_is_left_out"),
    ("vltava-log", "--test moving", "each_fsync_of_a_move_is_missed_when_it_is_left_out"),
    ("vltava-coordinator", "--lib", "a_sync_that_is_left_out_is_found"),
];

/// By package and kind, the first history that missed it.
type Histories = BTreeMap<(String, String), u64>;

/// What came of an omission among real processes.
enum Seen {
    Missed {
        cut: u32,
        what: String,
    },
    /// Something took too long: that alone proves nothing.
    TimedOut {
        cut: u32,
        what: String,
    },
    Unmissed,
    /// The time was over.
    NotTried,
    /// No process would come to it.
    NoScene,
}

/// Leaves out the fsync of that name (or each in turn: `all`), expects that it is missed, and
/// prints a table.
///
/// # Errors
/// The omissions that nobody missed, or a name that is none.
pub fn run(name: &str, settings: &Settings) -> Outcome {
    let is_meant = |omission: &&(&str, Scene)| {
        name == "all" || omission.0 == name || omission.0.ends_with(&format!(":{name}"))
    };
    let mut meant: Vec<(&str, Scene)> = OMISSIONS.iter().filter(is_meant).copied().collect();
    if meant.is_empty() {
        let all: Vec<&str> = OMISSIONS.iter().map(|omission| omission.0).collect();
        return Err(format!("there is no fsync {name}; there are {}", all.join(", ")));
    }
    let histories = by_histories()?;
    let history = |omission: &str| {
        let (role, kind) = omission.split_once(':').unwrap_or(("", omission));
        history_of(&histories, role, kind)
    };
    // What only processes can show comes first.
    meant.sort_by_key(|(omission, _)| history(omission).is_some());
    let seen = by_processes(&meant, settings, |omission| history(omission).is_some());
    println!("{:<12} {:<23} missed", "role", "fsync");
    let mut unmissed = Vec::new();
    for ((omission, _), (seen, took)) in meant.iter().zip(&seen) {
        let (role, kind) = omission.split_once(':').unwrap_or(("", omission));
        let history = history(omission);
        println!("{role:<12} {kind:<23} {}", told(seen, *took, history.as_deref()));
        if !matches!(seen, Seen::Missed { .. }) && history.is_none() {
            unmissed.push(*omission);
        }
    }
    if unmissed.is_empty() { Ok(()) } else { Err(format!("nobody missed {}", unmissed.join(", "))) }
}

/// Tries all of them, some at a time; once the budget is used up, only those that are not shown.
fn by_processes(
    meant: &[(&str, Scene)],
    settings: &Settings,
    is_shown: impl Fn(&str) -> bool + Sync,
) -> Vec<(Seen, Duration)> {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut seen = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((omission, scene)) = meant.get(index) else { return seen };
            let start = Instant::now();
            let is_over = begun.elapsed() > BUDGET && is_shown(omission);
            let outcome = match is_over && *scene != Scene::Unseen {
                true => Seen::NotTried,
                false => among_processes(omission, *scene, settings),
            };
            let took = start.elapsed();
            println!("{omission} left out: {}", told(&outcome, took, None));
            seen.push((index, (outcome, took)));
        }
    };
    let mut all: Vec<(usize, (Seen, Duration))> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, seen)| seen).collect()
}

fn among_processes(omission: &str, scene: Scene, settings: &Settings) -> Seen {
    let (seed, rate) = (settings.seed, settings.rate);
    let outcome = match scene {
        Scene::Busy => super::on_platter(CUTS_TO_MISS, seed, rate, Some(omission)),
        Scene::Quiet => super::quiet::run(CUTS_TO_MISS, seed, Some(omission)),
        Scene::Unseen => return Seen::NoScene,
    };
    match outcome {
        Ok(()) => Seen::Unmissed,
        Err(Wrong { cut, what }) if crate::is_timeout(&what) => Seen::TimedOut { cut, what },
        Err(Wrong { cut, what }) => Seen::Missed { cut, what },
    }
}

fn told(seen: &Seen, took: Duration, history: Option<&str>) -> String {
    let short = |what: &str| what.lines().take(2).collect::<Vec<_>>().join(" ");
    let by_processes = match seen {
        Seen::Missed { cut, what } => format!("at cut {cut}, after {took:.0?}: {}", short(what)),
        Seen::TimedOut { cut, what } => {
            format!("not for sure: at cut {cut}, after {took:.0?}, a timeout: {}", short(what))
        }
        Seen::NotTried => "not tried by processes, as the time was over".to_owned(),
        Seen::NoScene => "not tried by processes: what it guards is too short".to_owned(),
        Seen::Unmissed => format!("not within {CUTS_TO_MISS} cuts, {took:.0?}"),
    };
    match (seen, history) {
        (Seen::Missed { .. }, _) | (_, None) => by_processes,
        (_, Some(history)) => format!("{history} ({by_processes})"),
    }
}

/// Runs the crates' own tests, which leave out the same syncs.
fn by_histories() -> Outcome<Histories> {
    let mut found = Histories::new();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for (package, target, test) in HISTORIES {
        println!("the histories of {package}");
        let output = Command::new(&cargo)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args(["test", "--quiet", "-p", package])
            .args(target.split(' '))
            .args(["--", test, "--nocapture"])
            .output()
            .map_err(|error| format!("cargo test -p {package}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        for line in text.lines() {
            if let Some((kind, seed)) = parse_history(line) {
                found.insert(((*package).to_owned(), kind.to_owned()), seed);
            }
        }
    }
    Ok(found)
}

/// `left out KIND: history SEED`.
fn parse_history(line: &str) -> Option<(&str, u64)> {
    let (kind, seed) = line.trim().strip_prefix("left out ")?.split_once(": history ")?;
    Some((kind, seed.parse().ok()?))
}

/// Where a kind was missed: the log's own histories count for both roles, as both use it.
fn history_of(histories: &Histories, role: &str, kind: &str) -> Option<String> {
    let packages: &[&str] = match role {
        "coordinator" => &["vltava-coordinator", "vltava-log"],
        _ => &["vltava-log"],
    };
    packages.iter().find_map(|package| {
        let seed = histories.get(&((*package).to_owned(), kind.to_owned()))?;
        Some(format!("in history {seed} of {package}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_histories_are_read() {
        assert_eq!(parse_history("left out LogFlush: history 12"), Some(("LogFlush", 12)));
        assert_eq!(parse_history("left out LogFlush: no history"), None);
        assert_eq!(parse_history("test result: ok"), None);
    }

    #[test]
    fn a_timeout_is_told_from_a_finding() {
        let seen = Seen::TimedOut { cut: 1, what: "x did not come".to_owned() };
        let told = told(&seen, Duration::from_secs(3), None);
        assert!(told.starts_with("not for sure"), "{told}");
    }
}

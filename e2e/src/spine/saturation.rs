//! A machine with no idle core: nobody may be taken for dead because it is slow.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Settings;
use crate::cluster::{Cluster, Shape};
use crate::producers::{Load, Options};
use crate::{Outcome, admin, check};

const TOPIC: &str = "busy";
/// Busy processes a core, at the priority that the nodes have.
const HOGS_A_CORE: usize = 2;
const LOOK: Duration = Duration::from_millis(250);

pub(super) fn run(settings: &Settings) -> Outcome<String> {
    let folder = super::folder()?;
    let shape = Shape { topics: vec![(TOPIC.to_owned(), 6, 3)], ..Shape::default() };
    let cluster = Cluster::up(folder.path(), &shape)?;
    let load = Load::start(Options {
        bootstrap: cluster.bootstrap(),
        topic: TOPIC.to_owned(),
        id: 0,
        rate: 200,
        partition: None,
        settings: Vec::new(),
        log: None,
    })?;
    crate::until("100 acknowledged records", Duration::from_secs(30), || {
        if load.acked() >= 100 { Ok(()) } else { Err(format!("{}", load.acked())) }
    })?;
    check::isr_whole(&cluster, 3, Duration::from_secs(60))?;
    check::metadata_equal(&cluster, Duration::from_secs(30))?;
    let before = seen(&cluster)?;
    load.reset_gap();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let hogs = Hogs::start(cores * HOGS_A_CORE)?;
    let start = Instant::now();
    while start.elapsed() < settings.saturated_for {
        std::thread::sleep(LOOK);
        let now = seen(&cluster)?;
        if now != before {
            let at = start.elapsed();
            return Err(format!(
                "after {at:.1?} the metadata is another, so that a broker was fenced, lost a \
                 leadership, or left an ISR: {before:?}, then {now:?}"
            ));
        }
    }
    drop(hogs);
    let gap = load.longest_gap();
    let report = load.finish()?;
    if let Some((sequence, reason)) = report.failed.first() {
        return Err(format!("record {sequence} was given up: {reason}"));
    }
    let read = check::read_back(&cluster.bootstrap(), TOPIC)?;
    let count = check::nothing_lost(&report.acked, &read)?;
    Ok(format!(
        "{:.0?} with {} busy processes on {cores} cores: nobody fenced, no leadership moved; \
         {count} records, longest gap {gap:.2?}",
        start.elapsed(),
        cores * HOGS_A_CORE
    ))
}

/// What the active coordinator says: how many are fenced, and the fingerprint of all metadata, in
/// which each fencing leaves its trace for good (it bumps epochs).
fn seen(cluster: &Cluster) -> Outcome<(i64, String)> {
    for node in cluster.nodes()?.iter().filter(|node| node.role == "coordinator") {
        let metrics = admin::metrics(node)?;
        if metrics.get("vltava_quorum_is_leader") == Some(&1.0) {
            let value = |name: &str| {
                let value = metrics.get(name).copied();
                value.ok_or_else(|| format!("{} has no metric {name}", node.name))
            };
            let fenced = value("vltava_fenced_brokers")? as i64;
            return Ok((fenced, value("vltava_metadata_digest")?.to_string()));
        }
    }
    Err("no coordinator is active".to_owned())
}

/// Processes that do nothing but compute. Dropping them ends them.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start(count: usize) -> Outcome<Self> {
        let mut hogs = Self(Vec::new());
        for _ in 0..count {
            let mut shell = Command::new("sh");
            shell.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            hogs.0.push(shell.spawn().map_err(|error| format!("sh: {error}"))?);
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

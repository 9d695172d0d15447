//! How long a producer waits when the leader of its partition dies or stands still.

use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::{Cluster, Shape};
use crate::producers::{Acked, Load, Options};
use crate::{Outcome, check, faults, until};

const TOPIC: &str = "failover";
/// The longest gap that a dead process may cost.
const GAP_MAX: Duration = Duration::from_secs(2);
/// The longest gap that a process that stands still may cost: its session of 3 s and a second.
const PAUSE_GAP_MAX: Duration = Duration::from_secs(4);
/// Clusters that are tried, as one run may be lucky.
const RUNS: u32 = 3;

pub(super) fn leader() -> Outcome<String> {
    runs(GAP_MAX, |cluster, leader| {
        faults::signal_node(cluster, &format!("broker-{leader}"), Signal::KILL)
    })
}

pub(super) fn leader_and_coordinator() -> Outcome<String> {
    runs(GAP_MAX, |cluster, leader| {
        let active = cluster.active_coordinator()?;
        let broker = cluster.node(&format!("broker-{leader}"))?.pid.ok_or("no pid")?;
        let coordinator = cluster.node(&active)?.pid.ok_or("no pid")?;
        faults::signal(broker, Signal::KILL)?;
        faults::signal(coordinator, Signal::KILL)
    })
}

/// The leader goes on once its clients have gone on without it.
pub(super) fn pause() -> Outcome<String> {
    runs(PAUSE_GAP_MAX, |cluster, leader| {
        faults::signal_node(cluster, &format!("broker-{leader}"), Signal::STOP)
    })
}

fn verdict(
    cluster: &Cluster,
    gaps: &[Duration],
    limit: Duration,
    acked: &[Acked],
) -> Outcome<String> {
    check::isr_whole(cluster, 3, Duration::from_secs(60))?;
    let count = check::nothing_lost(acked, &check::read_back(&cluster.bootstrap(), TOPIC)?)?;
    let text: Vec<String> = gaps.iter().map(|gap| format!("{gap:.2?}")).collect();
    let found = format!("longest gaps {}; {count} records, none lost", text.join(", "));
    if gaps.iter().any(|gap| *gap > limit) { Err(found) } else { Ok(found) }
}

fn runs(limit: Duration, fault: fn(&Cluster, i32) -> Outcome) -> Outcome<String> {
    let folder = super::folder()?;
    let shape = Shape { topics: vec![(TOPIC.to_owned(), 1, 3)], ..Shape::default() };
    let cluster = Cluster::up(folder.path(), &shape)?;
    let mut gaps = Vec::new();
    let mut acked = Vec::new();
    for run in 0..RUNS {
        check::isr_whole(&cluster, 3, Duration::from_secs(60))?;
        let load = Load::start(Options {
            bootstrap: cluster.bootstrap(),
            topic: TOPIC.to_owned(),
            id: run,
            rate: 1000,
            partition: Some(0),
            settings: Vec::new(),
            log: None,
        })?;
        until("1,000 acknowledged records", Duration::from_secs(20), || {
            if load.acked() >= 1000 { Ok(()) } else { Err(format!("{}", load.acked())) }
        })?;
        load.reset_gap();
        fault(&cluster, check::leader_of(&cluster.bootstrap(), TOPIC)?)?;
        let before = load.acked();
        until("acknowledgements after the fault", Duration::from_secs(30), || {
            let acked = load.acked();
            if acked >= before + 4000 { Ok(()) } else { Err(format!("{}", acked - before)) }
        })?;
        gaps.push(load.longest_gap());
        go_on(&cluster)?;
        cluster.start_all()?;
        let mut report = load.finish()?;
        if let Some(reason) = report.fatal.first() {
            return Err(format!("the idempotent producer ended: {reason}"));
        }
        if let Some((sequence, reason)) = report.failed.first() {
            return Err(format!("record {sequence} was given up: {reason}"));
        }
        acked.append(&mut report.acked);
    }
    verdict(&cluster, &gaps, limit, &acked)
}

/// Lets those go on that stand still.
fn go_on(cluster: &Cluster) -> Outcome {
    for node in cluster.nodes()? {
        if let Some(pid) = node.pid {
            faults::signal(pid, Signal::CONT)?;
        }
    }
    Ok(())
}

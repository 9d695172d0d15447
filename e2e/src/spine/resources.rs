//! What a cluster costs: time to start, memory and CPU when idle, time to come back after a kill.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::kcat;
use crate::cluster::{Cluster, Shape};
use crate::producers::{Load, Options};
use crate::{Outcome, admin, faults, until};

const TOPIC: &str = "first";
const START_MAX: Duration = Duration::from_secs(2);
const RESTART_MAX: Duration = Duration::from_secs(3);
const BROKER_KIB_MAX: u64 = 30 * 1024;
const COORDINATOR_KIB_MAX: u64 = 20 * 1024;
/// Of one core, for the whole cluster.
const IDLE_CPU_MAX: f64 = 0.05;
const IDLE_FOR: Duration = Duration::from_secs(10);
/// How much is on the disk when the whole cluster is killed.
const LOAD_BYTES: usize = 1 << 30;

pub(super) fn run() -> Outcome<String> {
    let folder = super::folder()?;
    let shape = Shape { topics: vec![(TOPIC.to_owned(), 6, 3)], ..Shape::default() };
    let start = Instant::now();
    let cluster = Cluster::up(folder.path(), &shape)?;
    first_ack(&cluster, 0)?;
    let started = start.elapsed();

    let before = ticks(&cluster)?;
    let idle = Instant::now();
    std::thread::sleep(IDLE_FOR);
    let used = (ticks(&cluster)? - before) as f64 / 100.0 / idle.elapsed().as_secs_f64();
    let (mut broker_kib, mut coordinator_kib) = (0, 0);
    for node in cluster.nodes()? {
        let kib = admin::resident_kib(node.pid.ok_or("a node does not run")?)?;
        let most = if node.role == "broker" { &mut broker_kib } else { &mut coordinator_kib };
        *most = kib.max(*most);
    }

    fill(&cluster)?;
    for node in cluster.nodes()? {
        faults::signal(node.pid.ok_or("a node does not run")?, Signal::KILL)?;
    }
    let start = Instant::now();
    cluster.start_all()?;
    first_ack(&cluster, 1)?;
    let restarted = start.elapsed();

    let found = format!(
        "first ack after {started:.2?}, after a kill of all {restarted:.2?}; resident: broker \
         {broker_kib} KiB, coordinator {coordinator_kib} KiB; idle CPU {:.1} % of a core",
        used * 100.0
    );
    let within = started <= START_MAX
        && restarted <= RESTART_MAX
        && broker_kib <= BROKER_KIB_MAX
        && coordinator_kib <= COORDINATOR_KIB_MAX
        && used <= IDLE_CPU_MAX;
    if within { Ok(found) } else { Err(found) }
}

/// Produces until a record is acknowledged.
fn first_ack(cluster: &Cluster, id: u32) -> Outcome {
    let load = Load::start(Options {
        bootstrap: cluster.bootstrap(),
        topic: TOPIC.to_owned(),
        id,
        rate: 100,
        partition: None,
        settings: Vec::new(),
        log: None,
    })?;
    let first = until("the first acknowledgement", Duration::from_secs(30), || {
        if load.acked() > 0 { Ok(()) } else { Err("none".to_owned()) }
    });
    load.finish()?;
    first
}

fn ticks(cluster: &Cluster) -> Outcome<u64> {
    let mut all = 0;
    for node in cluster.nodes()? {
        all += admin::cpu_ticks(node.pid.ok_or("a node does not run")?)?;
    }
    Ok(all)
}

/// Writes a gibibyte by kcat, in records of 100 KiB.
fn fill(cluster: &Cluster) -> Outcome {
    let record = "x".repeat(100 * 1024);
    let batch = format!("{record}\n").repeat(100);
    for _ in 0..LOAD_BYTES / 3 / batch.len() + 1 {
        kcat(&["-b", &cluster.bootstrap(), "-t", TOPIC, "-P", "-X", "linger.ms=50"], &batch)?;
    }
    Ok(())
}

//! Many partitions, many connections, many members; and what growing costs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use vltava_e2e::Outcome;

use super::endings;
use crate::figure::{Figure, RATE, RESIDENT, Sample, percentiles};
use crate::ground::Ground;
use crate::latency::{self, Pace};
use crate::members;
use crate::meter::{self, Meter};
use crate::produce::{self, Flood};
use crate::raw::Crowd;
use crate::subject::Subject;

const SMALL: usize = 100;
/// Topics that share the most partitions: no request may ask for more than 10,000.
const TOPICS: i32 = 10;
const IDLE: Figure = Figure::cost("idle CPU, % of a core, all nodes");
const MORE_MEMORY: Figure = Figure::cost("more MiB resident than without");
const CREATED: Figure = Figure::cost("s to create them");
const FILES: Figure = Figure::cost("open files of the broker");
const JOINED: Figure = Figure::cost("ms until all have joined");
/// From the departure of a member until the others have its partitions.
pub(super) const REBALANCED: Figure = Figure::cost("ms to rebalance after one leaves");

pub(super) fn small(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let scale = ground.scale;
    let topic = ground.new_topic(subject, scale.partitions_many)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let settings: &[_] = &[("linger.ms", "0"), ("queue.buffering.max.messages", "1000")];
    let records = scale.flood_bytes / 4000;
    let keys = Some(100 * scale.partitions_many as u64);
    let flood = Flood { records, size: SMALL, keys, settings, ..Flood::of_kib(&topic, 0) };
    let meter = Meter::start(ground.pids(subject.side)?)?;
    produce::flood_by_many(&bootstrap, scale.producers, &flood)?;
    let spent = meter.stop()?;
    ground.remove_topic(subject, &topic)?;
    let rate = flood.records as f64 / spent.wall.as_secs_f64();
    Ok(Sample::of([(RATE, rate)]).and(spent.per_record(flood.records as f64)))
}

pub(super) fn connections(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let scale = ground.scale;
    let topic = ground.new_topic(subject, 6)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let pids = ground.pids(subject.side)?;
    let before = meter::resident_mib(&pids)?;
    let crowd = Crowd::gather(&bootstrap, scale.connections, scale.connections)?;
    // Long enough for the slow ones to have sent a part of a request each.
    std::thread::sleep(Duration::from_secs(1));
    let more = meter::resident_mib(&pids)? - before;
    let idle = meter::idle_percent(&pids, scale.idle)?;
    let pace = Pace { topic: &topic, rate: 1000, size: 1024 };
    let latencies = latency::paced(&bootstrap, pace, scale.paced, None)?;
    drop(crowd);
    ground.remove_topic(subject, &topic)?;
    Ok(percentiles(latencies).and(Sample::of([(MORE_MEMORY, more), (IDLE, idle)])))
}

pub(super) fn partitions(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let scale = ground.scale;
    let start = Instant::now();
    let each = scale.partitions_most / TOPICS;
    let topics = (0..TOPICS).map(|_| ground.new_topic(subject, each));
    let topics = topics.collect::<Outcome<Vec<_>>>()?;
    let created = start.elapsed().as_secs_f64();
    let bootstrap = ground.bootstrap(subject.side)?;
    // Every partition has records, and so a file that is looked at, or recovered, at a start.
    let records = u64::from(each.unsigned_abs()) * 20;
    for topic in &topics {
        let keys = Some(records);
        let flood = Flood { records, size: SMALL, keys, ..Flood::of_kib(topic, 0) };
        produce::flood(&bootstrap, &flood)?;
    }
    let restarted = endings::restarted(ground, subject, &topics[0])?;
    let pids = ground.pids(subject.side)?;
    let resident = meter::resident_mib(&pids)?;
    let files = open_files(ground.system(subject.side)?.broker_pid(1)?)?;
    let idle = meter::idle_percent(&pids, scale.idle)?;
    let pace = Pace { topic: &topics[0], rate: 1000, size: 1024 };
    let latencies = latency::paced(&bootstrap, pace, scale.paced, None)?;
    for topic in &topics {
        ground.remove_topic(subject, topic)?;
    }
    Ok(percentiles(latencies).and(Sample::of([
        (CREATED, created),
        (endings::FIRST_ACK, restarted.as_secs_f64() * 1000.0),
        (RESIDENT, resident),
        (FILES, files),
        (IDLE, idle),
    ])))
}

fn open_files(pid: i32) -> Outcome<f64> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = std::fs::read_dir(&folder);
    let entries = entries.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(entries.count() as f64)
}

pub(super) fn group(ground: &mut Ground, subject: Subject, round: usize) -> Outcome<Sample> {
    let count = ground.scale.members;
    let topic = ground.new_topic(subject, 2 * count as i32)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let name = format!("bench-group-{round}");
    let (joined, rebalanced) = members::join_and_leave(&bootstrap, &topic, &name, count)?;
    ground.remove_topic(subject, &topic)?;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Sample::of([(JOINED, ms(joined)), (REBALANCED, ms(rebalanced))]))
}

pub(super) fn growth(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    const BASE: Figure = Figure::cost("nodes' CPU µs/record at first");
    const DATA: Figure = Figure::cost("× with 10× the data");
    const PARTITIONS: Figure = Figure::cost("× with 10× the partitions");
    const CONNECTIONS: Figure = Figure::cost("× with 10× the connections");
    let bytes = ground.scale.flood_bytes / 4;
    let mut cost = |bytes: u64, partitions: i32, producers: usize| -> Outcome<f64> {
        let topic = ground.new_topic(subject, partitions)?;
        let bootstrap = ground.bootstrap(subject.side)?;
        let flood = Flood::of_kib(&topic, bytes);
        let meter = Meter::start(ground.pids(subject.side)?)?;
        produce::flood_by_many(&bootstrap, producers, &flood)?;
        let spent = meter.stop()?;
        ground.remove_topic(subject, &topic)?;
        Ok(spent.nodes_s * 1e6 / flood.records as f64)
    };
    let base = cost(bytes, 6, 2)?;
    let more = [cost(10 * bytes, 6, 2)?, cost(bytes, 60, 2)?, cost(bytes, 6, 20)?];
    let [data, partitions, connections] = more.map(|it| it / base.max(f64::MIN_POSITIVE));
    Ok(Sample::of([
        (BASE, base),
        (DATA, data),
        (PARTITIONS, partitions),
        (CONNECTIONS, connections),
    ]))
}

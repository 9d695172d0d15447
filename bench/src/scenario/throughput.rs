//! How much, and what a GB costs.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vltava_e2e::Outcome;

use crate::consume;
use crate::figure::{Figure, RATE, Sample, percentiles};
use crate::ground::Ground;
use crate::latency::{self, Pace};
use crate::meter::{Meter, Spent};
use crate::produce::{self, Flood};
use crate::subject::{Side, Subject};

/// As many partitions as the loads without a reason for others have.
const PARTITIONS: i32 = 6;

/// Records in a MB one, in bytes: what fits Kafka's default limit with its overhead.
const LARGE: usize = 1_000_000;

/// Bytes a second.
const MB_RATE: Figure = Figure::yield_of("MB/s");

/// The longest that a load beside another one may last.
const BESIDE_MAX: Duration = Duration::from_secs(600);

pub(super) fn produce(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, PARTITIONS)?;
    let flood = Flood::of_kib(&topic, ground.scale.flood_bytes);
    let spent = flooded(ground, subject, &flood)?;
    ground.remove_topic(subject, &topic)?;
    Ok(rates(&flood, &spent).and(spent.per_gb(flood.bytes())))
}

pub(super) fn large(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, PARTITIONS)?;
    let settings: &[_] = &[("message.max.bytes", "2000000")];
    let records = ground.scale.flood_bytes / LARGE as u64;
    let flood = Flood { records, size: LARGE, settings, ..Flood::of_kib(&topic, 0) };
    let spent = flooded(ground, subject, &flood)?;
    ground.remove_topic(subject, &topic)?;
    Ok(rates(&flood, &spent).and(spent.per_gb(flood.bytes())))
}

fn flooded(ground: &mut Ground, subject: Subject, flood: &Flood<'_>) -> Outcome<Spent> {
    let bootstrap = ground.bootstrap(subject.side)?;
    let meter = Meter::start(ground.pids(subject.side)?)?;
    produce::flood(&bootstrap, flood)?;
    meter.stop()
}

fn rates(flood: &Flood<'_>, spent: &Spent) -> Sample {
    let seconds = spent.wall.as_secs_f64();
    let records = flood.records as f64 / seconds;
    Sample::of([(RATE, records), (MB_RATE, flood.bytes() / 1e6 / seconds)])
}

/// The topic that is read, filled once for each side.
fn read_topic(ground: &mut Ground, side: Side) -> Outcome<(&'static str, u64)> {
    const NAME: &str = "bench-read";
    let flood = Flood::of_kib(NAME, ground.scale.flood_bytes);
    ground.filled(side, NAME, PARTITIONS, |bootstrap| produce::flood(bootstrap, &flood))?;
    Ok((NAME, flood.records))
}

pub(super) fn consume(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let (topic, records) = read_topic(ground, subject.side)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let meter = Meter::start(ground.pids(subject.side)?)?;
    consume::drain(&bootstrap, topic, PARTITIONS, records)?;
    let spent = meter.stop()?;
    let rate = records as f64 / spent.wall.as_secs_f64();
    Ok(Sample::of([(RATE, rate)]).and(spent.per_gb(records as f64 * 1024.0)))
}

pub(super) fn consume_cold(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let (topic, records) = read_topic(ground, subject.side)?;
    for folder in ground.system(subject.side)?.data_folders()? {
        evict(&folder)?;
    }
    drained_beside(ground, subject, topic, records, 1000)
}

pub(super) fn backlog(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let (topic, records) = read_topic(ground, subject.side)?;
    drained_beside(ground, subject, topic, records, 5000)
}

/// Drains a topic while another one is produced to, whose latencies tell whether that suffers.
fn drained_beside(
    ground: &mut Ground,
    subject: Subject,
    topic: &str,
    records: u64,
    rate: u32,
) -> Outcome<Sample> {
    let beside = ground.new_topic(subject, PARTITIONS)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let pace = Pace { topic: &beside, rate, size: 1024 };
    let stop = AtomicBool::new(false);
    let (spent, latencies) = std::thread::scope(|scope| {
        let paced = scope.spawn(|| latency::paced(&bootstrap, pace, BESIDE_MAX, Some(&stop)));
        // The producer is past its first records.
        std::thread::sleep(Duration::from_millis(600));
        let drained = (|| {
            let meter = Meter::start(ground.pids(subject.side)?)?;
            consume::drain(&bootstrap, topic, PARTITIONS, records)?;
            meter.stop()
        })();
        stop.store(true, Ordering::Release);
        let latencies = paced.join().map_err(|_| "the producer panicked".to_owned())?;
        Ok::<_, String>((drained?, latencies?))
    })?;
    ground.remove_topic(subject, &beside)?;
    let drained = records as f64 / spent.wall.as_secs_f64();
    Ok(percentiles(latencies)
        .and(Sample::of([(RATE, drained)]))
        .and(spent.per_gb(records as f64 * 1024.0)))
}

/// Takes a folder's segments out of the page cache, but for those that are deleted meanwhile.
fn evict(folder: &Path) -> Outcome {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    let Some(entries) = if_there(std::fs::read_dir(folder)).map_err(failed)? else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            evict(&path)?;
        } else if path.extension().is_some_and(|it| it == "log") {
            let Some(file) = if_there(std::fs::File::open(&path)).map_err(failed)? else {
                continue;
            };
            // Only what is on the disk can be let go of.
            file.sync_data().map_err(failed)?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// What was found, if it is still there.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

pub(super) fn lz4(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    compressed(ground, subject, "lz4")
}

pub(super) fn zstd(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    compressed(ground, subject, "zstd")
}

fn compressed(ground: &mut Ground, subject: Subject, codec: &str) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, PARTITIONS)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let settings: &[_] = &[("compression.type", codec)];
    let flood =
        Flood { shrinks: true, settings, ..Flood::of_kib(&topic, ground.scale.flood_bytes) };
    let meter = Meter::start(ground.pids(subject.side)?)?;
    produce::flood(&bootstrap, &flood)?;
    consume::drain(&bootstrap, &topic, PARTITIONS, flood.records)?;
    let spent = meter.stop()?;
    ground.remove_topic(subject, &topic)?;
    Ok(rates(&flood, &spent).and(spent.per_gb(flood.bytes())))
}

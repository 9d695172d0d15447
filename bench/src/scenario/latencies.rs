//! How long a record takes.

use vltava_e2e::Outcome;

use crate::figure::{Figure, RATE, Sample, percentiles};
use crate::ground::Ground;
use crate::latency::{self, Pace};
use crate::meter::Meter;
use crate::subject::Subject;

const PARTITIONS: i32 = 6;
const SIZE: usize = 1024;
const TRANSACTIONS: Figure = Figure::yield_of("transactions/s");

pub(super) fn produce(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    paced(ground, subject, 5000)
}

pub(super) fn produce_replicated(
    ground: &mut Ground,
    subject: Subject,
    _: usize,
) -> Outcome<Sample> {
    paced(ground, subject, 1000)
}

fn paced(ground: &mut Ground, subject: Subject, rate: u32) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, PARTITIONS)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let lasts = ground.scale.paced;
    let meter = Meter::start(ground.pids(subject.side)?)?;
    let pace = Pace { topic: &topic, rate, size: SIZE };
    let latencies = latency::paced(&bootstrap, pace, lasts, None)?;
    let spent = meter.stop()?;
    ground.remove_topic(subject, &topic)?;
    let records = latencies.len() as f64;
    Ok(percentiles(latencies).and(spent.per_record(records)))
}

pub(super) fn end_to_end(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, PARTITIONS)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let lasts = ground.scale.paced;
    let meter = Meter::start(ground.pids(subject.side)?)?;
    let pace = Pace { topic: &topic, rate: 2000, size: SIZE };
    let latencies = latency::end_to_end(&bootstrap, pace, PARTITIONS, lasts)?;
    let spent = meter.stop()?;
    ground.remove_topic(subject, &topic)?;
    let records = latencies.len() as f64;
    Ok(percentiles(latencies).and(spent.per_record(records)))
}

pub(super) fn serial(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, 1)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let lasts = ground.scale.paced / 2;
    let meter = Meter::start(ground.pids(subject.side)?)?;
    let latencies = latency::serial(&bootstrap, &topic, SIZE, lasts)?;
    let spent = meter.stop()?;
    ground.remove_topic(subject, &topic)?;
    let records = latencies.len() as f64;
    let rate = Sample::of([(RATE, records / lasts.as_secs_f64())]);
    Ok(rate.and(percentiles(latencies)).and(spent.per_record(records)))
}

/// The log of the coordinator's decisions is synced as each system comes: ours is.
pub(super) fn transaction(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, 1)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let lasts = ground.scale.paced;
    let meter = Meter::start(ground.pids(subject.side)?)?;
    let latencies = latency::transactions(&bootstrap, &topic, SIZE, lasts)?;
    let spent = meter.stop()?;
    ground.remove_topic(subject, &topic)?;
    let count = latencies.len() as f64;
    let rate = Sample::of([(TRANSACTIONS, count / lasts.as_secs_f64())]);
    Ok(rate.and(percentiles(latencies)).and(spent.per_record(count)))
}

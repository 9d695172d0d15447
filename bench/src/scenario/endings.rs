//! How long it takes to begin, and to begin again.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use vltava_e2e::Outcome;
use vltava_e2e::producers::{Load, Options};

use crate::client;
use crate::figure::{Figure, Sample};
use crate::ground::Ground;
use crate::subject::Subject;

/// From the start of the nodes until a record is acknowledged.
pub(super) const FIRST_ACK: Figure = Figure::cost("ms from start to first ack");
/// The longest time without an acknowledgement.
pub(super) const GAP: Figure = Figure::cost("ms of the longest gap");

/// A client that tries again at once: else its pauses would be measured.
const EAGER: &[(&str, &str)] = &[
    ("acks", "all"),
    ("linger.ms", "0"),
    ("reconnect.backoff.ms", "5"),
    ("reconnect.backoff.max.ms", "10"),
    ("retry.backoff.ms", "5"),
    ("topic.metadata.refresh.fast.interval.ms", "10"),
];

pub(super) fn start(ground: &mut Ground, subject: Subject, _: usize) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, 1)?;
    let took = restarted(ground, subject, &topic)?;
    ground.remove_topic(subject, &topic)?;
    Ok(Sample::of([(FIRST_ACK, took.as_secs_f64() * 1000.0)]))
}

/// Stops all nodes in order and starts them again: the time from the start until a record of a
/// client that tries all the time is acknowledged.
pub(super) fn restarted(ground: &mut Ground, subject: Subject, topic: &str) -> Outcome<Duration> {
    let bootstrap = ground.bootstrap(subject.side)?;
    let system = ground.system_mut(subject.side)?;
    system.end_all()?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let acked = scope.spawn(|| first_ack(&bootstrap, topic, start));
        let started = system.start_again();
        let acked = acked.join().map_err(|_| "the producer panicked".to_owned())?;
        started?;
        acked
    })
}

/// When the first record is acknowledged, counted from `start`.
fn first_ack(bootstrap: &str, topic: &str, start: Instant) -> Outcome<Duration> {
    let producer: BaseProducer =
        client::config(bootstrap, EAGER).create().map_err(|error| error.to_string())?;
    let record = BaseRecord::<(), str>::to(topic).payload("first").partition(0);
    producer.send(record).map_err(|(error, _)| format!("send: {error}"))?;
    producer.flush(Duration::from_secs(120)).map_err(|error| format!("flush: {error}"))?;
    Ok(start.elapsed())
}

pub(super) fn failover(ground: &mut Ground, subject: Subject, round: usize) -> Outcome<Sample> {
    let topic = ground.new_topic(subject, 1)?;
    let bootstrap = ground.bootstrap(subject.side)?;
    let load = Load::start(Options {
        bootstrap: bootstrap.clone(),
        topic: topic.clone(),
        id: round as u32,
        rate: 1000,
        partition: Some(0),
        settings: Vec::new(),
        log: None,
    })?;
    std::thread::sleep(Duration::from_secs(2));
    load.reset_gap();
    let leader = leader(&bootstrap, &topic)?;
    ground.system(subject.side)?.kill(leader)?;
    std::thread::sleep(Duration::from_secs(20));
    let gap = load.longest_gap();
    let report = load.finish()?;
    ground.system_mut(subject.side)?.start_again()?;
    if let Some((_, error)) = report.failed.first() {
        return Err(format!("a record was given up: {error}"));
    }
    ground.remove_topic(subject, &topic)?;
    Ok(Sample::of([(GAP, gap.as_secs_f64() * 1000.0)]))
}

/// Who leads the topic's first partition.
fn leader(bootstrap: &str, topic: &str) -> Outcome<i32> {
    let consumer: BaseConsumer =
        client::config(bootstrap, &[]).create().map_err(|error| error.to_string())?;
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .map_err(|error| format!("metadata: {error}"))?;
    let partition = metadata.topics().iter().flat_map(|it| it.partitions()).next();
    partition.map(|it| it.leader()).ok_or_else(|| format!("{topic} has no partition"))
}

//! Transactional clients that note what became of each transaction, and the check that readers of
//! what is committed saw just that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::Outcome;

mod settled;

pub use settled::settled;

/// Its delivery reports are polled for in a thread of its own.
type Client = ThreadedProducer<DefaultProducerContext>;

/// How long one step of a transaction may take before it is tried again.
pub(crate) const STEP: Duration = Duration::from_secs(20);

/// How a transaction ended, as its producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was committed.
    Committed,
    /// It was aborted, or its producer left it behind and another one took over.
    Aborted,
    /// The producer was not told.
    Unknown,
}

/// One transaction: the texts of its records are `worker:number:index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whose it is.
    pub worker: u32,
    /// Its number among the worker's.
    pub number: u64,
    /// How many records it has.
    pub records: u32,
    /// How it ended.
    pub end: End,
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A transactional producer that has taken over its id; `None` if it is to stop first.
pub(crate) fn producer<C: ProducerContext + 'static>(
    bootstrap: &str,
    id: &str,
    stop: &AtomicBool,
    context: impl Fn() -> C,
) -> Outcome<Option<ThreadedProducer<C>>> {
    while !stop.load(Ordering::Acquire) {
        let producer: ThreadedProducer<C> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", id)
            .set("transaction.timeout.ms", "15000")
            .set("linger.ms", "5")
            .create_with_context(context())
            .map_err(failed)?;
        if producer.init_transactions(STEP).is_ok() {
            return Ok(Some(producer));
        }
    }
    Ok(None)
}

/// Tries a step until it succeeds or will not by trying again.
pub(crate) fn step(mut step: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match step() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            other => return other,
        }
    }
}

/// Commits offsets within a transaction. One call goes to a thread of its own, and is left there if
/// it does not come back: librdkafka 2.12 waits forever for a group's coordinator that left the
/// metadata while it was asked for (it waits for the connection of a broker that it has given up).
///
/// # Errors
/// If they are not committed, which leaves the transaction to be aborted.
pub(crate) fn send_offsets<C: ProducerContext + 'static>(
    producer: &ThreadedProducer<C>,
    offsets: TopicPartitionList,
    member: ConsumerGroupMetadata,
) -> Outcome {
    let (done, outcome) = mpsc::channel();
    let producer = producer.clone();
    std::thread::spawn(move || {
        let sent = step(|| producer.send_offsets_to_transaction(&offsets, &member, STEP));
        drop(producer);
        // Who has given up hears of it no more.
        let _ = done.send(sent.map_err(failed));
    });
    outcome.recv_timeout(STEP * 3).map_err(failed)?
}

/// Ends a transaction; says how it ended, and whether the producer can go on.
pub(crate) fn end<C: ProducerContext + 'static>(
    producer: &ThreadedProducer<C>,
    commits: bool,
) -> (End, bool) {
    if commits {
        match step(|| producer.commit_transaction(STEP)) {
            Ok(()) => return (End::Committed, true),
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {}
            Err(_) => return (End::Unknown, false),
        }
    }
    match step(|| producer.abort_transaction(STEP)) {
        Ok(()) => (End::Aborted, true),
        // It was not committed, whatever becomes of the abort.
        Err(_) => (End::Aborted, false),
    }
}

/// A client that writes transactions of a few records each: most it commits, some it aborts, some
/// it leaves behind.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<Transaction>>>,
}

impl Writer {
    /// Starts to write to all partitions of a topic.
    pub fn start(bootstrap: String, topic: &'static str, worker: u32, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || write(&bootstrap, topic, worker, seed, &stopping));
        Self { stop, thread }
    }

    /// Stops, and tells what became of each transaction. The last one is left behind open.
    ///
    /// # Errors
    /// Settings that librdkafka does not take.
    pub fn finish(self) -> Outcome<Vec<Transaction>> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "a writer's thread panicked".to_owned())?
    }
}

fn write(
    bootstrap: &str,
    topic: &str,
    worker: u32,
    seed: u64,
    stop: &AtomicBool,
) -> Outcome<Vec<Transaction>> {
    let mut random = StdRng::seed_from_u64(seed ^ u64::from(worker));
    let mut done: Vec<Transaction> = Vec::new();
    let id = format!("writer-{worker}");
    while let Some(producer) = producer(bootstrap, &id, stop, || DefaultProducerContext)? {
        loop {
            let number = done.len() as u64;
            let records = random.random_range(1..6);
            let transaction = Transaction { worker, number, records, end: End::Aborted };
            if producer.begin_transaction().is_err() {
                break;
            }
            let sent = send(&producer, topic, &transaction);
            if stop.load(Ordering::Acquire) || random.random_ratio(1, 40) {
                // The next producer of this id, or the coordinator, has to abort it.
                let _ = producer.flush(Duration::from_secs(2));
                done.push(transaction);
                break;
            }
            let (ended, goes_on) = end(&producer, sent.is_ok() && !random.random_ratio(1, 4));
            done.push(Transaction { end: ended, ..transaction });
            if !goes_on {
                break;
            }
        }
        if stop.load(Ordering::Acquire) {
            break;
        }
    }
    Ok(done)
}

fn send(producer: &Client, topic: &str, transaction: &Transaction) -> Result<(), KafkaError> {
    for index in 0..transaction.records {
        let text = format!("{}:{}:{index}", transaction.worker, transaction.number);
        let record = BaseRecord::<str, str>::to(topic).key(&text).payload(&text);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(())
}

/// A client that copies records from one topic to another, in transactions that also commit how far
/// it has read (KIP-447).
pub struct Copier {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<u64>>,
}

impl Copier {
    /// Starts to copy, as a member of the group `copiers`.
    pub fn start(bootstrap: String, from: &'static str, to: &'static str, number: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || copy(&bootstrap, from, to, number, &stopping));
        Self { stop, thread }
    }

    /// Stops, and tells how many transactions it committed.
    ///
    /// # Errors
    /// Settings that librdkafka does not take.
    pub fn finish(self) -> Outcome<u64> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "a copier's thread panicked".to_owned())?
    }
}

fn copy(bootstrap: &str, from: &str, to: &str, number: u32, stop: &AtomicBool) -> Outcome<u64> {
    let mut committed = 0;
    let id = format!("copier-{number}");
    while let Some(producer) = producer(bootstrap, &id, stop, || DefaultProducerContext)? {
        let consumer = reader(bootstrap, "copiers")?;
        consumer.subscribe(&[from]).map_err(failed)?;
        // After an abort the group's offsets say where to go on: a new member asks for them.
        while !stop.load(Ordering::Acquire) {
            match copy_some(&consumer, &producer, to) {
                Ok(copied) => committed += u64::from(copied),
                Err(_) => {
                    let _ = step(|| producer.abort_transaction(STEP));
                    break;
                }
            }
        }
    }
    Ok(committed)
}

/// One transaction; says whether there was anything to copy.
fn copy_some(consumer: &BaseConsumer, producer: &Client, to: &str) -> Outcome<bool> {
    let mut next: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for _ in 0..50 {
        let wait = if next.is_empty() { 200 } else { 5 };
        let Some(polled) = consumer.poll(Duration::from_millis(wait)) else { break };
        let Ok(message) = polled else { continue };
        if next.is_empty() {
            producer.begin_transaction().map_err(failed)?;
        }
        let payload = message.payload().unwrap_or_default();
        let record = BaseRecord::<[u8], [u8]>::to(to).key(payload).payload(payload);
        producer.send(record).map_err(|(error, _)| failed(error))?;
        next.insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
    }
    if next.is_empty() {
        return Ok(false);
    }
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), offset) in &next {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(failed)?;
    }
    let member = consumer.group_metadata().ok_or("no member")?;
    send_offsets(producer, offsets, member)?;
    step(|| producer.commit_transaction(STEP)).map_err(failed)?;
    Ok(true)
}

/// A consumer that sees of transactions what was committed.
fn reader(bootstrap: &str, group: &str) -> Outcome<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .create()
        .map_err(failed)
}

/// One who reads along what is committed.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<String>>>,
}

impl Reader {
    /// Starts to read a topic from its beginning.
    pub fn start(bootstrap: String, topic: &'static str, partitions: i32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread =
            std::thread::spawn(move || read_along(&bootstrap, topic, partitions, &stopping));
        Self { stop, thread }
    }

    /// Stops once nothing new has come for some seconds; returns all that was read.
    ///
    /// # Errors
    /// Settings that librdkafka does not take.
    pub fn finish(self) -> Outcome<Vec<String>> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "a reader's thread panicked".to_owned())?
    }
}

fn read_along(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    stop: &AtomicBool,
) -> Outcome<Vec<String>> {
    let consumer = reader(bootstrap, "e2e-reader")?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(failed)?;
    }
    consumer.assign(&assignment).map_err(failed)?;
    let mut read = Vec::new();
    let mut silent_polls = 0;
    while !stop.load(Ordering::Acquire) || silent_polls < 10 {
        match consumer.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => {
                silent_polls = 0;
                let text = String::from_utf8_lossy(message.payload().unwrap_or_default());
                read.push(text.into_owned());
            }
            _ => silent_polls += 1,
        }
    }
    Ok(read)
}

/// Holds what was read against what became of each transaction: all of one that was committed,
/// once; nothing of one that was aborted; all or nothing where nobody knows. Returns how many were
/// seen.
///
/// # Errors
/// The first ten findings.
pub fn only_committed(transactions: &[Transaction], read: &[String]) -> Outcome<usize> {
    let mut findings = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for text in read {
        if !seen.insert(text) {
            findings.push(format!("{text} came twice"));
        }
    }
    let mut visible = 0;
    let mut expected = 0;
    for transaction in transactions {
        let Transaction { worker, number, records, end } = *transaction;
        let there = (0..records)
            .filter(|index| seen.contains(format!("{worker}:{number}:{index}").as_str()))
            .count();
        let (all, none) = (there == records as usize, there == 0);
        let is_right = match end {
            End::Committed => all,
            End::Aborted => none,
            End::Unknown => all || none,
        };
        if !is_right {
            findings.push(format!("{there} of {records} of {worker}:{number}, {end:?}"));
        }
        visible += usize::from(all);
        expected += there;
    }
    if expected != seen.len() {
        findings.push(format!("{} records that nobody wrote", seen.len() - expected));
    }
    if findings.is_empty() {
        return Ok(visible);
    }
    let count = findings.len();
    findings.truncate(10);
    Err(format!("{count} findings:\n  {}", findings.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(end: End) -> [Transaction; 1] {
        [Transaction { worker: 1, number: 7, records: 2, end }]
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_was_committed_is_there_once_and_whole() {
        let both = texts(&["1:7:0", "1:7:1"]);
        assert_eq!(only_committed(&one(End::Committed), &both), Ok(1));
        assert_eq!(only_committed(&one(End::Unknown), &both), Ok(1));
        assert_eq!(only_committed(&one(End::Unknown), &[]), Ok(0));
        assert_eq!(only_committed(&one(End::Aborted), &[]), Ok(0));
    }

    #[test]
    fn each_fault_is_found() {
        let lost = only_committed(&one(End::Committed), &texts(&["1:7:0"]));
        assert!(lost.unwrap_err().contains("1 of 2"));
        let dirty = only_committed(&one(End::Aborted), &texts(&["1:7:0", "1:7:1"]));
        assert!(dirty.unwrap_err().contains("Aborted"));
        let torn = only_committed(&one(End::Unknown), &texts(&["1:7:1"]));
        assert!(torn.unwrap_err().contains("Unknown"));
        let twice = only_committed(&one(End::Committed), &texts(&["1:7:0", "1:7:1", "1:7:1"]));
        assert!(twice.unwrap_err().contains("twice"));
        assert!(only_committed(&[], &texts(&["1:1:1"])).unwrap_err().contains("nobody wrote"));
    }
}

//! A consumer group that processes records and commits what it processed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::Outcome;

/// The highest offset that any member has processed, by partition.
type Processed = Arc<Mutex<BTreeMap<i32, i64>>>;

/// Members of one group, each in a thread of its own.
pub struct Group {
    bootstrap: String,
    topic: String,
    id: String,
    processed: Processed,
    stop: Arc<AtomicBool>,
    members: Vec<JoinHandle<u64>>,
}

impl Group {
    /// Starts so many members.
    ///
    /// # Errors
    /// Settings that librdkafka does not take.
    pub fn start(bootstrap: &str, topic: &str, id: &str, members: usize) -> Outcome<Self> {
        let mut group = Self {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            id: id.to_owned(),
            processed: Arc::default(),
            stop: Arc::default(),
            members: Vec::new(),
        };
        for _ in 0..members {
            let consumer = group.consumer()?;
            consumer.subscribe(&[topic]).map_err(|error| error.to_string())?;
            let (processed, stop) = (Arc::clone(&group.processed), Arc::clone(&group.stop));
            let topic = group.topic.clone();
            let member = move || process(&consumer, &topic, &processed, &stop);
            group.members.push(std::thread::spawn(member));
        }
        Ok(group)
    }

    fn consumer(&self) -> Outcome<BaseConsumer> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", &self.id)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .map_err(|error| error.to_string())
    }

    /// Waits until the members have processed up to these ends (the offset after the last record).
    ///
    /// # Errors
    /// Which partition they did not finish in time.
    pub fn drain(&self, ends: &BTreeMap<i32, i64>, limit: Duration) -> Outcome {
        crate::until("the end of every partition", limit, || {
            let processed = self.processed.lock().expect("no holder panics");
            match ends.iter().find(|(partition, end)| {
                **end > 0 && processed.get(*partition).is_none_or(|last| last + 1 < **end)
            }) {
                Some((partition, end)) => Err(format!(
                    "partition {partition}: processed {:?}, end {end}",
                    processed.get(partition)
                )),
                None => Ok(()),
            }
        })
    }

    /// Stops the members, then compares what is committed with what was processed.
    ///
    /// # Errors
    /// A committed offset beyond what any member has processed.
    pub fn finish(mut self) -> Outcome<u64> {
        self.stop.store(true, Ordering::Release);
        let mut total = 0;
        for member in std::mem::take(&mut self.members) {
            total += member.join().map_err(|_| "a member's thread panicked".to_owned())?;
        }
        let processed = self.processed.lock().expect("no holder panics").clone();
        let mut partitions = TopicPartitionList::new();
        processed.keys().for_each(|partition| {
            partitions.add_partition(&self.topic, *partition);
        });
        let committed = self
            .consumer()?
            .committed_offsets(partitions, Duration::from_secs(30))
            .map_err(|error| format!("the committed offsets of {}: {error}", self.id))?;
        for element in committed.elements() {
            if let Offset::Offset(offset) = element.offset() {
                let end = processed[&element.partition()] + 1;
                if offset > end {
                    return Err(format!(
                        "group {}: partition {} is committed at {offset}, processed to {end}",
                        self.id,
                        element.partition()
                    ));
                }
            }
        }
        Ok(total)
    }
}

/// One member: polls, notes, commits twice a second.
fn process(consumer: &BaseConsumer, topic: &str, processed: &Processed, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    let mut mine: BTreeMap<i32, i64> = BTreeMap::new();
    let mut committed = Instant::now();
    while !stop.load(Ordering::Acquire) {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            count += 1;
            mine.insert(message.partition(), message.offset());
            let mut all = processed.lock().expect("no holder panics");
            let last = all.entry(message.partition()).or_insert(message.offset());
            *last = (*last).max(message.offset());
        }
        if committed.elapsed() > Duration::from_millis(500) && !mine.is_empty() {
            let mut offsets = TopicPartitionList::new();
            for (partition, offset) in std::mem::take(&mut mine) {
                let next = Offset::Offset(offset + 1);
                let added = offsets.add_partition_offset(topic, partition, next);
                added.expect("a partition is added once");
            }
            // A commit that fails (a rebalance, a coordinator that moves) is made up for by the
            // next one.
            let _ = consumer.commit(&offsets, CommitMode::Async);
            committed = Instant::now();
        }
    }
    count
}

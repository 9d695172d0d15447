//! A consumer, with partitions of its choice or in a group, and the number of its assignment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

use super::clients::World;
use super::history::{Kind, Operation, Step};
use super::planted::Plant;
use crate::Outcome;

/// How long a poll waits for its first record, and for each further one.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(5)];
/// How long it may take until partitions are assigned, or read from elsewhere.
const SOUGHT: Duration = Duration::from_secs(10);

/// Counts assignments: whatever comes after a rebalance came by another one.
struct Assignments(Arc<AtomicU32>);

impl ClientContext for Assignments {}

impl ConsumerContext for Assignments {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// The reading side of a client.
pub(super) struct Reader {
    world: Arc<World>,
    client: u32,
    assignments: Arc<AtomicU32>,
    consumer: Option<BaseConsumer<Assignments>>,
    /// By partition, the offset after the last record that was polled.
    positions: BTreeMap<i32, i64>,
}

impl Reader {
    pub(super) fn new(world: &Arc<World>, client: u32) -> Self {
        Self {
            world: Arc::clone(world),
            client,
            assignments: Arc::default(),
            consumer: None,
            positions: BTreeMap::new(),
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        self.consumer.is_some()
    }

    fn made(&self, group: &str) -> Outcome<BaseConsumer<Assignments>> {
        let isolation = match self.world.planted {
            Some(Plant::Uncommitted) => "read_uncommitted",
            _ => "read_committed",
        };
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.world.bootstrap)
            .set("group.id", format!("{}-{group}", self.world.topic))
            .set("group.protocol", self.world.protocol())
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest");
        if self.world.protocol() == "classic" {
            // By the other protocol it is the group's to say.
            config.set("session.timeout.ms", "6000");
        }
        config
            .create_with_context(Assignments(Arc::clone(&self.assignments)))
            .map_err(|error| error.to_string())
    }

    /// Takes partitions, from these offsets on.
    pub(super) fn assign(&mut self, from: Vec<(i32, i64)>) -> Outcome {
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.made("nobody")?,
        };
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &from {
            list.add_partition_offset(&self.world.topic, *partition, Offset::Offset(*offset))
                .map_err(|error| error.to_string())?;
        }
        let assignment = self.assignments.fetch_add(1, Ordering::AcqRel) + 1;
        let operation = Operation::Assign { assignment, from };
        self.world.recorder.note(self.client, Kind::Invoke, operation.clone());
        consumer.assign(&list).map_err(|error| error.to_string())?;
        self.world.recorder.note(self.client, Kind::Ok, operation);
        self.consumer = Some(consumer);
        Ok(())
    }

    /// Becomes a member of a group, if it is none.
    pub(super) fn join(&mut self, group: &str) -> Outcome {
        if self.consumer.is_none() {
            let consumer = self.made(group)?;
            let subscribed = consumer.subscribe(&[&self.world.topic]);
            subscribed.map_err(|error| error.to_string())?;
            self.consumer = Some(consumer);
        }
        Ok(())
    }

    /// Leaves its group.
    pub(super) fn leave(&mut self) {
        self.consumer = None;
        self.assignments.fetch_add(1, Ordering::AcqRel);
    }

    /// Who it is in its group.
    pub(super) fn member(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.as_ref()?.group_metadata()
    }

    /// Commits, for its group, what it has polled. What is lost of that is read again.
    pub(super) fn commit(&self) {
        if let Some(consumer) = &self.consumer {
            let _ = consumer.commit_consumer_state(CommitMode::Async);
        }
    }

    /// Where it was in a partition.
    pub(super) fn position(&self, partition: i32) -> i64 {
        self.positions.get(&partition).copied().unwrap_or(0)
    }

    /// Goes back to these offsets, or leaves its group where it cannot.
    pub(super) fn seek(&mut self, to: &BTreeMap<i32, i64>) {
        self.assignments.fetch_add(1, Ordering::AcqRel);
        if self.sought(to).is_err() {
            self.leave();
        }
    }

    fn sought(&self, to: &BTreeMap<i32, i64>) -> Outcome {
        let consumer = self.consumer.as_ref().ok_or("no consumer")?;
        for (partition, offset) in to {
            consumer
                .seek(&self.world.topic, *partition, Offset::Offset(*offset), SOUGHT)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Polls for so many records at most: a step for each assignment by which they came.
    ///
    /// # Errors
    /// A record that no client wrote.
    pub(super) fn poll(&mut self, most: usize, random: &mut StdRng) -> Outcome<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        for number in 0..most {
            let Some(consumer) = &self.consumer else { break };
            let wait = WAITS[usize::from(number > 0)];
            let message = match consumer.poll(wait) {
                Some(Ok(message)) => message,
                Some(Err(_)) => continue,
                None => break,
            };
            let (partition, offset) = (message.partition(), message.offset());
            let text = String::from_utf8_lossy(message.payload().unwrap_or_default());
            let value = text.parse().map_err(|_| {
                format!("a record that no client wrote, at {partition}/{offset}: {text:?}")
            })?;
            self.positions.insert(partition, offset + 1);
            if self.world.planted == Some(Plant::Unnoted) && random.random_ratio(1, 20) {
                continue;
            }
            let now = self.assignments.load(Ordering::Acquire);
            match steps.last_mut() {
                Some(Step::Poll { assignment, records }) if *assignment == now => {
                    records.push((partition, offset, value));
                }
                _ => steps.push(Step::Poll {
                    assignment: now,
                    records: vec![(partition, offset, value)],
                }),
            }
        }
        if self.world.planted == Some(Plant::Rewound) && random.random_ratio(1, 20) {
            self.rewind(&steps);
        }
        Ok(steps)
    }

    /// Goes back to the beginning of what was just polled, without a word.
    fn rewind(&self, steps: &[Step]) {
        if let Some(Step::Poll { records, .. }) = steps.last()
            && let Some((partition, offset, _)) = records.first()
        {
            // Where it cannot go back, another time comes.
            let _ = self.sought(&BTreeMap::from([(*partition, *offset)]));
        }
    }
}

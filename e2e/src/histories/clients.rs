//! Clients that do one operation after another, at random, and note each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::history::{Kind, Operation, Polled, Recorder, Step, UNTOLD};
use super::planted::{Plant, elsewhere};
use super::reader::Reader;
use super::sender::{Acks, Sender, wait_for};
use crate::Outcome;
use crate::transactions::{self, End, STEP};

/// How long plain records may take to be acknowledged; librdkafka gives them up before.
const ACKED: Duration = Duration::from_secs(30);
/// The longest rest between two operations, in ms: two cores are to serve all clients and nodes.
const REST_MS: u64 = 30;

/// What kind of operations a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Sends records.
    Sender,
    /// Sends and polls in transactions.
    Transactor,
    /// Polls, as a member of a group, and commits what it has read together with what it sends.
    Processor,
    /// Takes partitions and polls.
    Poller,
    /// Polls as a member of a group.
    Member,
}

/// What all clients of a history have in common.
pub(super) struct World {
    pub(super) bootstrap: String,
    pub(super) topic: String,
    pub(super) partitions: i32,
    pub(super) seed: u64,
    pub(super) planted: Option<Plant>,
    pub(super) recorder: Recorder,
    pub(super) values: AtomicU64,
    pub(super) stop: AtomicBool,
}

impl World {
    fn has(&self, plant: Plant) -> bool {
        self.planted == Some(plant)
    }

    /// The protocol of the groups: that of KIP-848 with every second seed.
    pub(super) fn protocol(&self) -> &'static str {
        if self.seed.is_multiple_of(2) { "classic" } else { "consumer" }
    }

    /// The first partition that anybody reads.
    pub(super) fn first_read(&self) -> i32 {
        i32::from(self.has(Plant::Unread))
    }
}

/// A client.
pub(super) struct Client {
    world: Arc<World>,
    number: u32,
    role: Role,
    random: StdRng,
    sender: Option<Sender>,
    reader: Reader,
}

impl Client {
    pub(super) fn new(world: &Arc<World>, number: u32, role: Role) -> Self {
        Self {
            world: Arc::clone(world),
            number,
            role,
            random: StdRng::seed_from_u64(world.seed ^ (u64::from(number) << 32)),
            sender: None,
            reader: Reader::new(world, number),
        }
    }

    /// Does operations until it is to stop.
    ///
    /// # Errors
    /// Settings that librdkafka does not take, or a record that no client wrote.
    pub(super) fn run(mut self) -> Outcome {
        while !self.world.stop.load(Ordering::Acquire) {
            match self.role {
                Role::Sender => self.send()?,
                Role::Transactor => self.transact()?,
                Role::Processor => self.process()?,
                Role::Poller => self.poll_assigned()?,
                Role::Member => self.poll_as_member()?,
            }
            let rest = self.random.random_range(0..=REST_MS);
            std::thread::sleep(Duration::from_millis(rest));
        }
        Ok(())
    }

    fn note(&self, kind: Kind, operation: Operation) {
        self.world.recorder.note(self.number, kind, operation);
    }

    fn plan_send(&mut self) -> Step {
        let partition = match self.world.planted {
            Some(Plant::Reversed) => 0,
            _ => self.random.random_range(0..self.world.partitions),
        };
        let value = self.world.values.fetch_add(1, Ordering::Relaxed);
        Step::Send { partition, value, ack: None }
    }

    /// Sends a few records, each for itself.
    fn send(&mut self) -> Outcome {
        let count = self.random.random_range(2..6);
        let mut steps: Vec<Step> = (0..count).map(|_| self.plan_send()).collect();
        // Who is impatient gives records up while a leader is away.
        let patience = if self.random.random_bool(0.5) { "3000" } else { "20000" };
        let sender = match self.sender.take() {
            Some(sender) => sender,
            None => ClientConfig::new()
                .set("bootstrap.servers", &self.world.bootstrap)
                .set("enable.idempotence", "true")
                .set("message.timeout.ms", patience)
                .create_with_context(Acks::default())
                .map_err(|error| error.to_string())?,
        };
        self.note(Kind::Invoke, Operation::Plain { steps: steps.clone() });
        sender.context().forget();
        for step in &steps {
            self.hand_over(&sender, step);
        }
        wait_for(&sender, steps.len(), ACKED);
        let flushed = sender.flush(ACKED);
        sender.context().fill(&mut steps);
        let is_acked = |step: &Step| matches!(step, Step::Send { ack: Some(_), .. });
        let done = flushed.is_ok() && steps.iter().all(is_acked);
        self.distort(&mut steps);
        self.note(if done { Kind::Ok } else { Kind::Info }, Operation::Plain { steps });
        self.sender = done.then_some(sender);
        Ok(())
    }

    /// Gives a record to librdkafka; that it does not take it shows by the missing acknowledgement.
    fn hand_over(&mut self, sender: &Sender, step: &Step) {
        let Step::Send { partition, value, .. } = step else { return };
        let is_distorted = self.role == Role::Sender && self.random.random_ratio(1, 5);
        let topic = match self.world.planted {
            Some(Plant::Elsewhere) if is_distorted => elsewhere(&self.world.topic),
            _ => self.world.topic.clone(),
        };
        let times = if is_distorted && self.world.has(Plant::Twice) { 2 } else { 1 };
        let text = value.to_string();
        for _ in 0..times {
            let record = BaseRecord::<str, str, Box<u64>>::with_opaque_to(&topic, Box::new(*value))
                .partition(*partition)
                .key(&text)
                .payload(&text);
            let _ = sender.send(record);
        }
    }

    /// Notes otherwise than it was, where that is planted.
    fn distort(&mut self, steps: &mut [Step]) {
        if self.world.has(Plant::Reversed) {
            steps.reverse();
        }
        if self.world.has(Plant::NextOffset) && self.random.random_ratio(1, 5) {
            for step in steps {
                if let Step::Send { ack: Some(offset), .. } = step
                    && *offset != UNTOLD
                {
                    *offset += 1;
                }
            }
        }
    }

    /// The transactional producer; `None` if the client is to stop before it has one.
    fn transactional(&mut self) -> Outcome<Option<Sender>> {
        if let Some(sender) = self.sender.take() {
            return Ok(Some(sender));
        }
        let World { bootstrap, topic, stop, .. } = &*self.world;
        let id = format!("{topic}-{}", self.number);
        transactions::producer(bootstrap, &id, stop, Acks::default)
    }

    /// Sends and polls a few times in one transaction, which it commits, aborts or leaves behind.
    fn transact(&mut self) -> Outcome {
        let Some(sender) = self.transactional()? else { return Ok(()) };
        let count = self.random.random_range(1..5);
        let plan: Vec<Option<Step>> =
            (0..count).map(|_| self.random.random_bool(0.6).then(|| self.plan_send())).collect();
        self.assign_at_times()?;
        let begun = plan.iter().flatten().cloned().collect();
        self.note(Kind::Invoke, Operation::Transaction { consumes: false, steps: begun });
        sender.context().forget();
        if sender.begin_transaction().is_err() {
            let steps = plan.into_iter().flatten().collect();
            self.note(Kind::Fail, Operation::Transaction { consumes: false, steps });
            return Ok(());
        }
        let mut steps = Vec::new();
        for planned in plan {
            match planned {
                Some(step) => {
                    self.hand_over(&sender, &step);
                    steps.push(step);
                }
                None => steps.extend(self.reader.poll(20, &mut self.random)?),
            }
        }
        let is_sent = |step: &&Step| matches!(step, Step::Send { .. });
        wait_for(&sender, steps.iter().filter(is_sent).count(), STEP);
        let (kind, goes_on) = self.end(&sender, Ok(()));
        sender.context().fill(&mut steps);
        self.note(kind, Operation::Transaction { consumes: false, steps });
        self.sender = goes_on.then_some(sender);
        Ok(())
    }

    /// Ends a transaction, in most cases by a commit if its steps were taken; says how it ended and
    /// whether its producer can go on.
    fn end(&mut self, sender: &Sender, taken: Result<(), String>) -> (Kind, bool) {
        if taken.is_ok() && self.random.random_ratio(1, 30) {
            // The next producer of this id, or the coordinator, has to abort it.
            let _ = sender.flush(Duration::from_secs(2));
            return (Kind::Fail, false);
        }
        if taken.is_ok() && self.random.random_ratio(1, 15) {
            return self.commit_impatiently(sender);
        }
        let commits = taken.is_ok() && !self.random.random_ratio(1, 5);
        let (end, goes_on) = transactions::end(sender, commits);
        let kind = match end {
            End::Committed => Kind::Ok,
            End::Aborted => Kind::Fail,
            End::Unknown => Kind::Info,
        };
        (kind, goes_on)
    }

    /// Asks for a commit, and does not wait for long: another producer takes over in its midst.
    fn commit_impatiently(&mut self, sender: &Sender) -> (Kind, bool) {
        let patience = Duration::from_millis(self.random.random_range(1..30));
        let flushed = sender.flush(STEP);
        match flushed.and_then(|()| sender.commit_transaction(patience)) {
            Ok(()) => (Kind::Ok, true),
            Err(_) => (Kind::Info, false),
        }
    }

    /// Reads a few records and sends one for them, in a transaction that also commits, for the
    /// group, how far it has read (KIP-447).
    fn process(&mut self) -> Outcome {
        let Some(sender) = self.transactional()? else { return Ok(()) };
        self.reader.join("processors")?;
        let polls = self.reader.poll(10, &mut self.random)?;
        let [Step::Poll { records, .. }] = polls.as_slice() else {
            // Of what came by two assignments, the first may be another member's by now.
            if !polls.is_empty() {
                self.reader.leave();
            }
            self.sender = Some(sender);
            return Ok(());
        };
        let (first, next) = ends(records);
        let sent = self.plan_send();
        let begun = vec![sent.clone()];
        self.note(Kind::Invoke, Operation::Transaction { consumes: true, steps: begun });
        sender.context().forget();
        let taken = sender.begin_transaction().map_err(|error| error.to_string());
        let taken = taken.and_then(|()| {
            self.hand_over(&sender, &sent);
            let offsets = self.offsets(&next)?;
            let member = self.reader.member().ok_or("no member of the group")?;
            transactions::send_offsets(&sender, offsets, member)
        });
        let (kind, goes_on) = self.end(&sender, taken);
        let mut steps = [polls, vec![sent]].concat();
        sender.context().fill(&mut steps);
        self.note(kind, Operation::Transaction { consumes: true, steps });
        match kind {
            Kind::Fail => self.reader.seek(&first),
            Kind::Ok if self.world.has(Plant::Again) => self.reader.seek(&first),
            Kind::Ok => {}
            Kind::Info | Kind::Invoke => self.reader.leave(),
        }
        self.sender = goes_on.then_some(sender);
        Ok(())
    }

    fn offsets(&self, next: &BTreeMap<i32, i64>) -> Outcome<TopicPartitionList> {
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in next {
            offsets
                .add_partition_offset(&self.world.topic, *partition, Offset::Offset(*offset))
                .map_err(|error| error.to_string())?;
        }
        Ok(offsets)
    }

    /// Takes other partitions now and then, from their beginning or from where it was.
    fn assign_at_times(&mut self) -> Outcome {
        if self.reader.is_reading() && !self.random.random_ratio(1, 40) {
            return Ok(());
        }
        let World { partitions, .. } = *self.world;
        let first = self.world.first_read();
        let mut from = Vec::new();
        for partition in first..partitions {
            if partition == first || self.random.random_bool(0.6) {
                let anew = self.random.random_ratio(1, 3);
                from.push((partition, if anew { 0 } else { self.reader.position(partition) }));
            }
        }
        self.reader.assign(from)
    }

    fn poll_assigned(&mut self) -> Outcome {
        self.assign_at_times()?;
        self.polled(100)
    }

    fn polled(&mut self, most: usize) -> Outcome {
        self.note(Kind::Invoke, Operation::Plain { steps: Vec::new() });
        let steps = self.reader.poll(most, &mut self.random)?;
        self.note(Kind::Ok, Operation::Plain { steps });
        Ok(())
    }

    fn poll_as_member(&mut self) -> Outcome {
        if self.random.random_ratio(1, 100) {
            self.reader.leave();
        }
        self.reader.join("members")?;
        self.polled(100)?;
        self.reader.commit();
        Ok(())
    }
}

/// By partition, the first offset of what was polled and the one after the last.
fn ends(records: &[Polled]) -> (BTreeMap<i32, i64>, BTreeMap<i32, i64>) {
    let (mut first, mut next) = (BTreeMap::new(), BTreeMap::new());
    for (partition, offset, _) in records {
        first.entry(*partition).or_insert(*offset);
        next.insert(*partition, offset + 1);
    }
    (first, next)
}

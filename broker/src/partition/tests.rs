//! Scenarios of replicas that talk to each other by direct calls: no network, no clock, no threads,
//! and a disk that loses what was not synced.

mod commit;
mod compaction;
mod elections;
mod faults;
mod moving;
mod throttling;
mod transactions;

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use vltava_config::topic::TopicConfig;
use vltava_config::{Values, keys};
use vltava_log::{AppendOrigin, Disk, FaultyDisk, Log, OpenOptions, Verification};
use vltava_metadata::{LeaderRecoveryState, PartitionRegistration};
use vltava_wire::batch::{BatchBuilder, Batches};
use vltava_wire::{BrokerEpoch, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Uuid};

use super::append::FromLeader;
use super::dirs::{LogDir, Owner};
use super::flusher::FlushQueue;
use super::read::{ReadAt, Reader};
use super::room::Room;
use super::settings::Settings;
use super::surroundings::{News, Peers, Surroundings};
use super::*;
use crate::replication::isr::{Committed, Outcome};

type Epochs = Arc<Mutex<BTreeMap<NodeId, BrokerEpoch>>>;

struct Registered(Epochs);

impl Peers for Registered {
    fn epoch(&self, node: NodeId) -> Option<BrokerEpoch> {
        self.0.lock().get(&node).copied()
    }

    fn is_alive(&self, node: NodeId) -> bool {
        self.epoch(node).is_some()
    }

    fn is_active(&self, node: NodeId) -> bool {
        self.epoch(node).is_some()
    }
}

struct Node {
    id: NodeId,
    disk: FaultyDisk,
    flushes: Arc<FlushQueue>,
    news: mpsc::UnboundedReceiver<News>,
    partition: Arc<Partition>,
}

/// Three brokers that hold the same partition, and the metadata that they are told.
struct World {
    nodes: Vec<Node>,
    registered: Epochs,
    registration: PartitionRegistration,
    settings: Settings,
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn settings(topic: &[(&str, &str)]) -> Settings {
    let values = Values::from_pairs([(keys::MIN_INSYNC_REPLICAS.name(), "2")]).expect("values");
    let config = TopicConfig::resolve(&values, topic.iter().copied());
    Settings::of("orders", &config, &values)
}

fn batch(text: &str) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Offset(0));
    builder.append(super::surroundings::wall_clock_ms(), None, Some(text.as_bytes()), &[]);
    builder.build().to_vec()
}

fn idempotent(text: &str, sequence: i32) -> Vec<u8> {
    let mut builder =
        BatchBuilder::new(Offset(0)).producer(ProducerId(7), ProducerEpoch(0), sequence);
    builder.append(super::surroundings::wall_clock_ms(), None, Some(text.as_bytes()), &[]);
    builder.build().to_vec()
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch.expect("a batch");
        for record in &batch.records(1 << 20).expect("records") {
            let value = record.expect("a record").value.expect("a value");
            texts.push(String::from_utf8_lossy(value).into_owned());
        }
    }
    texts
}

impl Node {
    fn open(id: i32, disk: FaultyDisk, registered: &Epochs, settings: Settings) -> Self {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let owner = Owner { cluster_id: "prague".to_owned(), node_id: NodeId(id) };
        let room = Room::new(0, Box::new(|| None));
        let opened =
            LogDir::open(Arc::clone(&shared), Path::new("/"), &owner, Uuid(id as u128), room, None);
        let dir = Arc::new(opened.expect("a log directory"));
        let flushes = Arc::new(FlushQueue::default());
        let (tell, news) = mpsc::unbounded_channel();
        let around = Arc::new(Surroundings {
            me: NodeId(id),
            peers: Box::new(Registered(Arc::clone(registered))),
            flushes: Arc::clone(&flushes),
            news: tell,
            syncs: super::metrics::sync_times(),
            replica_lag_max: Duration::from_secs(30),
            throttles: crate::replication::throttle::Throttles::new(&Values::default()),
        });
        let known = dir.last_known("orders", 0);
        let options = OpenOptions {
            recovery_point: known.recovery_point,
            clean_shutdown: dir.clean_shutdown().is_some(),
            log_start_offset: known.log_start,
            now_ms: 0,
        };
        let log = Log::open(shared, dir.folder("orders", 0), settings.log, options);
        let log = log.map(|(log, _)| log).map_err(|error| error.to_string().into());
        let name = PartitionName { topic: "orders".into(), topic_id: Uuid(77), index: 0 };
        let partition = Partition::new(name, dir, around, log, known.high_watermark, settings);
        Self { id: NodeId(id), disk, flushes, news, partition }
    }

    /// Syncs all that is queued.
    fn flush(&self) {
        while self.flushes.flush_one() {}
    }

    fn position(&self) -> Position {
        self.partition.position().expect("online")
    }

    fn high_watermark(&self) -> i64 {
        self.position().high_watermark.get()
    }

    fn append(&self, text: &str) -> Result<Appended, PartitionError> {
        self.append_bytes(&mut batch(text))
    }

    fn append_bytes(&self, bytes: &mut [u8]) -> Result<Appended, PartitionError> {
        let how = LeaderAppend {
            acks: Acks::All,
            origin: AppendOrigin::Client,
            verification: Verification::NotRequired,
            leader_epoch: LeaderEpoch::UNKNOWN,
        };
        self.partition.append(bytes, how)
    }

    /// What a reader sees from an offset on.
    fn read(&self, offset: i64, reader: Reader) -> Result<Vec<String>, PartitionError> {
        let at = ReadAt {
            offset: Offset(offset),
            max_bytes: 1 << 20,
            min_one_batch: true,
            leader_epoch: LeaderEpoch::UNKNOWN,
            last_epoch: LeaderEpoch::UNKNOWN,
            log_start: Offset(0),
            any_replica: false,
        };
        let readable = self.partition.read(&at, reader, false)?;
        let bytes = readable.slice.map(|slice| slice.read().expect("readable"));
        Ok(texts(&bytes.unwrap_or_default()))
    }

    /// All that is in the log.
    fn all(&self) -> Vec<String> {
        let (mut at, mut found) = (self.position().log_start, Vec::new());
        while let Some(slice) = self.partition.slice(at, 1 << 30).expect("readable") {
            found.extend(texts(&slice.read().expect("readable")));
            at = slice.next_offset();
        }
        found
    }

    /// Whether something was proposed to the coordinator.
    fn proposes(&mut self) -> bool {
        matches!(self.news.try_recv(), Ok(News::Proposal(_)))
    }
}

impl World {
    /// Broker 1 leads, in epoch 1, replicas on 1, 2 and 3.
    fn new(isr: &[i32]) -> Self {
        Self::with(isr, settings(&[]))
    }

    fn with(isr: &[i32], settings: Settings) -> Self {
        let registered = [1, 2, 3].map(|id| (NodeId(id), BrokerEpoch(100 + i64::from(id))));
        let registered: Epochs = Arc::new(Mutex::new(BTreeMap::from(registered)));
        let open = |id| Node::open(id, FaultyDisk::new(id as u64), &registered, settings);
        let registration = PartitionRegistration {
            replicas: nodes(&[1, 2, 3]),
            directories: vec![Uuid::ZERO; 3],
            isr: nodes(isr),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader: NodeId(1),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(1),
            partition_epoch: 0,
        };
        let mut world = Self {
            nodes: vec![open(1), open(2), open(3)],
            registered: Arc::clone(&registered),
            registration,
            settings,
        };
        world.tell(&[1, 2, 3]);
        world
    }

    fn node(&self, id: i32) -> &Node {
        &self.nodes[id as usize - 1]
    }

    fn node_mut(&mut self, id: i32) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    /// These brokers hear what the metadata log says now.
    fn tell(&mut self, ids: &[i32]) {
        for &id in ids {
            let partition = Arc::clone(&self.node(id).partition);
            if self.registration.leader == NodeId(id) {
                partition.lead(&self.registration, Instant::now());
            } else {
                partition.follow(&self.registration);
            }
        }
    }

    /// Another leader, with another ISR, in the next epoch.
    fn elect(&mut self, leader: i32, isr: &[i32]) {
        self.registration.leader = NodeId(leader);
        self.registration.leader_epoch = LeaderEpoch(self.registration.leader_epoch.get() + 1);
        self.set_isr(isr);
    }

    fn set_isr(&mut self, isr: &[i32]) {
        self.registration.isr = nodes(isr);
        self.registration.partition_epoch += 1;
    }

    /// The coordinator accepts what the leader proposes.
    fn accept(&mut self) {
        let leader = self.registration.leader.get();
        let proposal = self.node(leader).partition.proposal().expect("a proposal");
        assert_eq!(proposal.partition_epoch, self.registration.partition_epoch);
        self.registration.isr = proposal.isr.iter().map(|(node, _)| *node).collect();
        self.registration.partition_epoch += 1;
        let committed = Committed {
            isr: self.registration.isr.clone(),
            partition_epoch: self.registration.partition_epoch,
        };
        let (epoch, outcome) = (proposal.leader_epoch, Outcome::Accepted(committed));
        self.node(leader).partition.answer_proposal(epoch, outcome, Instant::now());
    }

    /// One fetch of a follower: flushes what it is about to acknowledge, asks, and appends or cuts
    /// as the leader says.
    fn fetch(&self, follower: i32) -> Result<(), PartitionError> {
        let (leader, follower) = (self.node(self.registration.leader.get()), self.node(follower));
        let epoch = self.registration.leader_epoch;
        if follower.partition.flush_now().is_some() {
            follower.flush();
        }
        let from = follower.partition.fetch_from(leader.id, epoch)?;
        assert!(from.is_durable, "what is acknowledged must be durable");
        let at = ReadAt {
            offset: from.offset,
            max_bytes: 1 << 20,
            min_one_batch: true,
            leader_epoch: epoch,
            last_epoch: from.last_epoch,
            log_start: from.log_start,
            any_replica: false,
        };
        let broker_epoch = self.registered.lock()[&follower.id];
        let reader = Reader::Follower { node: follower.id, broker_epoch };
        let readable = leader.partition.read(&at, reader, true)?;
        if let Some(theirs) = readable.diverging {
            follower.partition.truncate_by_epoch(leader.id, epoch, theirs)?;
            return Ok(());
        }
        let records = readable.slice.map(|slice| slice.read().expect("readable"));
        follower.partition.append_from_leader(&FromLeader {
            leader: leader.id,
            leader_epoch: epoch,
            fetch_offset: from.offset,
            records: records.unwrap_or_default(),
            high_watermark: readable.high_watermark,
            log_start: readable.log_start,
        })
    }

    /// Fetches and flushes until nothing is new, so that the leader knows it, too.
    fn replicate(&self, followers: &[i32]) {
        for _ in 0..12 {
            for &follower in followers {
                self.fetch(follower).expect("a fetch");
                self.node(follower).flush();
            }
        }
    }

    /// A broker loses its power and comes back as a new registration.
    fn power_cut(&mut self, id: i32) {
        self.node(id).disk.crash();
        let disk = self.node(id).disk.clone();
        self.registered.lock().entry(NodeId(id)).and_modify(|epoch| epoch.0 += 1000);
        let node = Node::open(id, disk, &self.registered, self.settings);
        *self.node_mut(id) = node;
    }

    fn logs(&self) -> Vec<Vec<String>> {
        self.nodes.iter().map(Node::all).collect()
    }
}

/// What a future says when it is looked at once.
fn look<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

//! The loop on a thread of its own, over a disk that gets full.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use vltava_config::Values;
use vltava_log::{Disk, FaultyDisk};
use vltava_metadata::{PartitionRegistration, supported_features};
use vltava_quorum::{FetchRequest, ReplicaKey, Request, Response};
use vltava_wire::messages::broker_registration::{Feature, Listener};
use vltava_wire::messages::create_topics::CreatableTopic;
use vltava_wire::messages::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, CreateTopicsRequest,
};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionId, Uuid};

use super::{Decided, Driver, DriverError, Inbox, MESSAGES_PER_ROUND, Message, Plan, View};
use crate::controller::{Controller, Decision, Failure, Moment};
use crate::folder::{Folder, Opened};
use crate::peers::Peers;
use crate::status::Status;
use crate::store::WaitingDisk;

const CLUSTER: &str = "AAAAAAAAQACAAAAAAAAACA";
const PATIENCE: Duration = Duration::from_secs(20);
const SESSION: Duration = Duration::from_millis(1_000);

/// A coordinator's loop without sockets, the only one of its quorum.
struct Loop {
    inbox: Inbox,
    status: watch::Receiver<Status>,
    faulty: FaultyDisk,
    waiting: WaitingDisk,
    thread: Option<JoinHandle<Result<(), DriverError>>>,
    _runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Loop {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Uuid::from_random(1);
        let founders = format!("3001@127.0.0.1:1:{directory}");
        let log_dirs = folder.path().display().to_string();
        let session = SESSION.as_millis().to_string();
        let pairs = [
            ("node.id", "3001"),
            ("listeners", "CONTROLLER://127.0.0.1:1"),
            ("controller.listener.names", "CONTROLLER"),
            ("vltava.cluster.id", CLUSTER),
            ("vltava.initial.controllers", founders.as_str()),
            ("log.dirs", log_dirs.as_str()),
            ("broker.session.timeout.ms", session.as_str()),
            ("broker.heartbeat.interval.ms", "100"),
            ("metadata.max.idle.interval.ms", "20"),
        ];
        let values = Values::from_pairs(pairs).expect("settings that make sense");
        let faulty = FaultyDisk::new(0);
        let waiting = WaitingDisk::new(Arc::new(faulty.clone()));
        let disk: Arc<dyn Disk> = Arc::new(waiting.clone());
        let Ok(Opened::Ready(opened)) = Folder::open(&disk, &values, 2, 0) else {
            panic!("a founder alone waits for nobody")
        };
        let runtime = Runtime::new().expect("a runtime");
        let (inbox, messages) = Inbox::new();
        let timeout = Duration::from_secs(1);
        let (handle, node) = (runtime.handle().clone(), opened.replica.id);
        let peers = Peers::new(handle, inbox.clone(), CLUSTER.into(), node, timeout);
        let plan = Plan {
            values: &values,
            folder: &opened,
            disk,
            endpoints: Vec::new(),
            peers,
            inbox: inbox.clone(),
            messages,
        };
        let (driver, status) = plan.prepare().expect("a loop");
        let thread = Some(std::thread::spawn(move || run(driver)));
        let this =
            Self { inbox, status, faulty, waiting, thread, _runtime: runtime, _folder: folder };
        this.until("an active coordinator", |this| this.status.borrow().is_active);
        this
    }

    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "{what} does not come about");
            std::thread::yield_now();
        }
    }

    /// Has something decided; the answer comes once it is committed. Whoever drops the receiver
    /// has given up.
    fn ask<R, D>(&self, decide: D) -> oneshot::Receiver<Result<R, Failure>>
    where
        R: Send + 'static,
        D: FnOnce(&mut Controller, Moment) -> Result<Decision<R>, Failure> + Send + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        self.inbox.offer(Message::Operate(Decided::operation(answer, decide)), 100);
        outcome
    }

    fn have<R, D>(&self, decide: D) -> R
    where
        R: Send + 'static,
        D: FnOnce(&mut Controller, Moment) -> Result<Decision<R>, Failure> + Send + 'static,
    {
        let outcome = self.ask(decide).blocking_recv();
        outcome.expect("the loop runs").expect("it is done")
    }

    fn create(&self, name: &str) -> oneshot::Receiver<Result<ErrorCode, Failure>> {
        self.create_on(name, 1)
    }

    fn create_on(
        &self,
        name: &str,
        replication_factor: i16,
    ) -> oneshot::Receiver<Result<ErrorCode, Failure>> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        self.ask(move |controller, _| {
            let decision = controller.create_topics(&request)?;
            Ok(decision.map(|response| response.topics[0].error_code))
        })
    }

    /// Registers a broker, and returns its epoch.
    fn register(&self, id: i32) -> i64 {
        let features = supported_features().iter().map(|feature| Feature {
            name: feature.name.into(),
            min_supported_version: feature.min,
            max_supported_version: feature.max,
        });
        let request = BrokerRegistrationRequest {
            broker_id: id,
            cluster_id: CLUSTER.into(),
            incarnation_id: Uuid::from_random(100 + id as u128),
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                host: "localhost".into(),
                port: 9092,
                security_protocol: 0,
            }],
            features: features.collect(),
            log_dirs: vec![Uuid::from_random(200 + id as u128)],
            ..BrokerRegistrationRequest::default()
        };
        self.have(move |controller, moment| controller.register_broker(&request, moment))
            .broker_epoch
    }

    fn beat(&self, broker_id: i32, broker_epoch: i64) -> oneshot::Receiver<Result<bool, Failure>> {
        let request = BrokerHeartbeatRequest {
            broker_id,
            broker_epoch,
            current_metadata_offset: i64::MAX,
            ..BrokerHeartbeatRequest::default()
        };
        self.ask(move |controller, moment| {
            let decision = controller.heartbeat(&request, moment)?;
            Ok(decision.map(|response| response.is_fenced))
        })
    }

    /// Fills the disk, and waits until the loop waits for room.
    fn fill(&self) {
        self.faulty.fill_up(0);
        self.until("a full disk", |this| this.waiting.is_full());
    }

    fn make_room(&self) {
        self.faulty.set_capacity(u64::MAX);
    }

    fn topics(&self) -> Vec<String> {
        self.status.borrow().image.topics().map(|topic| topic.name.to_string()).collect()
    }
}

impl Loop {
    fn partition(&self, topic: &str) -> PartitionRegistration {
        let image = &self.status.borrow().image;
        let topic = image.topic(topic).expect("the topic");
        topic.partition(PartitionId(0)).expect("its partition").as_ref().clone()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.waiting.give_up();
        self.make_room();
        self.inbox.tell(Message::Stop);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("it was started").expect("no panic").expect("it ends well");
        }
    }
}

fn run(driver: Driver) -> Result<(), DriverError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(driver.run())
}

#[test]
fn what_nobody_waits_for_any_more_is_not_done_once_the_disk_has_room() {
    let this = Loop::start();
    let epoch = this.register(1);
    assert!(!this.beat(1, epoch).blocking_recv().expect("an answer").expect("a broker"));
    this.fill();
    let given_up = this.create("given-up");
    let wanted = this.create("wanted");
    drop(given_up);
    this.make_room();
    let created = wanted.blocking_recv().expect("an answer").expect("it is done");
    assert_eq!(created, ErrorCode::NONE);
    this.until("the topic", |this| !this.topics().is_empty());
    assert_eq!(this.topics(), ["wanted"]);
}

#[test]
fn a_fetch_that_was_given_up_counts_for_nothing() {
    let this = Loop::start();
    let epoch = this.status.borrow().leader.epoch;
    let fetch = |id: i32| {
        let (answer, outcome) = oneshot::channel();
        let request = Request::Fetch(FetchRequest {
            replica: ReplicaKey::new(NodeId(id), Uuid(7_000)),
            epoch,
            fetch_offset: Offset::ZERO,
            last_fetched_epoch: LeaderEpoch(0),
            max_wait_ms: 0,
            max_bytes: 1_000,
            high_watermark: None,
        });
        let connection = vltava_net::ConnectionId(1);
        this.inbox.offer(Message::Quorum { connection, request, answer }, 100);
        outcome
    };
    this.fill();
    drop(fetch(7));
    let waits = fetch(8);
    this.make_room();
    let Ok(Response::Fetch(answer)) = waits.blocking_recv() else { panic!("no answer") };
    assert_eq!(answer.error, ErrorCode::NONE);
    let (answer, observers) = oneshot::channel();
    let look = Box::new(move |view: &View<'_>| {
        let info = view.machine.describe(view.clock.now()).expect("it leads");
        let ids = info.observers.iter().map(|replica| replica.key.id).collect::<Vec<_>>();
        answer.send(ids).expect("the test waits");
    });
    this.inbox.offer(Message::Inspect(look), 100);
    assert_eq!(observers.blocking_recv().expect("an answer"), [NodeId(8)]);
}

/// Three brokers that live, and a topic on all of them.
fn brokers(this: &Loop) -> Vec<(i32, i64)> {
    let brokers: Vec<(i32, i64)> = (1..=3).map(|id| (id, this.register(id))).collect();
    for (id, epoch) in &brokers {
        assert!(!this.beat(*id, *epoch).blocking_recv().expect("an answer").expect("a broker"));
    }
    let created = this.create_on("t", 3).blocking_recv();
    assert_eq!(created.expect("an answer").expect("it is done"), ErrorCode::NONE);
    this.until("the topic", |this| !this.topics().is_empty());
    brokers
}

/// Longer than a session lasts.
fn outlast_a_session() {
    std::thread::sleep(SESSION + SESSION / 2);
}

#[test]
fn nobody_is_fenced_for_the_time_in_which_the_disk_held_the_loop_up() {
    let this = Loop::start();
    let brokers = brokers(&this);
    let before = this.partition("t");
    this.fill();
    // Beside the heartbeats more waits than a round takes in.
    for _ in 0..MESSAGES_PER_ROUND {
        this.inbox.offer(Message::Inspect(Box::new(|_| ())), 100);
    }
    outlast_a_session();
    let beats: Vec<_> = brokers.iter().map(|(id, epoch)| this.beat(*id, *epoch)).collect();
    this.make_room();
    for beat in beats {
        let fenced = beat.blocking_recv().expect("an answer").expect("a broker");
        assert!(!fenced);
    }
    let after = this.partition("t");
    assert_eq!((after.leader_epoch, after.isr), (before.leader_epoch, before.isr));
}

#[test]
fn a_broker_that_stays_silent_is_fenced_a_session_after_the_loop_goes_on() {
    let this = Loop::start();
    let brokers = brokers(&this);
    this.fill();
    outlast_a_session();
    this.make_room();
    let goes_on = Instant::now();
    let (silent, others) = brokers.split_first().expect("three brokers");
    let is_fenced = |this: &Loop| !this.status.borrow().image.is_unfenced(NodeId(silent.0));
    while !is_fenced(&this) {
        assert!(goes_on.elapsed() < PATIENCE, "it is never fenced");
        for (id, epoch) in others {
            assert!(!this.beat(*id, *epoch).blocking_recv().expect("an answer").expect("a broker"));
        }
    }
    assert!(goes_on.elapsed() > SESSION / 2, "{:?}", goes_on.elapsed());
}

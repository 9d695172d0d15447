//! The loop on a thread of its own, over a disk that gets full.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use vltava_config::Values;
use vltava_log::{Disk, FaultyDisk};
use vltava_metadata::supported_features;
use vltava_quorum::{FetchRequest, ReplicaKey, Request, Response};
use vltava_wire::messages::broker_registration::{Feature, Listener};
use vltava_wire::messages::create_topics::CreatableTopic;
use vltava_wire::messages::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, CreateTopicsRequest,
};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset, Uuid};

use super::{Decided, Driver, DriverError, Inbox, Message, Plan, View};
use crate::controller::{Controller, Decision, Failure, Moment};
use crate::folder::Folder;
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
        let opened = Folder::open(&disk, &values, 2, 0).expect("a folder");
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
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
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

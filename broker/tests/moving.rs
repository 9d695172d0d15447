//! A broker with two log directories: a replica moves from one to the other while it is written
//! to, the broker dies half-way, and starts again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;
use vltava_broker::controller::{Controller, ControllerError};
use vltava_broker::metadata::ClusterView;
use vltava_broker::partition::relocate::NotMoved;
use vltava_broker::partition::{Acks, LeaderAppend, Partition, Partitions, Setup};
use vltava_broker::replication::link::{LeaderConnection, LeaderLink, LinkError};
use vltava_config::Values;
use vltava_log::{AppendOrigin, RealDisk, Verification};
use vltava_metadata::{Changes, Image, MetadataRecord};
use vltava_net::{Budget, CancellationToken, Reactors};
use vltava_wire::batch::{BatchBuilder, Batches};
use vltava_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest,
    AlterPartitionResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
};
use vltava_wire::records::metadata::{
    PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};
use vltava_wire::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, Str, Uuid};

const TOPIC: Uuid = Uuid(4711);
/// Nothing in these scenarios takes as long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The coordinator: it notes where replicas lie, once it listens.
struct Coordinator {
    image: Mutex<Image>,
    broker: Mutex<Option<Arc<Broker>>>,
    listens: watch::Sender<bool>,
}

/// One run of the broker.
struct Broker {
    partitions: Arc<Partitions>,
    cluster: ClusterView,
    images: watch::Sender<Arc<Image>>,
    shutdown: CancellationToken,
    dirs: [PathBuf; 2],
}

impl Coordinator {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            image: Mutex::new(Image::new(Str::from_static("prague"))),
            broker: Mutex::new(None),
            listens: watch::Sender::new(true),
        })
    }

    fn change(&self, records: Vec<MetadataRecord>) {
        let mut changes = Changes::default();
        let image = {
            let mut image = self.image.lock();
            for record in records {
                image.apply(&record, &mut changes).expect("records that fit");
            }
            Arc::new(image.clone())
        };
        let broker = self.broker.lock().clone();
        if let Some(broker) = broker {
            broker.follow(image, &changes);
        }
    }

    /// Where the replica lies, as the metadata log has it.
    fn registered(&self) -> Uuid {
        let image = self.image.lock();
        image.partition(TOPIC, PartitionId(0)).expect("a partition").directory(NodeId(1))
    }

    fn create_topic(&self) {
        self.change(vec![
            TopicRecord { name: "orders".into(), topic_id: TOPIC }.into(),
            PartitionRecord {
                partition_id: 0,
                topic_id: TOPIC,
                replicas: vec![1],
                isr: vec![1],
                leader: 1,
                directories: vec![Uuid::ZERO],
                ..PartitionRecord::default()
            }
            .into(),
        ]);
    }

    fn assign(&self, request: &AssignReplicasToDirsRequest) {
        for directory in &request.directories {
            self.change(vec![
                PartitionChangeRecord {
                    partition_id: 0,
                    topic_id: TOPIC,
                    directories: Some(vec![directory.id]),
                    ..PartitionChangeRecord::default()
                }
                .into(),
            ]);
        }
    }
}

struct Called(Arc<Coordinator>);

impl Controller for Called {
    fn alter_partition(
        &self,
        _: AlterPartitionRequest,
    ) -> BoxFuture<'static, Result<AlterPartitionResponse, ControllerError>> {
        Box::pin(async { Err(ControllerError::NoActive) })
    }

    fn allocate_producer_ids(
        &self,
        _: AllocateProducerIdsRequest,
    ) -> BoxFuture<'static, Result<AllocateProducerIdsResponse, ControllerError>> {
        Box::pin(async { Err(ControllerError::NoActive) })
    }

    fn assign_replicas_to_dirs(
        &self,
        request: AssignReplicasToDirsRequest,
    ) -> BoxFuture<'static, Result<AssignReplicasToDirsResponse, ControllerError>> {
        let coordinator = Arc::clone(&self.0);
        Box::pin(async move {
            let mut listens = coordinator.listens.subscribe();
            listens.wait_for(|listens| *listens).await.map_err(|_| ControllerError::NoActive)?;
            let assigned = tokio::task::spawn_blocking(move || coordinator.assign(&request)).await;
            assigned.map_err(|error| ControllerError::Call(error.to_string()))?;
            Ok(AssignReplicasToDirsResponse::default())
        })
    }
}

/// There is nobody to fetch from.
struct Nobody;

impl LeaderLink for Nobody {
    fn connect(&self, leader: NodeId) -> BoxFuture<'static, Result<LeaderConnection, LinkError>> {
        Box::pin(async move { Err(LinkError::NoAddress(leader)) })
    }
}

impl Broker {
    fn start(coordinator: &Arc<Coordinator>, home: &Path, more: &[(&str, &str)]) -> Arc<Self> {
        let dirs = [home.join("a"), home.join("b")];
        let log_dirs = format!("{},{}", dirs[0].display(), dirs[1].display());
        let mut pairs = vec![("log.dirs", log_dirs.as_str()), ("vltava.disk.headroom.bytes", "0")];
        pairs.extend(more);
        let config = Values::from_pairs(pairs).expect("values");
        let image = Arc::new(coordinator.image.lock().clone());
        let (images, receiver) = watch::channel(Arc::clone(&image));
        let cluster = ClusterView::new(NodeId(1), receiver, config.clone());
        let partitions = Partitions::open(Setup {
            id: NodeId(1),
            cluster_id: "prague".to_owned(),
            config: Arc::new(config),
            cluster: cluster.clone(),
            disk: Arc::new(RealDisk),
            budget: Budget::new(1 << 30, 0),
        });
        let partitions = partitions.expect("opened");
        let shutdown = CancellationToken::new();
        let controller = Arc::new(Called(Arc::clone(coordinator)));
        partitions.start_with(Arc::new(Reactors::here()), Arc::new(Nobody), controller, &shutdown);
        let broker = Arc::new(Self { partitions, cluster, images, shutdown, dirs });
        *coordinator.broker.lock() = Some(Arc::clone(&broker));
        broker.cluster.set_broker_epoch(BrokerEpoch(1));
        let registered = RegisterBrokerRecord {
            broker_id: 1,
            incarnation_id: Uuid(99),
            broker_epoch: 1,
            fenced: false,
            log_dirs: broker.partitions.directory_ids(),
            ..RegisterBrokerRecord::default()
        };
        let mut records = vec![MetadataRecord::from(registered)];
        if image.topic_by_id(TOPIC).is_some() {
            // All that there is counts as changed, as it does after a start.
            let same = PartitionChangeRecord {
                partition_id: 0,
                topic_id: TOPIC,
                ..PartitionChangeRecord::default()
            };
            records.push(same.into());
        }
        coordinator.change(records);
        broker
    }

    fn follow(&self, image: Arc<Image>, changes: &Changes) {
        self.partitions.apply(&image, changes);
        self.images.send_replace(Arc::clone(&image));
        self.partitions.settle(&image, changes);
    }

    fn partition(&self) -> Arc<Partition> {
        self.partitions.by_id(TOPIC, 0).expect("hosted")
    }

    /// The directory that the replica lies in: 0 or 1.
    fn lies(&self) -> usize {
        let dir = self.partition().dir();
        self.dirs.iter().position(|path| path == dir.path()).expect("one of them")
    }

    fn move_to(&self, dir: usize) -> Result<(), NotMoved> {
        let path = self.dirs[dir].display().to_string();
        self.partitions.move_replica(&"orders".into(), 0, &path)
    }

    fn append(&self, text: &str) -> Offset {
        let mut builder = BatchBuilder::new(Offset(0));
        let now = vltava_broker::partition::surroundings::wall_clock_ms();
        builder.append(now, None, Some(text.as_bytes()), &[]);
        let how = LeaderAppend {
            acks: Acks::All,
            origin: AppendOrigin::Client,
            verification: Verification::default(),
            leader_epoch: LeaderEpoch::UNKNOWN,
        };
        self.partition().append(&mut builder.build(), how).expect("appended").end()
    }

    async fn produce(&self, text: &str) {
        let end = self.append(text);
        let durable = self.partition().durable_here(end);
        tokio::time::timeout(PATIENCE, durable).await.expect("in time").expect("durable");
    }

    fn records(&self) -> Vec<String> {
        let (partition, mut at, mut found) = (self.partition(), Offset(0), Vec::new());
        while let Some(slice) = partition.slice(at, 1 << 20).expect("readable") {
            for batch in Batches::new(&slice.read().expect("readable")) {
                for record in &batch.expect("a batch").records(1 << 20).expect("records") {
                    let value = record.expect("a record").value.expect("a value");
                    found.push(String::from_utf8_lossy(value).into_owned());
                }
            }
            at = slice.next_offset();
        }
        found
    }

    /// The folders of the partition in a directory.
    fn folders(&self, dir: usize) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dirs[dir]).expect("a directory");
        let names = entries.map(|it| it.expect("it").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("orders-0")).collect()
    }

    /// Stops in order, and starts again with what is on the disks, after `change` was done to it.
    async fn restart(
        self: Arc<Self>,
        coordinator: &Arc<Coordinator>,
        home: &Path,
        change: impl FnOnce(&[PathBuf; 2]),
    ) -> Arc<Self> {
        *coordinator.broker.lock() = None;
        Arc::clone(&self).stop().await;
        // Elsewhere, as the process lives, and holds the locks of the directories.
        let dirs = [home.join("a"), home.join("b")];
        for (from, to) in self.dirs.iter().zip(&dirs) {
            copy(from, to);
        }
        change(&dirs);
        Self::start(coordinator, home, &[])
    }

    async fn stop(self: Arc<Self>) {
        self.shutdown.cancel();
        let partitions = Arc::clone(&self.partitions);
        tokio::task::spawn_blocking(move || partitions.close(1)).await.expect("closed");
    }
}

/// Waits until something is so, which threads do that tell nobody.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it does not come to that: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a killed process leaves: its files, and no mark of a clean shutdown.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != ".lock" {
            // A file may be renamed or removed while it is copied, as at a real crash.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// So slow that only what is there at the beginning is copied: the first piece, and no other for an
/// hour.
const SLOW: [(&str, &str); 2] = [
    ("replica.alter.log.dirs.io.max.bytes.per.second", "1"),
    ("alter.log.dirs.replication.quota.window.num", "3600"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_moves_under_load_and_the_coordinator_hears_of_it_first() {
    let home = TempDir::new().expect("a folder");
    let coordinator = Coordinator::new();
    let broker = Broker::start(&coordinator, &home.path().join("first"), &[]);
    coordinator.create_topic();
    let ids = broker.partitions.directory_ids();
    let from = broker.lies();
    until("it is told where it lies", || coordinator.registered() == ids[from]).await;
    for number in 0..100 {
        broker.produce(&number.to_string()).await;
    }
    coordinator.listens.send_replace(false);
    broker.move_to(1 - from).expect("it moves");
    let moving = || broker.partition().moving();
    until("all is copied", || moving().is_some_and(|it| it.is_ready())).await;
    for number in 100..150 {
        broker.produce(&number.to_string()).await;
    }
    until("the rest, too", || moving().is_some_and(|it| it.end() == Offset(150))).await;
    assert_eq!((broker.lies(), coordinator.registered()), (from, ids[from]));
    assert_eq!(broker.folders(1 - from).len(), 1, "its copy");

    coordinator.listens.send_replace(true);
    let mut number = 150;
    while broker.lies() == from {
        broker.produce(&number.to_string()).await;
        number += 1;
    }
    for number in number..number + 20 {
        broker.produce(&number.to_string()).await;
    }
    assert_eq!(coordinator.registered(), ids[1 - from]);
    assert_eq!(broker.records(), numbers(number + 20));
    until("the old log is removed", || broker.folders(from).is_empty()).await;
    assert_eq!(broker.folders(1 - from), ["orders-0"]);

    let again = broker.restart(&coordinator, &home.path().join("second"), |_| {}).await;
    assert_eq!((again.lies(), again.records()), (1 - from, numbers(number + 20)));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_half_way_goes_on_with_the_move() {
    let home = TempDir::new().expect("a folder");
    let coordinator = Coordinator::new();
    let broker = Broker::start(&coordinator, &home.path().join("first"), &SLOW);
    coordinator.create_topic();
    let from = broker.lies();
    for number in 0..50 {
        broker.produce(&number.to_string()).await;
    }
    broker.move_to(1 - from).expect("it moves");
    let moving = || broker.partition().moving().expect("it moves");
    until("something is copied", || moving().end() == Offset(50)).await;
    for number in 50..80 {
        broker.produce(&number.to_string()).await;
    }
    assert!(moving().end() < Offset(80), "the rest is held back");
    copy(&home.path().join("first"), &home.path().join("second"));
    *coordinator.broker.lock() = None;
    Arc::clone(&broker).stop().await;

    let again = Broker::start(&coordinator, &home.path().join("second"), &[]);
    assert_eq!(again.records(), numbers(80));
    until("it has moved", || again.lies() == 1 - from).await;
    again.produce("80").await;
    assert_eq!(again.records(), numbers(81));
    until("the old log is removed", || again.folders(from).is_empty()).await;
    assert_eq!(again.folders(1 - from), ["orders-0"]);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_logs_that_a_crash_leaves_the_one_is_used_and_the_other_removed() {
    let home = TempDir::new().expect("a folder");
    let coordinator = Coordinator::new();
    let broker = Broker::start(&coordinator, &home.path().join("first"), &[]);
    coordinator.create_topic();
    let from = broker.lies();
    for number in 0..10 {
        broker.produce(&number.to_string()).await;
    }
    let ids = broker.partitions.directory_ids();
    until("it is told where it lies", || coordinator.registered() == ids[from]).await;
    // The copy had got its name, and the old log had not lost it.
    let double = |dirs: &[PathBuf; 2]| {
        copy(&dirs[from].join("orders-0"), &dirs[1 - from].join("orders-0"));
    };
    let again = broker.restart(&coordinator, &home.path().join("second"), double).await;
    assert_eq!((again.lies(), again.records()), (from, numbers(10)));
    until("the other one is removed", || again.folders(1 - from).is_empty()).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_replica_is_not_taken_for_it() {
    let home = TempDir::new().expect("a folder");
    let coordinator = Coordinator::new();
    let broker = Broker::start(&coordinator, &home.path().join("first"), &SLOW);
    coordinator.create_topic();
    let from = broker.lies();
    for number in 0..50 {
        broker.produce(&number.to_string()).await;
    }
    broker.move_to(1 - from).expect("it moves");
    let moving = || broker.partition().moving().expect("it moves");
    until("something is copied", || moving().end() == Offset(50)).await;
    broker.produce("50").await;
    let lose = |dirs: &[PathBuf; 2]| {
        std::fs::remove_dir_all(dirs[from].join("orders-0")).expect("the disk is lost");
    };
    let again = broker.restart(&coordinator, &home.path().join("second"), lose).await;
    let reason = again.partition().offline_reason().expect("it is offline");
    assert!(reason.contains("but a part of it"), "{reason}");
    until("the coordinator knows", || coordinator.registered() == Uuid::LOST_DIR).await;
    assert_eq!(again.folders(1 - from).len(), 1, "what was copied is kept");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_was_asked_for_early_is_remembered() {
    let home = TempDir::new().expect("a folder");
    let coordinator = Coordinator::new();
    let broker = Broker::start(&coordinator, &home.path().join("first"), &[]);
    for dir in [0, 1, 1, 0] {
        assert_eq!(broker.move_to(dir), Err(NotMoved::Unknown));
        coordinator.create_topic();
        assert_eq!(broker.lies(), dir);
        assert_eq!(broker.move_to(dir), Ok(()), "it lies there");
        assert!(broker.partition().moving().is_none());
        coordinator.change(vec![RemoveTopicRecord { topic_id: TOPIC }.into()]);
    }
    let elsewhere = home.path().join("c").display().to_string();
    let moved = |topic: &str, path: &str| broker.partitions.move_replica(&topic.into(), 0, path);
    assert_eq!(moved("orders", &elsewhere), Err(NotMoved::UnknownDir));
    let there = broker.dirs[0].display().to_string();
    assert_eq!(moved(&"x".repeat(249), &there), Err(NotMoved::NameTooLong));
    broker.stop().await;
}

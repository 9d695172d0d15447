//! Three brokers' partitions in one process, with real logs, flushers and fetchers, and a
//! coordinator that does as it is told: a leader is cut off, and loses nothing that was
//! acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;
use vltava_broker::api::fetch::pass::{Limits, Pass};
use vltava_broker::api::fetch::session::{Opening, TopicKey};
use vltava_broker::controller::{Controller, ControllerError};
use vltava_broker::metadata::ClusterView;
use vltava_broker::partition::read::Reader;
use vltava_broker::partition::waiter::Wake;
use vltava_broker::partition::{Acks, LeaderAppend, Partitions, Setup};
use vltava_broker::replication::link::{FetchFrom, LeaderConnection, LeaderLink, LinkError};
use vltava_config::Values;
use vltava_log::{AppendOrigin, RealDisk, Verification};
use vltava_metadata::{Changes, Image, MetadataRecord};
use vltava_net::{Budget, CancellationToken, Reactors};
use vltava_wire::batch::{BatchBuilder, Batches};
use vltava_wire::messages::alter_partition::{PartitionDataResponse, TopicDataResponse};
use vltava_wire::messages::fetch::FetchableTopicResponse;
use vltava_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest,
    AlterPartitionResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
    FetchRequest, FetchResponse,
};
use vltava_wire::records::metadata::{
    PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord,
};
use vltava_wire::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId,
    Str, Uuid,
};

const TOPIC: Uuid = Uuid(4711);
const PARTITIONS: i32 = 3;
/// Nothing in these scenarios takes as long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// One run of a broker, as far as partitions are concerned.
struct Member {
    partitions: Arc<Partitions>,
    cluster: ClusterView,
    images: watch::Sender<Arc<Image>>,
    shutdown: CancellationToken,
}

struct State {
    image: Image,
    members: HashMap<NodeId, Arc<Member>>,
    next_epoch: i64,
}

/// The coordinator: what it is told to change, and ISRs as leaders propose them.
struct Coordinator {
    state: Mutex<State>,
    images: watch::Sender<Arc<Image>>,
}

fn image() -> Image {
    Image::new(Str::from_static("prague"))
}

impl Coordinator {
    fn new() -> Arc<Self> {
        let state = State { image: image(), members: HashMap::new(), next_epoch: 100 };
        Arc::new(Self { state: Mutex::new(state), images: watch::Sender::new(Arc::new(image())) })
    }

    /// Changes the metadata, and has all members follow.
    fn change(&self, records: impl FnOnce(&Image) -> Vec<MetadataRecord>) {
        let mut state = self.state.lock();
        let mut changes = Changes::default();
        for record in records(&state.image) {
            state.image.apply(&record, &mut changes).expect("records that fit");
        }
        let image = Arc::new(state.image.clone());
        for member in state.members.values() {
            member.partitions.apply(&image, &changes);
            member.images.send_replace(Arc::clone(&image));
        }
        self.images.send_replace(image);
    }

    /// A new run of a broker registers and is unfenced.
    fn register(&self, id: NodeId, member: &Arc<Member>) {
        let epoch = {
            let mut state = self.state.lock();
            state.next_epoch += 1;
            state.members.insert(id, Arc::clone(member));
            state.next_epoch
        };
        member.cluster.set_broker_epoch(BrokerEpoch(epoch));
        let record = RegisterBrokerRecord {
            broker_id: id.get(),
            incarnation_id: Uuid(epoch as u128),
            broker_epoch: epoch,
            fenced: false,
            rack: None,
            ..RegisterBrokerRecord::default()
        };
        self.change(|_| vec![record.into()]);
        // The first image that a member sees counts as a whole.
        let image = self.images.borrow().clone();
        member.partitions.apply(&image, &Changes::default());
    }

    /// A broker is gone: it leaves every ISR, and others lead what it led.
    fn fence(&self, id: NodeId) {
        self.state.lock().members.remove(&id);
        self.change(|image| {
            let topic = image.topic_by_id(TOPIC).expect("the topic");
            let partitions = topic.partitions.iter().filter(|(_, it)| it.isr.contains(&id));
            let change = |(index, it): (&PartitionId, &Arc<_>)| {
                let it: &vltava_metadata::PartitionRegistration = it;
                let isr: Vec<_> = it.isr.iter().filter(|node| **node != id).collect();
                let leader = if it.leader == id { isr[0].get() } else { -2 };
                PartitionChangeRecord {
                    partition_id: index.get(),
                    topic_id: TOPIC,
                    isr: Some(isr.iter().map(|node| node.get()).collect()),
                    leader,
                    ..PartitionChangeRecord::default()
                }
                .into()
            };
            partitions.map(change).collect()
        });
    }

    /// Holds a run of a broker no longer.
    fn forget(&self, gone: &Arc<Member>) {
        self.state.lock().members.retain(|_, member| !Arc::ptr_eq(member, gone));
    }

    fn image(&self) -> Arc<Image> {
        self.images.borrow().clone()
    }

    fn member(&self, id: NodeId) -> Option<Arc<Member>> {
        self.state.lock().members.get(&id).cloned()
    }

    async fn wait_until(&self, is_so: impl FnMut(&Arc<Image>) -> bool) {
        let mut images = self.images.subscribe();
        let waited = tokio::time::timeout(PATIENCE, images.wait_for(is_so)).await;
        waited.expect("it does not come to that").expect("the coordinator lives");
    }

    fn alter(&self, request: &AlterPartitionRequest) -> AlterPartitionResponse {
        let mut topics = Vec::new();
        self.change(|image| {
            let mut records = Vec::new();
            for topic in &request.topics {
                let mut partitions = Vec::new();
                for data in &topic.partitions {
                    let index = PartitionId(data.partition_index);
                    let known = image.partition(topic.topic_id, index).expect("a partition");
                    let mut answer = PartitionDataResponse {
                        partition_index: data.partition_index,
                        ..PartitionDataResponse::default()
                    };
                    let is_current =
                        |state: &vltava_wire::messages::alter_partition::BrokerState| {
                            let broker = image.broker(NodeId(state.broker_id));
                            let current = broker.map(|broker| broker.epoch.get());
                            state.broker_epoch == -1 || current == Some(state.broker_epoch)
                        };
                    if data.leader_epoch != known.leader_epoch.get() {
                        answer.error_code = ErrorCode::FENCED_LEADER_EPOCH;
                    } else if data.partition_epoch != known.partition_epoch {
                        answer.error_code = ErrorCode::INVALID_UPDATE_VERSION;
                    } else if !data.new_isr_with_epochs.iter().all(is_current) {
                        answer.error_code = ErrorCode::INELIGIBLE_REPLICA;
                    } else {
                        answer.isr = data.new_isr.clone();
                        answer.partition_epoch = known.partition_epoch + 1;
                        answer.leader_epoch = data.leader_epoch;
                        records.push(MetadataRecord::from(PartitionChangeRecord {
                            partition_id: data.partition_index,
                            topic_id: topic.topic_id,
                            isr: Some(data.new_isr.clone()),
                            ..PartitionChangeRecord::default()
                        }));
                    }
                    partitions.push(answer);
                }
                topics.push(TopicDataResponse { topic_id: topic.topic_id, partitions });
            }
            records
        });
        AlterPartitionResponse { topics, ..AlterPartitionResponse::default() }
    }
}

/// The coordinator as brokers call it.
struct Called(Arc<Coordinator>);

impl Controller for Called {
    fn alter_partition(
        &self,
        request: AlterPartitionRequest,
    ) -> BoxFuture<'static, Result<AlterPartitionResponse, ControllerError>> {
        let coordinator = Arc::clone(&self.0);
        Box::pin(async move {
            let altered = tokio::task::spawn_blocking(move || coordinator.alter(&request)).await;
            altered.map_err(|error| ControllerError::Call(error.to_string()))
        })
    }

    fn allocate_producer_ids(
        &self,
        _: AllocateProducerIdsRequest,
    ) -> BoxFuture<'static, Result<AllocateProducerIdsResponse, ControllerError>> {
        Box::pin(async { Err(ControllerError::NoActive) })
    }

    fn assign_replicas_to_dirs(
        &self,
        _: AssignReplicasToDirsRequest,
    ) -> BoxFuture<'static, Result<AssignReplicasToDirsResponse, ControllerError>> {
        Box::pin(async { Err(ControllerError::NoActive) })
    }
}

/// Fetches by a direct call.
struct Direct(Arc<Coordinator>);

impl LeaderLink for Direct {
    fn connect(&self, leader: NodeId) -> BoxFuture<'static, Result<LeaderConnection, LinkError>> {
        let found = self.0.member(leader);
        Box::pin(async move {
            let member = found.ok_or(LinkError::NoAddress(leader))?;
            Ok(Box::new(Leader { id: leader, member }) as LeaderConnection)
        })
    }
}

struct Leader {
    id: NodeId,
    member: Arc<Member>,
}

impl FetchFrom for Leader {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'static, Result<FetchResponse, LinkError>> {
        let (id, member) = (self.id, Arc::clone(&self.member));
        Box::pin(async move {
            let shutdown = member.shutdown.clone();
            let answer = shutdown.run_until_cancelled(answer(&member.partitions, &request)).await;
            answer.ok_or(LinkError::NoAddress(id))
        })
    }
}

/// What the API does of a fetch, without sessions.
async fn answer(partitions: &Partitions, request: &FetchRequest) -> FetchResponse {
    let state = &request.replica_state;
    let (node, broker_epoch) = (NodeId(state.replica_id), BrokerEpoch(state.replica_epoch));
    let reader = Reader::Follower { node, broker_epoch };
    let limits = Limits { max_bytes: request.max_bytes as usize, min_bytes: 1, any_replica: false };
    let opening = Opening::of(request, 17, true);
    let cache = vltava_broker::api::fetch::session::SessionCache::new(0);
    let context = { cache }.open(opening, std::time::Instant::now()).expect("a full fetch");
    let mut pass = Pass::first(partitions, &context.wanted, reader, limits, None);
    let over = tokio::time::sleep(Duration::from_millis(request.max_wait_ms as u64));
    tokio::pin!(over);
    let wake = Wake::default();
    while !pass.is_enough(limits) {
        let _places = pass.watch(reader, &wake);
        pass = pass.again(reader, limits);
        if pass.is_enough(limits) {
            break;
        }
        tokio::select! {
            () = wake.notified() => {}
            () = &mut over => break,
        }
    }
    let mut responses: BTreeMap<Uuid, FetchableTopicResponse> = BTreeMap::new();
    for fetched in pass.read(reader).await {
        let TopicKey::Id(topic_id) = fetched.key.topic else { panic!("topics have ids") };
        let topic = responses.entry(topic_id).or_default();
        topic.topic_id = topic_id;
        topic.partitions.push(fetched.data);
    }
    FetchResponse { responses: responses.into_values().collect(), ..FetchResponse::default() }
}

fn start(coordinator: &Arc<Coordinator>, id: i32, dir: &Path) -> Arc<Member> {
    let pairs = [
        ("log.dirs", dir.to_str().expect("a path of text")),
        ("min.insync.replicas", "2"),
        ("vltava.disk.headroom.bytes", "0"),
    ];
    let config = Values::from_pairs(pairs).expect("values");
    let (images, receiver) = watch::channel(Arc::new(image()));
    let cluster = ClusterView::new(NodeId(id), receiver, config.clone());
    let setup = Setup {
        id: NodeId(id),
        cluster_id: "prague".to_owned(),
        config: Arc::new(config),
        cluster: cluster.clone(),
        disk: Arc::new(RealDisk),
        budget: Budget::new(1 << 30, 0),
    };
    let partitions = Partitions::open(setup).expect("opened");
    let shutdown = CancellationToken::new();
    let link = Arc::new(Direct(Arc::clone(coordinator)));
    let controller = Arc::new(Called(Arc::clone(coordinator)));
    partitions.start_with(Arc::new(Reactors::here()), link, controller, &shutdown);
    let member = Arc::new(Member { partitions, cluster, images, shutdown });
    coordinator.register(NodeId(id), &member);
    member
}

fn create_topic(coordinator: &Coordinator, topic_id: Uuid) {
    coordinator.change(|_| {
        let topic = TopicRecord { name: "orders".into(), topic_id };
        let mut records = vec![MetadataRecord::from(topic)];
        for index in 0..PARTITIONS {
            let replicas: Vec<_> = (0..3).map(|step| 1 + (index + step) % 3).collect();
            records.push(MetadataRecord::from(PartitionRecord {
                partition_id: index,
                topic_id,
                isr: replicas.clone(),
                leader: replicas[0],
                replicas,
                directories: vec![Uuid::ZERO; 3],
                ..PartitionRecord::default()
            }));
        }
        records
    });
}

/// Writes records to one partition, one after the other, as an idempotent producer with acks=all
/// does: each is tried until it is acknowledged.
async fn produce(
    coordinator: Arc<Coordinator>,
    partition: i32,
    records: i32,
    acknowledged: watch::Sender<i32>,
) {
    let mut images = coordinator.images.subscribe();
    for sequence in 0..records {
        loop {
            if append(&coordinator, partition, sequence).await {
                break;
            }
            // A new leader comes with a new image.
            let _ = tokio::time::timeout(Duration::from_millis(20), images.changed()).await;
        }
        acknowledged.send_replace(sequence + 1);
    }
}

async fn append(coordinator: &Coordinator, partition: i32, sequence: i32) -> bool {
    let image = coordinator.image();
    let registration = image.partition(TOPIC, PartitionId(partition)).expect("a partition");
    let Some(member) = coordinator.member(registration.leader) else { return false };
    let Ok(leader) = member.partitions.by_id(TOPIC, partition) else { return false };
    let producer = ProducerId(1000 + i64::from(partition));
    let mut builder = BatchBuilder::new(Offset(0)).producer(producer, ProducerEpoch(0), sequence);
    let now = vltava_broker::partition::surroundings::wall_clock_ms();
    builder.append(now, None, Some(sequence.to_string().as_bytes()), &[]);
    let how = LeaderAppend {
        acks: Acks::All,
        origin: AppendOrigin::Client,
        verification: Verification::default(),
        leader_epoch: LeaderEpoch::UNKNOWN,
    };
    let Ok(appended) = leader.append(&mut builder.build(), how) else { return false };
    let committed = leader.committed(appended.end(), appended.leader_epoch);
    let mut images = coordinator.images.subscribe();
    let is_replaced = |image: &Arc<Image>| {
        let now = image.partition(TOPIC, PartitionId(partition));
        now.is_none_or(|now| now.leader != registration.leader)
    };
    tokio::select! {
        result = committed => result.is_ok(),
        // Its connection would break: the old leader is gone, and nobody will tell it.
        _ = images.wait_for(is_replaced) => false,
        () = tokio::time::sleep(PATIENCE) => false,
    }
}

fn records(member: &Member, partition: i32) -> Vec<String> {
    let partition = member.partitions.by_id(TOPIC, partition).expect("hosted");
    let mut found = Vec::new();
    let mut offset = Offset(0);
    while let Some(slice) = partition.slice(offset, 1 << 20).expect("readable") {
        let bytes = slice.read().expect("readable");
        for batch in Batches::new(&bytes) {
            let batch = batch.expect("a batch");
            offset = batch.header.next_offset();
            for record in &batch.records(1 << 20).expect("records") {
                let value = record.expect("a record").value.expect("a value");
                found.push(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    found
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

fn isr_is_whole(image: &Image) -> bool {
    let topic = image.topic_by_id(TOPIC).expect("the topic");
    topic.partitions.values().all(|partition| partition.isr.len() == 3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_is_cut_off_loses_nothing_and_comes_back() {
    const RECORDS: i32 = 150;
    let home = TempDir::new().expect("a folder");
    let dir = |name: &str| home.path().join(name);
    let coordinator = Coordinator::new();
    let mut members: Vec<_> =
        (1..=3).map(|id| start(&coordinator, id, &dir(&format!("broker-{id}")))).collect();
    create_topic(&coordinator, TOPIC);

    let mut producers = Vec::new();
    let mut progress = Vec::new();
    for partition in 0..PARTITIONS {
        let (acknowledged, seen) = watch::channel(0);
        progress.push(seen);
        let coordinator = Arc::clone(&coordinator);
        producers.push(tokio::spawn(produce(coordinator, partition, RECORDS, acknowledged)));
    }
    let some = |seen: &i32| *seen >= RECORDS / 3;
    tokio::time::timeout(PATIENCE, progress[0].wait_for(some)).await.expect("acks").expect("some");

    // Broker 1 vanishes: what it has on disk is what a killed process would leave, and the old one
    // goes on as a zombie that nobody listens to.
    let zombie = members.remove(0);
    coordinator.fence(NodeId(1));
    copy(&dir("broker-1"), &dir("broker-1-again"));
    let more = |seen: &i32| *seen >= RECORDS / 2;
    tokio::time::timeout(PATIENCE, progress[0].wait_for(more)).await.expect("acks").expect("more");

    members.insert(0, start(&coordinator, 1, &dir("broker-1-again")));
    for producer in producers {
        tokio::time::timeout(PATIENCE, producer).await.expect("all acks").expect("no panic");
    }
    coordinator.wait_until(|image| isr_is_whole(image)).await;
    let expected: Vec<_> = (0..RECORDS).map(|sequence| sequence.to_string()).collect();
    for partition in 0..PARTITIONS {
        for (index, member) in members.iter().enumerate() {
            assert_eq!(records(member, partition), expected, "{partition} on {}", index + 1);
        }
    }
    for member in members.iter().chain([&zombie]) {
        member.shutdown.cancel();
        let partitions = Arc::clone(&member.partitions);
        tokio::task::spawn_blocking(move || partitions.close(1)).await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deleted_topic_leaves_nothing_to_one_of_the_same_name() {
    let home = TempDir::new().expect("a folder");
    let coordinator = Coordinator::new();
    let members: Vec<_> =
        (1..=3).map(|id| start(&coordinator, id, &home.path().join(id.to_string()))).collect();
    create_topic(&coordinator, TOPIC);
    for sequence in 0..5 {
        assert!(append(&coordinator, 0, sequence).await);
    }
    members[0].partitions.checkpoint();
    coordinator.change(|_| {
        let gone = vltava_wire::records::metadata::RemoveTopicRecord { topic_id: TOPIC };
        vec![gone.into()]
    });
    assert!(members[0].partitions.by_id(TOPIC, 0).is_err());
    assert!(!home.path().join("1/orders-0").exists());
    create_topic(&coordinator, TOPIC);
    assert!(append(&coordinator, 0, 0).await);
    assert_eq!(records(&members[0], 0), ["0"]);
    for member in members {
        coordinator.forget(&member);
        end(member).await;
    }
    assert_eq!(ended_in_order(&home), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_was_closed_is_not_taken_for_one_that_is_lost() {
    let home = TempDir::new().expect("a folder");
    let coordinator = Coordinator::new();
    let members: Vec<_> =
        (1..=3).map(|id| start(&coordinator, id, &home.path().join(id.to_string()))).collect();
    create_topic(&coordinator, TOPIC);
    assert!(append(&coordinator, 0, 0).await);
    coordinator.fence(NodeId(1));
    let leaving = Arc::clone(&members[0].partitions);
    let closed = tokio::task::spawn_blocking(move || {
        leaving.close(7);
        leaving
    });
    let leaving = closed.await.expect("closed");
    // An image that comes after all says that others lead, and that nobody waits for this one.
    let image = coordinator.image();
    let mut changes = Changes::default();
    changes.partitions.extend((0..PARTITIONS).map(|index| vltava_metadata::PartitionRef {
        topic: TOPIC,
        partition: PartitionId(index),
    }));
    tokio::task::block_in_place(|| leaving.apply(&image, &changes));
    let entries = std::fs::read_dir(home.path().join("1")).expect("a folder");
    let lost = entries.filter(|entry| {
        entry.as_ref().expect("an entry").file_name().to_string_lossy().ends_with("-lost")
    });
    assert_eq!(lost.count(), 0);
    drop(leaving);
    for member in members {
        coordinator.forget(&member);
        end(member).await;
    }
}

/// How many brokers ended in order.
fn ended_in_order(home: &TempDir) -> usize {
    (1..=3).filter(|id| home.path().join(format!("{id}/.kafka_cleanshutdown")).exists()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_topic_that_was_made_anew_while_a_broker_was_away_begins_with_nothing() {
    const AGAIN: Uuid = Uuid(4712);
    let home = TempDir::new().expect("a folder");
    let dir = home.path().join("1");
    let coordinator = Coordinator::new();
    let away = start(&coordinator, 1, &dir);
    let others: Vec<_> =
        (2..=3).map(|id| start(&coordinator, id, &home.path().join(id.to_string()))).collect();
    create_topic(&coordinator, TOPIC);
    assert!(append(&coordinator, 0, 0).await);
    coordinator.fence(NodeId(1));
    end(away).await;
    coordinator.change(|_| {
        let gone = vltava_wire::records::metadata::RemoveTopicRecord { topic_id: TOPIC };
        vec![gone.into()]
    });
    create_topic(&coordinator, AGAIN);

    let back = start(&coordinator, 1, &dir);
    let partition = back.partitions.by_id(AGAIN, 0).expect("hosted");
    assert_eq!(partition.position().expect("online").log_end, Offset(0));
    let strays = std::fs::read_dir(&dir).expect("a folder").filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().ends_with("-stray")
    });
    assert_eq!(strays.count(), PARTITIONS as usize, "the old records are kept aside");
    for member in others.into_iter().chain([back]) {
        coordinator.forget(&member);
        end(member).await;
    }
}

/// Ends a broker in order, so that its folder can be opened again.
async fn end(member: Arc<Member>) {
    member.shutdown.cancel();
    let partitions = Arc::clone(&member.partitions);
    tokio::task::spawn_blocking(move || partitions.close(7)).await.expect("closed");
    let weak = Arc::downgrade(&member.partitions);
    drop(member);
    // Tasks let go of the folder's lock as they end.
    let gone = async {
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the tasks end");
}

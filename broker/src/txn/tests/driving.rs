//! The service over a log in memory: electing, loading, deciding, telling partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use vltava_wire::messages::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use vltava_wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, PartitionId, Str};

use super::world::at;
use crate::replication::link::LinkError;
use crate::shard::Answer;
use crate::shard::memory_log::MemoryLog;
use crate::txn::calls::{EndCall, InitCall, PartitionsCall, TopicPartition};
use crate::txn::markers::{MarkerLink, Writer};
use crate::txn::service::ProducerIdSource;
use crate::txn::{TxnConfig, TxnService};

/// Longer than anything here takes; a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);

/// Producer ids from 1 on.
struct Ids(AtomicI64);

impl ProducerIdSource for Ids {
    fn next(&self) -> BoxFuture<'static, Result<i64, ErrorCode>> {
        let id = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Box::pin(async move { Ok(id) })
    }
}

/// A marker that was written: where, whose, in which epoch, whether it commits, and in the name of
/// which epoch of the coordinator.
type Told = (TopicPartition, i64, i16, bool, i32);

/// Leaders of partitions: what they answer, and what they were told.
#[derive(Default)]
struct Leaders {
    /// What partitions answer with, if not with success.
    refusals: Mutex<BTreeMap<TopicPartition, ErrorCode>>,
    /// Partitions without a leader, and those that are gone.
    leaderless: Mutex<Vec<TopicPartition>>,
    gone: Mutex<Vec<TopicPartition>>,
    /// Whether brokers answer at all.
    is_unreachable: Mutex<bool>,
    told: Mutex<Vec<Told>>,
    /// Notified with every request.
    asked: Notify,
}

impl MarkerLink for Arc<Leaders> {
    fn writer(&self, partition: &TopicPartition) -> Writer {
        self.asked.notify_one();
        if self.gone.lock().contains(partition) {
            Writer::Nobody
        } else if self.leaderless.lock().contains(partition) {
            Writer::NobodyNow
        } else {
            Writer::Leader(NodeId(partition.1 % 2))
        }
    }

    fn write(
        &self,
        broker: NodeId,
        request: WriteTxnMarkersRequest,
    ) -> BoxFuture<'static, Result<WriteTxnMarkersResponse, LinkError>> {
        if *self.is_unreachable.lock() {
            return Box::pin(async move { Err(LinkError::NoAddress(broker)) });
        }
        let mut response = WriteTxnMarkersResponse::default();
        for marker in request.markers {
            let mut topics = Vec::new();
            for topic in marker.topics {
                let partitions = topic.partition_indexes.into_iter().map(|partition_index| {
                    let place = at(&topic.name, partition_index);
                    let refusal = self.refusals.lock().get(&place).copied();
                    let error_code = refusal.unwrap_or(ErrorCode::NONE);
                    if error_code.is_ok() {
                        let (id, epoch) = (marker.producer_id, marker.producer_epoch);
                        let result = marker.transaction_result;
                        let told = (place, id, epoch, result, marker.coordinator_epoch);
                        self.told.lock().push(told);
                    }
                    WritableTxnMarkerPartitionResult { partition_index, error_code }
                });
                let partitions = partitions.collect();
                topics.push(WritableTxnMarkerTopicResult { name: topic.name, partitions });
            }
            let producer_id = marker.producer_id;
            response.markers.push(WritableTxnMarkerResult { producer_id, topics });
        }
        Box::pin(async move { Ok(response) })
    }
}

struct Bench {
    service: TxnService,
    log: Arc<MemoryLog>,
    leaders: Arc<Leaders>,
    partition: PartitionId,
}

async fn within<T>(answer: Answer<T>) -> T
where
    T: Send + 'static,
{
    tokio::time::timeout(LONG, answer.get()).await.expect("an answer in time")
}

impl Bench {
    fn new() -> Self {
        let (log, leaders) = (Arc::new(MemoryLog::default()), Arc::new(Leaders::default()));
        let ids = Arc::new(Ids(AtomicI64::new(0)));
        let link = Arc::new(Arc::clone(&leaders));
        let service = TxnService::new(TxnConfig::default(), log.clone(), ids, link);
        service.set_level(2);
        let partition = crate::shard::partition_of("t", TxnConfig::default().partitions);
        let bench = Self { service, log, leaders, partition };
        bench.elect(1);
        bench
    }

    fn elect(&self, epoch: i32) {
        self.log.elect(self.partition, epoch);
        self.service.elected(self.partition, LeaderEpoch(epoch));
    }

    async fn init(&self) -> (i64, i16) {
        loop {
            let call = InitCall { id: "t".into(), timeout_ms: 60_000, expected: None };
            match within(self.service.init(call)).await {
                Ok(identity) => return identity,
                // It is being loaded, or the transaction before is ending.
                Err(code) if code.is_retriable() => tokio::task::yield_now().await,
                Err(code) => panic!("{code}"),
            }
        }
    }

    async fn add(&self, (producer_id, producer_epoch): (i64, i16), indexes: &[i32]) -> ErrorCode {
        within(self.service.add(PartitionsCall {
            id: "t".into(),
            producer_id,
            producer_epoch,
            partitions: indexes.iter().map(|index| at("a", *index)).collect(),
            client_version: 2,
        }))
        .await
    }

    fn end(&self, (producer_id, producer_epoch): (i64, i16), commits: bool) -> Ending {
        let id = Str::from_static("t");
        self.service.end(EndCall { id, producer_id, producer_epoch, commits, client_version: 2 })
    }

    async fn until(&self, state: &str) {
        let reached = async {
            while self.service.describe(&"t".into()).transaction_state != state {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let now = || self.service.describe(&"t".into());
        tokio::time::timeout(LONG, reached).await.unwrap_or_else(|_| panic!("{:?}", now()));
    }
}

type Ending = Answer<Result<(i64, i16), ErrorCode>>;

#[tokio::test]
async fn a_transaction_walks_from_its_producer_to_every_partition() {
    let bench = Bench::new();
    let identity = bench.init().await;
    assert_eq!(identity, (1, 0));
    assert_eq!(bench.add(identity, &[0, 1, 2]).await, ErrorCode::NONE);
    assert_eq!(within(bench.end(identity, true)).await, Ok((1, 1)));
    bench.until("CompleteCommit").await;
    let mut told = bench.leaders.told.lock().clone();
    told.sort();
    let expected: Vec<_> = (0..3).map(|index| (at("a", index), 1, 1, true, 1)).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn leaders_are_told_until_they_have_heard() {
    let bench = Bench::new();
    let identity = bench.init().await;
    assert_eq!(bench.add(identity, &[0, 1, 2, 3]).await, ErrorCode::NONE);
    let leaders = &bench.leaders;
    *leaders.is_unreachable.lock() = true;
    leaders.leaderless.lock().push(at("a", 1));
    for (index, code) in
        [(0, ErrorCode::NOT_LEADER_OR_FOLLOWER), (2, ErrorCode::NOT_ENOUGH_REPLICAS)]
    {
        leaders.refusals.lock().insert(at("a", index), code);
    }
    assert_eq!(within(bench.end(identity, false)).await, Ok((1, 1)), "it is decided all the same");
    for _ in 0..8 {
        tokio::time::timeout(LONG, leaders.asked.notified()).await.expect("it is asked again");
    }
    assert_eq!(bench.service.describe(&"t".into()).transaction_state, "PrepareAbort");
    *leaders.is_unreachable.lock() = false;
    leaders.leaderless.lock().clear();
    leaders.refusals.lock().remove(&at("a", 0));
    // What does not exist any more needs no marker.
    leaders.gone.lock().push(at("a", 2));
    bench.until("CompleteAbort").await;
    let told: Vec<i32> = leaders.told.lock().iter().map(|(place, ..)| place.1).collect();
    let mut once = told.clone();
    once.sort_unstable();
    assert_eq!(once, [0, 1, 3], "each has its marker once");
}

#[tokio::test]
async fn nobody_is_told_before_the_decision_is_committed() {
    let bench = Bench::new();
    let identity = bench.init().await;
    assert_eq!(bench.add(identity, &[0]).await, ErrorCode::NONE);
    bench.log.hold_watermark();
    let ending = bench.end(identity, true);
    assert!(matches!(ending, Answer::Later(_)));
    assert_eq!(bench.service.describe(&"t".into()).transaction_state, "Ongoing");
    assert!(bench.leaders.told.lock().is_empty());
    bench.log.release(Ok(()));
    assert_eq!(within(ending).await, Ok((1, 1)));
}

#[tokio::test]
async fn the_next_coordinator_goes_on_with_what_is_decided_once_that_is_committed() {
    let bench = Bench::new();
    let identity = bench.init().await;
    assert_eq!(bench.add(identity, &[0]).await, ErrorCode::NONE);
    bench.log.hold_watermark();
    let ending = bench.end(identity, true);
    // The coordinator dies: its record is in the log, and not committed.
    bench.elect(2);
    assert_eq!(within(ending).await, Err(ErrorCode::NOT_COORDINATOR));
    let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    bench.log.waits_for_commit().await;
    assert_eq!(bench.service.describe(&"t".into()).error_code, loading);
    assert!(bench.leaders.told.lock().is_empty(), "what may yet be lost is told to nobody");
    bench.log.commit_held();
    bench.until("CompleteCommit").await;
    let told = bench.leaders.told.lock().clone();
    assert_eq!(told, [(at("a", 0), 1, 1, true, 2)], "in the name of the new coordinator");
    // The producer asks again, and goes on.
    assert_eq!(within(bench.end(identity, true)).await, Ok((1, 1)));
}

#[tokio::test]
async fn one_who_resigned_tells_nobody_anything() {
    let bench = Bench::new();
    let identity = bench.init().await;
    assert_eq!(bench.add(identity, &[0]).await, ErrorCode::NONE);
    *bench.leaders.is_unreachable.lock() = true;
    assert_eq!(within(bench.end(identity, true)).await, Ok((1, 1)));
    tokio::time::timeout(LONG, bench.leaders.asked.notified()).await.expect("it is asked");
    bench.service.resigned(bench.partition);
    *bench.leaders.is_unreachable.lock() = false;
    let gone = bench.service.describe(&"t".into());
    assert_eq!(gone.error_code, ErrorCode::NOT_COORDINATOR);
    assert_eq!(bench.add(identity, &[0]).await, ErrorCode::NOT_COORDINATOR);
    assert!(bench.leaders.told.lock().is_empty());
}

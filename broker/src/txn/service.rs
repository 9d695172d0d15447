//! The transactions that this broker coordinates: which shard a request belongs to, and its
//! answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI16, Ordering};

use futures::future::BoxFuture;
use vltava_metadata::{Image, TRANSACTION_VERSION};
use vltava_wire::compression::Compression;
use vltava_wire::messages::ListTransactionsResponse;
use vltava_wire::messages::describe_transactions::TransactionState;
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, PartitionId, Str};

use super::calls::{EndCall, InitCall, ListFilter, PartitionsCall, TopicPartition};
use super::config::TxnConfig;
use super::describe::known_states;
use super::machine::{Event, Order, Reply, Shard};
use super::markers::{self, MarkerLink};
use super::record::TxnReplay;
use crate::metadata::topic;
use crate::partition::surroundings::wall_clock_ms;
use crate::shard::log::StateLog;
use crate::shard::{Answer, Driver, Setup, Shards};

/// Where producer ids come from.
pub trait ProducerIdSource: Send + Sync + 'static {
    /// One that nobody had.
    fn next(&self) -> BoxFuture<'static, Result<i64, ErrorCode>>;
}

/// What the shards of transactions share.
pub struct TxnSetup {
    config: TxnConfig,
    /// The level of `transaction.version`; shards are told when it changes.
    level: AtomicI16,
    ids: Arc<dyn ProducerIdSource>,
    link: Arc<dyn MarkerLink>,
}

impl Setup<Shard> for TxnSetup {
    /// As Kafka: records of transactions are small, and each is one batch.
    fn compression(&self) -> Compression {
        Compression::None
    }

    fn load_buffer_bytes(&self) -> usize {
        self.config.load_buffer_bytes
    }

    fn replay(&self) -> TxnReplay {
        TxnReplay::new(self.config.clone())
    }

    fn greeting(&self) -> Event {
        Event::Level(self.level.load(Ordering::Acquire))
    }

    fn carry_out(&self, order: Order, driver: &Arc<Driver<Shard>>) {
        let driver = Arc::clone(driver);
        match order {
            Order::Mark(order) => {
                tokio::spawn(markers::send(Arc::clone(&self.link), order, driver));
            }
            Order::DrawProducerId => {
                let drawn = self.ids.next();
                tokio::spawn(async move { driver.tell(Event::ProducerId(drawn.await)) });
            }
        }
    }
}

/// All transactional ids of which this broker is the coordinator.
pub struct TxnService {
    shards: Shards<Shard>,
}

/// Takes the answer out of a reply of its kind.
macro_rules! only {
    ($kind:ident) => {
        |reply| match reply {
            Reply::$kind(answer) => answer,
            other => unreachable!("a request is answered in kind, not with {other:?}"),
        }
    };
}

impl TxnService {
    /// A service that coordinates nothing until it is elected.
    pub fn new(
        config: TxnConfig,
        log: Arc<dyn StateLog>,
        ids: Arc<dyn ProducerIdSource>,
        link: Arc<dyn MarkerLink>,
    ) -> Self {
        let partitions = config.partitions;
        let setup = TxnSetup { config, level: AtomicI16::new(0), ids, link };
        Self { shards: Shards::new(setup, log, topic::TRANSACTION_STATE, partitions) }
    }

    /// Follows the metadata log: loads the transactions of partitions that this broker leads by
    /// now, and gives up others. The partitions must have followed the same image before. Must be
    /// called within a tokio runtime.
    pub fn follow(&self, image: &Image, me: NodeId) {
        self.set_level(image.feature_level(TRANSACTION_VERSION));
        self.shards.follow(image, me);
    }

    /// The cluster has `transaction.version` at that level.
    pub fn set_level(&self, level: i16) {
        if self.shards.setup().level.swap(level, Ordering::AcqRel) != level {
            self.shards.all().iter().for_each(|driver| driver.tell(Event::Level(level)));
        }
    }

    /// This broker has become the leader of a partition of `__transaction_state`.
    pub fn elected(&self, partition: PartitionId, epoch: LeaderEpoch) {
        self.shards.elected(partition, epoch);
    }

    /// This broker does not lead a partition any more.
    pub fn resigned(&self, partition: PartitionId) {
        self.shards.resigned(partition);
    }

    /// Gives up all transactions, as a broker does that shuts down.
    pub fn close(&self) {
        self.shards.close();
    }

    /// InitProducerId with a transactional id: the producer's id and epoch.
    pub fn init(&self, call: InitCall) -> Answer<Result<(i64, i16), ErrorCode>> {
        let id = call.id.clone();
        self.shards.submit(&id, |token| Event::Init(token, call), Err, only!(Init))
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn, of partitions that exist.
    pub fn add(&self, call: PartitionsCall) -> Answer<ErrorCode> {
        let id = call.id.clone();
        self.shards.submit(&id, |token| Event::Add(token, call), |code| code, only!(Add))
    }

    /// AddPartitionsToTxn that only asks.
    ///
    /// # Errors
    /// The code for all partitions.
    pub fn verify(
        &self,
        call: &PartitionsCall,
    ) -> Result<Vec<(TopicPartition, ErrorCode)>, ErrorCode> {
        self.shards.driver_of(&call.id)?.read(|shard| shard.verify(call))?
    }

    /// EndTxn: the id and epoch to go on with.
    pub fn end(&self, call: EndCall) -> Answer<Result<(i64, i16), ErrorCode>> {
        let id = call.id.clone();
        self.shards.submit(&id, |token| Event::End(token, call), Err, only!(End))
    }

    /// DescribeTransactions, for one id.
    pub fn describe(&self, id: &Str) -> TransactionState {
        let refused = |error_code| TransactionState {
            error_code,
            transactional_id: id.clone(),
            ..Default::default()
        };
        if id.is_empty() {
            return refused(ErrorCode::INVALID_REQUEST);
        }
        let driver = self.shards.driver_of(id);
        driver.and_then(|driver| driver.read(|shard| shard.describe(id))).unwrap_or_else(refused)
    }

    /// ListTransactions. While any shard is being loaded, there is no list.
    pub fn list(&self, filter: &ListFilter) -> ListTransactionsResponse {
        let (wall, mut listed) = (wall_clock_ms(), BTreeMap::new());
        for driver in self.shards.all() {
            match driver.read(|shard| shard.list(filter, wall)) {
                Ok(states) => listed.extend(
                    states.into_iter().map(|state| (String::from(&state.transactional_id), state)),
                ),
                Err(ErrorCode::NOT_COORDINATOR) => {}
                Err(error_code) => {
                    return ListTransactionsResponse { error_code, ..Default::default() };
                }
            }
        }
        ListTransactionsResponse {
            unknown_state_filters: known_states(&filter.states).1,
            transaction_states: listed.into_values().collect(),
            ..Default::default()
        }
    }
}

//! How leaders and group coordinators reach the share coordinator: in this process where it is
//! here, by the Kafka protocol where it is not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_wire::messages::{
    DeleteShareGroupStateRequest, InitializeShareGroupStateRequest, ReadShareGroupStateRequest,
    ReadShareGroupStateSummaryRequest, WriteShareGroupStateRequest, delete_share_group_state,
    initialize_share_group_state, read_share_group_state, read_share_group_state_summary,
    write_share_group_state,
};
use vltava_wire::records::share_state::StateBatch;
use vltava_wire::{ErrorCode, NodeId, PartitionId};

use super::coordinator::machine::{KnownState, NewState, Refusal, StateReply};
use super::coordinator::record::ShareKey;
use super::coordinator::{Ask, ShareCoordinator};
use crate::metadata::{ClusterView, topic};

/// How long the share coordinator is asked again, before who asks is told that it did not answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause before it is asked again: the first time, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// One who can ask the share coordinator.
pub trait AskShareCoordinator: Send + Sync + 'static {
    /// Asks, until there is an answer or patience is over.
    fn ask(&self, key: ShareKey, ask: Ask) -> BoxFuture<'static, StateReply>;
}

/// Asks the share coordinator, wherever it is.
pub struct Persister {
    me: NodeId,
    cluster: ClusterView,
    listener: String,
    options: ConnectOptions,
    local: Arc<ShareCoordinator>,
    connections: Mutex<HashMap<NodeId, Connection>>,
    /// Woken when `__share_group_state` is wanted and does not exist.
    wanted: Arc<Notify>,
}

impl Persister {
    /// Asks by the listener of that name, or `local`.
    pub fn new(
        me: NodeId,
        cluster: ClusterView,
        listener: String,
        options: ConnectOptions,
        local: Arc<ShareCoordinator>,
    ) -> Arc<Self> {
        let (connections, wanted) = (Mutex::default(), Arc::default());
        Arc::new(Self { me, cluster, listener, options, local, connections, wanted })
    }

    /// Returns when somebody needs `__share_group_state`, which does not exist.
    pub async fn topic_wanted(&self) {
        self.wanted.notified().await;
    }

    async fn ask_until_answered(self: Arc<Self>, key: ShareKey, ask: Ask) -> StateReply {
        let deadline = Instant::now() + PATIENCE;
        let (mut pause, max) = PAUSE;
        loop {
            let reply = self.once(&key, &ask).await;
            let again = reply.as_ref().is_err_and(|refusal| match refusal.code {
                ErrorCode::NOT_COORDINATOR
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => true,
                // It has not read of the topic yet.
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    self.cluster.image().topic_by_id(key.topic).is_some()
                }
                _ => false,
            });
            if !again || Instant::now() + pause >= deadline {
                return reply;
            }
            let mut images = self.cluster.subscribe();
            images.mark_unchanged();
            tokio::select! {
                _ = images.changed() => tokio::time::sleep(PAUSE.0).await,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(max);
        }
    }

    async fn once(&self, key: &ShareKey, ask: &Ask) -> StateReply {
        let unavailable = || Err(ErrorCode::COORDINATOR_NOT_AVAILABLE.into());
        let image = self.cluster.image();
        let Some(states) = image.topic(topic::SHARE_GROUP_STATE) else {
            self.wanted.notify_one();
            return unavailable();
        };
        let partition = crate::shard::partition_of(&key.coordinator_key(), states.partitions.len());
        let leader = states.partition(PartitionId(partition.get())).and_then(|at| at.leader());
        let Some(leader) = leader else { return unavailable() };
        if leader == self.me {
            return self.local.ask(key.clone(), ask.clone()).get().await;
        }
        let connection = match self.connection(leader).await {
            Ok(connection) => connection,
            Err(error) => {
                let leader = leader.get();
                tracing::debug!(leader, %error, "the share coordinator cannot be reached");
                return unavailable();
            }
        };
        match call(&connection, key, ask).await {
            Ok(reply) => reply,
            Err(error) => {
                self.connections.lock().await.remove(&leader);
                let leader = leader.get();
                tracing::debug!(leader, %error, "the share coordinator does not answer");
                unavailable()
            }
        }
    }

    /// A connection to another broker.
    pub(super) async fn connection(&self, leader: NodeId) -> Result<Connection, ClientError> {
        let mut connections = self.connections.lock().await;
        if let Some(open) = connections.get(&leader).filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let image = self.cluster.image();
        let endpoint = image.broker(leader).and_then(|broker| broker.endpoint(&self.listener));
        let address = endpoint.map(|at| format!("{}:{}", at.host, at.port)).unwrap_or_default();
        let open = Connection::connect(&address, &self.options).await?;
        connections.insert(leader, open.clone());
        Ok(open)
    }
}

impl AskShareCoordinator for Arc<Persister> {
    fn ask(&self, key: ShareKey, ask: Ask) -> BoxFuture<'static, StateReply> {
        Box::pin(Arc::clone(self).ask_until_answered(key, ask))
    }
}

/// What a share coordinator elsewhere said of one share-partition.
fn told(code: ErrorCode, state: Option<KnownState>) -> StateReply {
    match code {
        ErrorCode::NONE => Ok(state),
        code => Err(Refusal::from(code)),
    }
}

/// Takes the answer about the one partition that was asked for.
macro_rules! only {
    ($response:expr) => {
        $response.results.into_iter().flat_map(|topic| topic.partitions).next().unwrap_or_default()
    };
}

async fn call(
    connection: &Connection,
    key: &ShareKey,
    ask: &Ask,
) -> Result<StateReply, ClientError> {
    match ask {
        Ask::Initialize(new) => initialize(connection, key, new).await,
        Ask::Read(leader_epoch) => read(connection, key, *leader_epoch).await,
        Ask::Summary => summary(connection, key).await,
        Ask::Write(new) => write(connection, key, new).await,
        Ask::Delete => delete(connection, key).await,
    }
}

async fn initialize(
    connection: &Connection,
    key: &ShareKey,
    new: &NewState,
) -> Result<StateReply, ClientError> {
    use initialize_share_group_state::{InitializeStateData, PartitionData};
    let partition = PartitionData {
        partition: key.partition,
        state_epoch: new.state_epoch,
        start_offset: new.start_offset,
    };
    let request = InitializeShareGroupStateRequest {
        group_id: key.group.clone(),
        topics: vec![InitializeStateData { topic_id: key.topic, partitions: vec![partition] }],
    };
    let version = connection.version_of::<InitializeShareGroupStateRequest>(i16::MAX)?;
    let response = connection.call_within(version, &request, CALL_TIMEOUT).await?;
    Ok(told(only!(response).error_code, None))
}

async fn read(
    connection: &Connection,
    key: &ShareKey,
    leader_epoch: i32,
) -> Result<StateReply, ClientError> {
    use read_share_group_state::{PartitionData, ReadStateData};
    let partition = PartitionData { partition: key.partition, leader_epoch };
    let request = ReadShareGroupStateRequest {
        group_id: key.group.clone(),
        topics: vec![ReadStateData { topic_id: key.topic, partitions: vec![partition] }],
    };
    let version = connection.version_of::<ReadShareGroupStateRequest>(i16::MAX)?;
    let response = connection.call_within(version, &request, CALL_TIMEOUT).await?;
    let result = only!(response);
    let batches = result.state_batches.into_iter().map(|batch| StateBatch {
        first_offset: batch.first_offset,
        last_offset: batch.last_offset,
        delivery_state: batch.delivery_state,
        delivery_count: batch.delivery_count,
    });
    let batches = batches.collect();
    let known =
        KnownState::told(result.state_epoch, leader_epoch, result.start_offset, -1, batches);
    Ok(told(result.error_code, Some(known)))
}

async fn summary(connection: &Connection, key: &ShareKey) -> Result<StateReply, ClientError> {
    use read_share_group_state_summary::{PartitionData, ReadStateSummaryData};
    let partition = PartitionData { partition: key.partition, leader_epoch: -1 };
    let request = ReadShareGroupStateSummaryRequest {
        group_id: key.group.clone(),
        topics: vec![ReadStateSummaryData { topic_id: key.topic, partitions: vec![partition] }],
    };
    let version = connection.version_of::<ReadShareGroupStateSummaryRequest>(i16::MAX)?;
    let response = connection.call_within(version, &request, CALL_TIMEOUT).await?;
    let result = only!(response);
    let known = KnownState::told(
        result.state_epoch,
        result.leader_epoch,
        result.start_offset,
        result.delivery_complete_count,
        Vec::new(),
    );
    Ok(told(result.error_code, Some(known)))
}

async fn write(
    connection: &Connection,
    key: &ShareKey,
    new: &NewState,
) -> Result<StateReply, ClientError> {
    use write_share_group_state::{PartitionData, StateBatch, WriteStateData};
    let batches = new.batches.iter().map(|batch| StateBatch {
        first_offset: batch.first_offset,
        last_offset: batch.last_offset,
        delivery_state: batch.delivery_state,
        delivery_count: batch.delivery_count,
    });
    let partition = PartitionData {
        partition: key.partition,
        state_epoch: new.state_epoch,
        leader_epoch: new.leader_epoch,
        start_offset: new.start_offset,
        delivery_complete_count: new.delivery_complete_count,
        state_batches: batches.collect(),
    };
    let request = WriteShareGroupStateRequest {
        group_id: key.group.clone(),
        topics: vec![WriteStateData { topic_id: key.topic, partitions: vec![partition] }],
    };
    let version = connection.version_of::<WriteShareGroupStateRequest>(i16::MAX)?;
    let response = connection.call_within(version, &request, CALL_TIMEOUT).await?;
    Ok(told(only!(response).error_code, None))
}

async fn delete(connection: &Connection, key: &ShareKey) -> Result<StateReply, ClientError> {
    use delete_share_group_state::{DeleteStateData, PartitionData};
    let partition = PartitionData { partition: key.partition };
    let request = DeleteShareGroupStateRequest {
        group_id: key.group.clone(),
        topics: vec![DeleteStateData { topic_id: key.topic, partitions: vec![partition] }],
    };
    let version = connection.version_of::<DeleteShareGroupStateRequest>(i16::MAX)?;
    let response = connection.call_within(version, &request, CALL_TIMEOUT).await?;
    Ok(told(only!(response).error_code, None))
}

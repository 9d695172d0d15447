//! How a follower reaches its leader: the inter-broker listener, by the Kafka protocol.

use futures::future::BoxFuture;
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_wire::NodeId;
use vltava_wire::messages::{FetchRequest, FetchResponse};

use crate::metadata::ClusterView;
use crate::metadata::reached::Reach;

/// Why a leader could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// The metadata log does not say where the leader listens.
    #[error("broker {0} has no address for other brokers")]
    NoAddress(NodeId),
    /// It cannot be reached, or the connection broke.
    #[error("the leader cannot be asked")]
    Call(#[from] vltava_client::ClientError),
}

/// Opens connections to leaders.
pub trait LeaderLink: Send + Sync + 'static {
    /// A connection to a broker.
    fn connect(&self, leader: NodeId) -> BoxFuture<'static, Result<LeaderConnection, LinkError>>;
}

/// A connection to a leader. Dropping it closes it, and has the leader forget what it was asked.
pub type LeaderConnection = Box<dyn FetchFrom>;

/// A leader that can be asked for records.
pub trait FetchFrom: Send + Sync {
    /// Asks; the leader answers when there is something, or its time is over.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'static, Result<FetchResponse, LinkError>>;
}

/// Connections by the inter-broker listener.
pub struct InterBrokerLink {
    cluster: ClusterView,
    listener: String,
    options: ConnectOptions,
}

impl InterBrokerLink {
    /// Links by that listener; `options` say how long to wait, and how brokers call themselves.
    pub fn new(cluster: ClusterView, listener: String, options: ConnectOptions) -> Self {
        Self { cluster, listener, options }
    }
}

impl LeaderLink for InterBrokerLink {
    fn connect(&self, leader: NodeId) -> BoxFuture<'static, Result<LeaderConnection, LinkError>> {
        let image = self.cluster.image();
        let endpoint = image.broker(leader).and_then(|broker| broker.endpoint(&self.listener));
        let address = endpoint.map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port));
        let (options, cluster) = (self.options.clone(), self.cluster.clone());
        Box::pin(async move {
            let address = address.ok_or(LinkError::NoAddress(leader))?;
            let connection = Connection::connect(&address, &options).await?;
            let reach = cluster.reached(leader);
            let connection = ClientConnection { connection, cluster, leader, _reach: reach };
            Ok(Box::new(connection) as LeaderConnection)
        })
    }
}

struct ClientConnection {
    connection: Connection,
    cluster: ClusterView,
    leader: NodeId,
    _reach: Reach,
}

impl FetchFrom for ClientConnection {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'static, Result<FetchResponse, LinkError>> {
        let (connection, cluster, leader) =
            (self.connection.clone(), self.cluster.clone(), self.leader);
        Box::pin(async move {
            let outcome = connection.call(&request).await;
            if let Err(ClientError::Closed { .. }) = &outcome {
                cluster.suspect(leader);
            }
            Ok(outcome?)
        })
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.connection.close();
    }
}

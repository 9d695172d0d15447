//! Calls to other brokers, and to this one, by the inter-broker listener: one connection each.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_wire::{NodeId, Request, Str};

use crate::metadata::ClusterView;
use crate::replication::link::LinkError;

/// How long connecting to a broker may take: it is near, or it is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The brokers of the cluster, as one of them calls the others.
pub struct Neighbours {
    cluster: ClusterView,
    listener: String,
    options: ConnectOptions,
    /// By broker. One that moved or broke off is replaced when it is next called.
    connections: Mutex<HashMap<NodeId, Connection>>,
}

impl Neighbours {
    /// Calls by that listener, in the name of broker `me`.
    pub fn new(me: NodeId, cluster: ClusterView, listener: String) -> Self {
        let options = ConnectOptions {
            client_id: Str::from(format!("broker-{me}-txn")),
            connect_timeout: CONNECT_TIMEOUT,
            ..ConnectOptions::default()
        };
        Self { cluster, listener, options, connections: Mutex::default() }
    }

    /// The cluster, as far as it is known here.
    pub fn cluster(&self) -> &ClusterView {
        &self.cluster
    }

    /// Calls a broker once, in the highest version that both know.
    ///
    /// # Errors
    /// It cannot be reached, or the connection broke: whether the request was carried out is not
    /// known then.
    pub async fn call<R: Request>(
        &self,
        broker: NodeId,
        request: &R,
    ) -> Result<R::Response, LinkError> {
        let outcome = self.connection(broker).await?.call(request).await;
        if let Err(ClientError::Closed { .. }) = &outcome {
            self.cluster.suspect(broker);
        }
        Ok(outcome?)
    }

    async fn connection(&self, broker: NodeId) -> Result<Connection, LinkError> {
        let image = self.cluster.image();
        let endpoint = image.broker(broker).and_then(|broker| broker.endpoint(&self.listener));
        let endpoint = endpoint.ok_or(LinkError::NoAddress(broker))?;
        let address = format!("{}:{}", endpoint.host, endpoint.port);
        if let Some(open) = self.connections.lock().get(&broker)
            && !open.is_closed()
            && open.address() == address
        {
            return Ok(open.clone());
        }
        let opened = Connection::connect(&address, &self.options).await?;
        let mut connections = self.connections.lock();
        match connections.get(&broker) {
            // Somebody else was faster.
            Some(open) if !open.is_closed() && open.address() == address => {
                opened.close();
                Ok(open.clone())
            }
            _ => {
                connections.insert(broker, opened.clone());
                Ok(opened)
            }
        }
    }
}

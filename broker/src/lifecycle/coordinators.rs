//! Calls to the active coordinator, wherever it is at the moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, watch};
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_net::CancellationToken;
use vltava_wire::header::RequestHeader;
use vltava_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest,
    AlterPartitionResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
    EnvelopeRequest,
};
use vltava_wire::records::principal::DefaultPrincipalData;
use vltava_wire::{ErrorCode, Message, NodeId, Request, Str, Writer};

use crate::controller::{Controller, ControllerError};

/// How long one call to the active coordinator may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting to it may take: it is near, or it is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a forwarded request waits for an active coordinator; clients wait 30 s and more.
const FORWARD_LIMIT: Duration = Duration::from_secs(20);
/// The pause before a forwarded request is tried again, if nobody says that the leader changed.
const FORWARD_PAUSE: Duration = Duration::from_millis(50);

/// The coordinator that leads the quorum, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Its id.
    pub id: NodeId,
    /// `host:port`.
    pub address: String,
}

/// The coordinators as a broker calls them: always the active one.
#[derive(Debug)]
pub struct Coordinators {
    broker: NodeId,
    active: watch::Receiver<Option<Active>>,
    connection: Mutex<Option<Connection>>,
    shutdown: CancellationToken,
}

impl Coordinators {
    pub(super) fn new(
        broker: NodeId,
        active: watch::Receiver<Option<Active>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { broker, active, connection: Mutex::new(None), shutdown }
    }

    /// The active coordinator, if one is known.
    pub fn active(&self) -> Option<Active> {
        self.active.borrow().clone()
    }

    /// Waits until another coordinator is active, or `pause` is over.
    pub async fn changed(&self, pause: Duration) {
        let mut active = self.active.clone();
        active.mark_unchanged();
        tokio::select! {
            // The sender lives as long as the broker.
            _ = active.changed() => {}
            () = tokio::time::sleep(pause) => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    /// Calls the active coordinator once.
    ///
    /// # Errors
    /// If none is known, or it does not answer.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ControllerError> {
        let connection = self.connection().await?;
        let version = connection.version_of::<R>(i16::MAX).map_err(failed)?;
        connection.call_within(version, request, CALL_TIMEOUT).await.map_err(failed)
    }

    async fn connection(&self) -> Result<Connection, ControllerError> {
        let active = self.active().ok_or(ControllerError::NoActive)?;
        let mut held = self.connection.lock().await;
        match &*held {
            Some(open) if !open.is_closed() && open.address() == active.address => Ok(open.clone()),
            _ => {
                let options = ConnectOptions {
                    connect_timeout: CONNECT_TIMEOUT,
                    ..ConnectOptions::named(&format!("broker-{}", self.broker))
                };
                let open = Connection::connect(&active.address, &options).await.map_err(failed)?;
                *held = Some(open.clone());
                Ok(open)
            }
        }
    }

    /// Carries a request to the active coordinator in an envelope (KIP-590) and brings back the
    /// response, header and all. Waits for a new active coordinator while there is none.
    ///
    /// # Errors
    /// If no coordinator took it within 20 s, or one broke off in the middle: whether the request
    /// was carried out is not known then.
    pub async fn forward(
        &self,
        header: &RequestHeader,
        body: &Bytes,
        peer: SocketAddr,
    ) -> Result<Bytes, ControllerError> {
        let envelope = envelope(header, body, peer);
        let start = Instant::now();
        loop {
            let error = match self.call(&envelope).await {
                Ok(response) if response.error_code == ErrorCode::NOT_CONTROLLER => {
                    ControllerError::NoActive
                }
                Ok(response) if response.error_code.is_err() => {
                    return Err(ControllerError::Call(response.error_code.to_string()));
                }
                Ok(response) => return Ok(response.response_data.unwrap_or_default()),
                Err(error) => error,
            };
            if start.elapsed() > FORWARD_LIMIT || self.shutdown.is_cancelled() {
                return Err(error);
            }
            self.changed(FORWARD_PAUSE).await;
        }
    }
}

impl Controller for Arc<Coordinators> {
    fn alter_partition(
        &self,
        request: AlterPartitionRequest,
    ) -> BoxFuture<'static, Result<AlterPartitionResponse, ControllerError>> {
        let coordinators = Arc::clone(self);
        Box::pin(async move { coordinators.call(&request).await })
    }

    fn allocate_producer_ids(
        &self,
        request: AllocateProducerIdsRequest,
    ) -> BoxFuture<'static, Result<AllocateProducerIdsResponse, ControllerError>> {
        let coordinators = Arc::clone(self);
        Box::pin(async move { coordinators.call(&request).await })
    }

    fn assign_replicas_to_dirs(
        &self,
        request: AssignReplicasToDirsRequest,
    ) -> BoxFuture<'static, Result<AssignReplicasToDirsResponse, ControllerError>> {
        let coordinators = Arc::clone(self);
        Box::pin(async move { coordinators.call(&request).await })
    }
}

fn failed(error: ClientError) -> ControllerError {
    ControllerError::Call(error.to_string())
}

/// The envelope of a request: its bytes as they came, who sent it, and from where.
fn envelope(header: &RequestHeader, body: &Bytes, peer: SocketAddr) -> EnvelopeRequest {
    let mut data = Writer::new();
    header.encode(&mut data);
    data.shared(body);
    // Nobody is asked for a name yet: everyone is the one principal that Kafka has for that.
    let principal = DefaultPrincipalData {
        r#type: Str::from_static("User"),
        name: Str::from_static("ANONYMOUS"),
        token_authenticated: false,
    };
    let mut principal_bytes = Writer::new();
    principal_bytes.i16(0);
    principal.write(&mut principal_bytes, 0);
    let host = match peer.ip() {
        std::net::IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        std::net::IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    };
    EnvelopeRequest {
        request_data: data.into_bytes(),
        request_principal: Some(principal_bytes.into_bytes()),
        client_host_address: host,
    }
}

//! Calls to the active coordinator, wherever it is at the moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};
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

/// Which of the connections to the active coordinator a call takes. A coordinator answers the
/// requests of a connection in order: a client's that takes its time must not keep the broker from
/// learning that its ISR has changed.
#[derive(Clone, Copy, Debug)]
enum Lane {
    /// What the broker asks for itself.
    Own,
    /// What it forwards for clients.
    Forwarded,
}

/// The coordinators as a broker calls them: always the active one.
#[derive(Debug)]
pub struct Coordinators {
    broker: NodeId,
    active: watch::Receiver<Option<Active>>,
    own: Mutex<Option<Connection>>,
    forwarded: Mutex<Option<Connection>>,
    shutdown: CancellationToken,
}

impl Coordinators {
    pub(super) fn new(
        broker: NodeId,
        active: watch::Receiver<Option<Active>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { broker, active, own: Mutex::default(), forwarded: Mutex::default(), shutdown }
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

    /// Calls the active coordinator once. Waits for it no longer than until another one is active:
    /// one that stands still, or that nobody reaches, does not say that it is not active any more.
    ///
    /// # Errors
    /// If none is known, or it does not answer; it may have carried the request out then.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ControllerError> {
        self.call_over(Lane::Own, request).await
    }

    async fn call_over<R: Request>(
        &self,
        lane: Lane,
        request: &R,
    ) -> Result<R::Response, ControllerError> {
        let mut active = self.active.clone();
        let asked = active.borrow_and_update().clone().ok_or(ControllerError::NoActive)?;
        let superseded = async {
            let is_other = |now: &Option<Active>| now.as_ref().is_some_and(|now| *now != asked);
            if active.wait_for(is_other).await.is_err() {
                // The broker ends, and nobody will say who is active.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            answer = self.ask(&asked, lane, request) => answer,
            () = superseded => {
                let Active { id, address } = &asked;
                let reason = format!("coordinator {id} at {address} is not active any more");
                Err(ControllerError::Call(reason))
            }
        }
    }

    async fn ask<R: Request>(
        &self,
        active: &Active,
        lane: Lane,
        request: &R,
    ) -> Result<R::Response, ControllerError> {
        let connection = self.connection(active, lane).await?;
        let version = connection.version_of::<R>(i16::MAX).map_err(failed)?;
        connection.call_within(version, request, CALL_TIMEOUT).await.map_err(failed)
    }

    async fn connection(&self, active: &Active, lane: Lane) -> Result<Connection, ControllerError> {
        let slot = match lane {
            Lane::Own => &self.own,
            Lane::Forwarded => &self.forwarded,
        };
        let mut held = slot.lock().await;
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
    /// response, header and all. Waits for a new active coordinator while there is none, and asks
    /// that one too where another was asked before and did not answer.
    ///
    /// # Errors
    /// If no coordinator answered within 20 s: whether the request was carried out is not known
    /// then.
    pub async fn forward(
        &self,
        header: &RequestHeader,
        body: &Bytes,
        peer: SocketAddr,
    ) -> Result<Bytes, ControllerError> {
        self.forward_within(FORWARD_LIMIT, &envelope(header, body, peer)).await
    }

    async fn forward_within(
        &self,
        limit: Duration,
        envelope: &EnvelopeRequest,
    ) -> Result<Bytes, ControllerError> {
        let deadline = Instant::now() + limit;
        loop {
            let Ok(answer) = timeout_at(deadline, self.call_over(Lane::Forwarded, envelope)).await
            else {
                let reason = format!("no answer within {limit:?}");
                return Err(ControllerError::Call(reason));
            };
            let error = match answer {
                Ok(response) if response.error_code == ErrorCode::NOT_CONTROLLER => {
                    ControllerError::NoActive
                }
                Ok(response) if response.error_code.is_err() => {
                    return Err(ControllerError::Refused(response.error_code));
                }
                Ok(response) => return Ok(response.response_data.unwrap_or_default()),
                Err(error) => error,
            };
            if Instant::now() >= deadline || self.shutdown.is_cancelled() {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use vltava_net::Answer;
    use vltava_wire::ApiKey;
    use vltava_wire::messages::api_versions::ApiVersion;
    use vltava_wire::messages::{ApiVersionsRequest, ApiVersionsResponse, EnvelopeResponse};

    use super::*;

    /// Long enough for whatever is to happen at once.
    const LONG: Duration = Duration::from_secs(10);

    /// A coordinator that opens envelopes, or stands still once it has got one.
    async fn coordinator(stands_still: bool, asked: mpsc::UnboundedSender<()>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, stands_still, asked.clone()));
            }
        });
        address
    }

    async fn serve(mut stream: TcpStream, stands_still: bool, asked: mpsc::UnboundedSender<()>) {
        while let Ok(length) = stream.read_u32().await {
            let mut frame = vec![0; length as usize];
            stream.read_exact(&mut frame).await.expect("a whole request");
            let (header, _) = RequestHeader::split(frame.into()).expect("a header");
            let answer = match header.key() {
                Some(ApiKey::ApiVersions) => Answer::to::<ApiVersionsRequest>(&header, &served()),
                _ => {
                    asked.send(()).expect("the test goes on");
                    if stands_still {
                        return std::future::pending().await;
                    }
                    let response_data = Some(Bytes::from_static(b"done"));
                    let response = EnvelopeResponse { response_data, ..Default::default() };
                    Answer::to::<EnvelopeRequest>(&header, &response)
                }
            };
            let Answer::Frame(frame) = answer else { panic!("{answer:?}") };
            stream.write_u32(frame.len() as u32).await.expect("the broker reads");
            stream.write_all(&frame.to_bytes()).await.expect("the broker reads");
        }
    }

    fn served() -> ApiVersionsResponse {
        let range = |key: ApiKey, max_version| ApiVersion {
            api_key: key.code(),
            min_version: 0,
            max_version,
        };
        let api_keys = vec![range(ApiKey::ApiVersions, 3), range(ApiKey::Envelope, 0)];
        ApiVersionsResponse { api_keys, ..Default::default() }
    }

    fn coordinators(active: watch::Receiver<Option<Active>>) -> Coordinators {
        Coordinators::new(NodeId(1), active, CancellationToken::new())
    }

    #[tokio::test]
    async fn a_coordinator_that_stands_still_is_left_for_the_one_that_is_active_now() {
        let (told, mut asked) = mpsc::unbounded_channel();
        let paused = Active { id: NodeId(11), address: coordinator(true, told.clone()).await };
        let other = Active { id: NodeId(12), address: coordinator(false, told).await };
        let (news, active) = watch::channel(Some(paused.clone()));
        let coordinators = coordinators(active);
        let envelope = EnvelopeRequest::default();
        let forwarding = coordinators.forward_within(2 * LONG, &envelope);
        let electing = async {
            asked.recv().await.expect("the first one is asked");
            // While nobody knows who is active, the one that is asked may still answer.
            for active in [None, Some(paused), Some(other)] {
                news.send_replace(active);
                tokio::task::yield_now().await;
            }
        };
        let both = async { tokio::join!(forwarding, electing).0 };
        let answer = tokio::time::timeout(LONG, both).await.expect("it is not waited for");
        assert_eq!(answer.expect("an answer"), "done");
    }

    #[tokio::test]
    async fn a_forwarded_request_that_takes_its_time_does_not_hold_up_the_broker_s_own() {
        let (told, mut asked) = mpsc::unbounded_channel();
        let slow = Active { id: NodeId(11), address: coordinator(true, told).await };
        let (_news, active) = watch::channel(Some(slow));
        let coordinators = coordinators(active);
        let envelope = EnvelopeRequest::default();
        let forwarding = coordinators.forward_within(2 * LONG, &envelope);
        let own = async {
            asked.recv().await.expect("the forwarded one is there, and is not answered");
            coordinators.call(&ApiVersionsRequest::default()).await
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(LONG, own) => answer.expect("it is not held up"),
            forwarded = forwarding => panic!("{forwarded:?}"),
        };
        assert_eq!(answer.expect("an answer").error_code, ErrorCode::NONE);
    }

    #[tokio::test]
    async fn a_forwarded_request_has_an_end() {
        let (told, _asked) = mpsc::unbounded_channel();
        let paused = Active { id: NodeId(11), address: coordinator(true, told).await };
        let (_news, active) = watch::channel(Some(paused));
        let coordinators = coordinators(active);
        let envelope = EnvelopeRequest::default();
        let limit = Duration::from_millis(100);
        let forwarding = coordinators.forward_within(limit, &envelope);
        let error = tokio::time::timeout(LONG, forwarding).await.expect("it ends");
        let error = error.expect_err("nobody answers").to_string();
        assert!(error.contains("no answer within 100ms"), "{error}");
    }
}

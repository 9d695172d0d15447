//! Requests to other coordinators, over connections that are kept.
//!
//! Each node has two: fetches, which the leader may keep for a while, go over one of their own, so
//! that a vote or the news of a leader need not wait behind them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_quorum::{Destination, Request, RequestId, Response, rpc};
use vltava_wire::messages::AddRaftVoterResponse;
use vltava_wire::{NodeId, Request as WireRequest, Str};

use crate::driver::{Inbox, Message, PeerEvent};

/// Connections that are kept. Quorums are small; addresses that are no longer used are forgotten
/// beyond it.
const LANES_MAX: usize = 256;

/// Which of the two connections of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lane {
    Fetches,
    Others,
}

/// One connection, made when it is needed.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

/// The way to other coordinators.
#[derive(Clone)]
pub(crate) struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Handle,
    inbox: Inbox,
    cluster_id: Str,
    options: ConnectOptions,
    timeout: Duration,
    slots: Mutex<HashMap<(String, Lane), Slot>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("there was no answer in time")]
    Timeout,
    #[error("the answer makes no sense")]
    Answer(#[source] rpc::RpcError),
}

impl Peers {
    /// Sends over `runtime`; answers go to `inbox`. `timeout` is how long one may take.
    pub(crate) fn new(
        runtime: Handle,
        inbox: Inbox,
        cluster_id: Str,
        node: NodeId,
        timeout: Duration,
    ) -> Self {
        let options = ConnectOptions {
            connect_timeout: timeout,
            ..ConnectOptions::named(&format!("coordinator-{node}"))
        };
        let slots = Mutex::default();
        Self { inner: Arc::new(Inner { runtime, inbox, cluster_id, options, timeout, slots }) }
    }

    /// Sends a request of the quorum; what comes of it is told to the loop.
    pub(crate) fn send(&self, id: RequestId, to: &Destination, request: Request) {
        let lane = match &request {
            Request::Fetch(_) | Request::FetchSnapshot(_) => Lane::Fetches,
            _ => Lane::Others,
        };
        let address = address(&to.endpoint.host, to.endpoint.port);
        let (inner, node) = (Arc::clone(&self.inner), to.node);
        self.inner.runtime.spawn(async move {
            // Whoever waits for the connection that another is making waits no longer, either: else
            // requests to a node that nobody reaches queue up without end.
            let call = inner.call(&address, lane, node, request);
            let outcome = tokio::time::timeout(inner.timeout, call).await;
            let event = match outcome.unwrap_or(Err(CallError::Timeout)) {
                Ok(response) => PeerEvent::Answered { id, response: Box::new(response) },
                Err(error) => {
                    tracing::debug!(%address, "a coordinator did not answer: {error}");
                    PeerEvent::Failed { id }
                }
            };
            inner.inbox.tell(Message::Peer(event));
        });
    }

    /// Makes a call to a coordinator that is none of the quorum's own.
    pub(crate) async fn call<R: WireRequest>(
        &self,
        host: &str,
        port: u16,
        node: Option<NodeId>,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let address = address(host, port);
        let connection = self.inner.connection(&address, Lane::Others, node).await?;
        self.inner.exchange(&connection, request).await
    }
}

/// `host:port`, as one connects to it.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Inner {
    /// The connection of a lane: the one that is open, or a new one.
    async fn connection(
        self: &Arc<Self>,
        address: &str,
        lane: Lane,
        node: Option<NodeId>,
    ) -> Result<Connection, ClientError> {
        let slot = self.slot(address, lane);
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = Connection::connect(address, &self.options).await?;
        *slot = Some(connection.clone());
        if let Some(peer) = node {
            let (inbox, watched) = (self.inbox.clone(), connection.clone());
            tokio::spawn(async move {
                watched.closed().await;
                inbox.tell(Message::Peer(PeerEvent::Lost { peer }));
            });
        }
        Ok(connection)
    }

    fn slot(&self, address: &str, lane: Lane) -> Slot {
        let mut slots = self.slots.lock();
        if slots.len() >= LANES_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry((address.to_owned(), lane)).or_default())
    }

    async fn exchange<R: WireRequest>(
        &self,
        connection: &Connection,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let version = connection.version_of::<R>(i16::MAX)?;
        connection.call_within(version, request, self.timeout).await
    }

    async fn call(
        self: &Arc<Self>,
        address: &str,
        lane: Lane,
        node: Option<NodeId>,
        request: Request,
    ) -> Result<Response, CallError> {
        let connection = self.connection(address, lane, node).await?;
        let cluster = &self.cluster_id;
        Ok(match request {
            Request::Vote(vote) => {
                let wire = rpc::vote_request_to_wire(&vote, cluster);
                let answer = self.exchange(&connection, &wire).await?;
                Response::Vote(rpc::vote_response_from_wire(answer).map_err(CallError::Answer)?)
            }
            Request::BeginQuorumEpoch(begin) => {
                let wire = rpc::begin_request_to_wire(&begin, cluster);
                let answer = self.exchange(&connection, &wire).await?;
                let answer = rpc::begin_response_from_wire(answer);
                Response::BeginQuorumEpoch(answer.map_err(CallError::Answer)?)
            }
            Request::EndQuorumEpoch(end) => {
                let wire = rpc::end_request_to_wire(&end, cluster);
                let answer = self.exchange(&connection, &wire).await?;
                let answer = rpc::end_response_from_wire(answer);
                Response::EndQuorumEpoch(answer.map_err(CallError::Answer)?)
            }
            Request::Fetch(fetch) => {
                let wire = rpc::fetch_request_to_wire(&fetch, cluster);
                let answer = self.exchange(&connection, &wire).await?;
                Response::Fetch(rpc::fetch_response_from_wire(answer).map_err(CallError::Answer)?)
            }
            Request::FetchSnapshot(fetch) => {
                let wire = rpc::snapshot_request_to_wire(&fetch, cluster);
                let answer = self.exchange(&connection, &wire).await?;
                let answer = rpc::snapshot_response_from_wire(answer);
                Response::FetchSnapshot(answer.map_err(CallError::Answer)?)
            }
            Request::AddVoter(add) => {
                let wire = rpc::add_request_to_wire(&add, cluster);
                let answer: AddRaftVoterResponse = self.exchange(&connection, &wire).await?;
                Response::AddVoter(rpc::add_response_from_wire(&answer))
            }
            Request::RemoveVoter(remove) => {
                let wire = rpc::remove_request_to_wire(&remove, cluster);
                let answer = self.exchange(&connection, &wire).await?;
                let leader = vltava_quorum::LeaderInfo::default();
                let error = answer.error_code;
                Response::RemoveVoter(vltava_quorum::VoterChangeResponse { error, leader })
            }
            Request::UpdateVoter(update) => {
                let wire = rpc::update_request_to_wire(&update, cluster);
                let answer = self.exchange(&connection, &wire).await?;
                Response::UpdateVoter(rpc::update_response_from_wire(&answer))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpListener;
    use vltava_quorum::{BeginQuorumEpochRequest, Endpoint, ReplicaKey};
    use vltava_wire::{LeaderEpoch, Uuid};

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(200);

    /// A voter's machine takes connections, and says nothing.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_to_a_node_that_says_nothing_do_not_wait_for_one_another() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = silent.local_addr().expect("it is bound").port();
        let (inbox, mut mailbox) = Inbox::new();
        let peers = Peers::new(Handle::current(), inbox, "cluster".into(), NodeId(1), TIMEOUT);
        let endpoint = Endpoint { name: "C".into(), host: "127.0.0.1".into(), port };
        let to = Destination { node: Some(NodeId(2)), endpoint };
        let begin = BeginQuorumEpochRequest {
            voter: ReplicaKey::new(NodeId(2), Uuid(2_000)),
            leader: NodeId(1),
            epoch: LeaderEpoch(1),
            endpoints: Vec::new(),
        };
        let start = Instant::now();
        let all = 30;
        for id in 0..all {
            peers.send(RequestId(id), &to, Request::BeginQuorumEpoch(begin.clone()));
        }
        for _ in 0..all {
            let told = mailbox.recv().await;
            assert!(matches!(told, Some(Message::Peer(PeerEvent::Failed { .. }))));
        }
        let took = start.elapsed();
        assert!(took < TIMEOUT * 15, "one after the other, they would take 6 s: {took:?}");
    }
}

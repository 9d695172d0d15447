//! Follows the metadata log: drives the quorum's machine as an observer, over a log in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_metadata::{Changes, Checkpoint, Image, ReplayError, checkpoint};
use vltava_quorum::{
    Config, Destination, Effect, Event, Instant, LogShape, Machine, QuorumState, ReplicaKey,
    Request, RequestId, Response, SnapshotId, Violation, VoterSet, rpc,
};
use vltava_wire::{Offset, Str, Uuid};

use super::coordinators::Active;
use super::memory_log::MemoryLog;
use super::{Published, Settings, address};

/// The most bytes of a snapshot that a broker takes in; 10,000 topics of 100 partitions take less.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// Why the metadata log cannot be followed any further.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The quorum broke a promise.
    #[error("the quorum is inconsistent")]
    Halt(#[source] Violation),
    /// A committed record makes no sense to this version.
    #[error("a committed batch cannot be applied")]
    Replay(#[source] ReplayError),
    /// The configuration of the quorum's timeouts makes no sense.
    #[error("the quorum's timeouts cannot be used")]
    Config(#[source] vltava_quorum::ConfigError),
}

/// What comes back from the network.
enum Answer {
    Response(RequestId, Box<Response>),
    Failed(RequestId),
}

/// The observer and all that it holds.
pub(super) struct Observer {
    config: Config,
    cluster_id: Str,
    started: tokio::time::Instant,
    log: MemoryLog,
    snapshot: BytesMut,
    image: Image,
    connections: Arc<Mutex<HashMap<String, Connection>>>,
    answers: (mpsc::UnboundedSender<Answer>, mpsc::UnboundedReceiver<Answer>),
    tick: tokio::time::Instant,
    news: News,
    controller_listener: String,
    bootstrap: Vec<String>,
}

/// Whom to tell what.
pub(super) struct News {
    /// Which coordinator is active.
    pub(super) leader: watch::Sender<Option<Active>>,
    /// Where all coordinators listen.
    pub(super) controllers: watch::Sender<Vec<String>>,
    /// Each image with what changed.
    pub(super) images: mpsc::UnboundedSender<Published>,
    /// The latest image, for who needs no more.
    pub(super) latest: watch::Sender<Option<Arc<Image>>>,
}

impl Observer {
    pub(super) fn new(settings: &Settings, news: News) -> Self {
        let identity = &settings.identity;
        // Brokers name no directory: they keep no log of the quorum, and never vote.
        let directory = identity.directories.first().copied().unwrap_or(Uuid(1 << 64));
        let local = ReplicaKey::new(identity.id, directory);
        let config = Config {
            can_vote: false,
            listener_name: settings.controller_listener.clone(),
            bootstrap: settings.bootstrap.clone(),
            fetch_timeout: settings.fetch_timeout,
            request_timeout: settings.request_timeout,
            fetch_max_wait: (settings.fetch_timeout / 2).min(Duration::from_millis(500)),
            ..Config::new(local, identity.incarnation.0 as u64)
        };
        let now = tokio::time::Instant::now();
        Self {
            config,
            cluster_id: identity.cluster_id.clone(),
            started: now,
            log: MemoryLog::default(),
            snapshot: BytesMut::new(),
            image: Image::new(identity.cluster_id.clone()),
            connections: Arc::default(),
            answers: mpsc::unbounded_channel(),
            tick: now,
            news,
            controller_listener: settings.controller_listener.clone(),
            bootstrap: super::addresses(&settings.bootstrap),
        }
    }

    fn now(&self) -> Instant {
        Instant::from(self.started.elapsed())
    }

    /// Follows the log for ever.
    pub(super) async fn run(mut self) -> Result<(), ObserveError> {
        let (config, state) = (self.config.clone(), QuorumState::default());
        let mut machine = Machine::new(config, state, LogShape::empty(), self.now())
            .map_err(ObserveError::Config)?;
        let mut event = Event::Tick;
        loop {
            let mut events = VecDeque::from([event]);
            while let Some(event) = events.pop_front() {
                for effect in machine.on(event, self.now()) {
                    self.carry_out(effect, &mut events)?;
                }
            }
            event = tokio::select! {
                biased;
                Some(answer) = self.answers.1.recv() => match answer {
                    Answer::Response(id, response) => Event::Response { id, response: *response },
                    Answer::Failed(id) => Event::RequestFailed { id },
                },
                () = tokio::time::sleep_until(self.tick) => Event::Tick,
            };
        }
    }

    fn carry_out(
        &mut self,
        effect: Effect,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ObserveError> {
        match effect {
            Effect::AppendFetched { records, .. } => self.log.append(&records),
            Effect::Truncate { to } => self.log.truncate(to),
            // Memory is durable enough for an observer's log: it starts anew with the process.
            Effect::Flush(point) => events.push_back(Event::Flushed { point }),
            Effect::WriteSnapshot { position, bytes, .. } => {
                if position == 0 {
                    self.snapshot.clear();
                }
                if self.snapshot.len() as u64 + bytes.len() as u64 <= SNAPSHOT_BYTES_MAX {
                    self.snapshot.extend_from_slice(&bytes);
                }
            }
            Effect::InstallSnapshot { id } => events.push_front(self.install(id)),
            Effect::Send { id, to, request } => self.send(id, &to, request),
            Effect::LeaderChanged(info) => self.leader_changed(&info),
            Effect::Committed { high_watermark } => self.apply(high_watermark)?,
            Effect::ScheduleTick(at) => self.tick = self.started + at.since_start(),
            Effect::Halt(violation) => return Err(ObserveError::Halt(violation)),
            // A broker does not vote, lead, propose or answer, and so has nothing to persist.
            Effect::PersistQuorumState(_)
            | Effect::AppendProposal { .. }
            | Effect::AppendControl { .. }
            | Effect::Respond { .. }
            | Effect::RespondFetch { .. }
            | Effect::RespondSnapshot { .. }
            | Effect::BecameLeader { .. }
            | Effect::LostLeadership { .. }
            | Effect::ProposalRejected { .. }
            | Effect::Stopped => {}
        }
        Ok(())
    }

    fn install(&mut self, id: SnapshotId) -> Event {
        let bytes = std::mem::take(&mut self.snapshot).freeze();
        let id_on_disk = checkpoint::SnapshotId { end_offset: id.end_offset, epoch: id.epoch };
        match checkpoint::decode(id_on_disk, self.cluster_id.clone(), &bytes) {
            Ok(checkpoint) => {
                self.log.clear();
                Event::SnapshotInstalled { id, voters: self.load(checkpoint) }
            }
            Err(error) => {
                tracing::warn!(%error, "a snapshot of the metadata cannot be read; fetched again");
                Event::SnapshotRejected { id }
            }
        }
    }

    fn load(&mut self, checkpoint: Checkpoint) -> VoterSet {
        let changes = Changes::between(&self.image, &checkpoint.image);
        self.image = checkpoint.image;
        self.publish(changes);
        checkpoint.voters.as_ref().map(rpc::voters_from_wire).unwrap_or_default()
    }

    fn apply(&mut self, high_watermark: Offset) -> Result<(), ObserveError> {
        let mut changes = Changes::default();
        let batches = self.log.committed(high_watermark);
        if batches.is_empty() {
            return Ok(());
        }
        for batch in batches {
            changes.extend(self.image.replay(&batch).map_err(ObserveError::Replay)?);
        }
        self.publish(changes);
        Ok(())
    }

    fn publish(&mut self, changes: Changes) {
        if !changes.controllers.is_empty() {
            self.news.controllers.send_if_modified(|addresses| {
                let now = self.coordinators();
                let differs = *addresses != now;
                *addresses = now;
                differs
            });
        }
        let image = Arc::new(self.image.clone());
        self.news.latest.send_replace(Some(Arc::clone(&image)));
        // Nobody listens any more only when the broker ends.
        let _ = self.news.images.send(Published { image, changes });
    }

    /// Where all coordinators listen: those that registered, and the bootstrap servers while none
    /// has.
    fn coordinators(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self
            .image
            .controllers()
            .filter_map(|controller| controller.endpoints.get(&*self.controller_listener))
            .map(|endpoint| address(&endpoint.host, endpoint.port))
            .collect();
        for server in &self.bootstrap {
            if !addresses.contains(server) {
                addresses.push(server.clone());
            }
        }
        addresses
    }

    fn leader_changed(&self, info: &vltava_quorum::LeaderInfo) {
        let active = info
            .leader
            .zip(info.endpoint.as_ref())
            .map(|(id, endpoint)| Active { id, address: address(&endpoint.host, endpoint.port) });
        self.news.leader.send_if_modified(|old| {
            let differs = *old != active;
            if differs && let Some(active) = &active {
                let Active { id, address } = active;
                let (coordinator, epoch) = (id.get(), info.epoch.get());
                tracing::info!(coordinator, %address, epoch, "follows");
            }
            *old = active;
            differs
        });
    }

    /// Sends a request in a task of its own; the answer comes back as an event.
    fn send(&self, id: RequestId, to: &Destination, request: Request) {
        let target = address(&to.endpoint.host, to.endpoint.port);
        let options = ConnectOptions {
            connect_timeout: self.config.request_timeout,
            request_timeout: self.config.request_timeout + self.config.fetch_max_wait,
            ..ConnectOptions::named(&format!("broker-{}-metadata", self.config.local.id))
        };
        let connections = Arc::clone(&self.connections);
        let answers = self.answers.0.clone();
        let cluster_id = self.cluster_id.clone();
        tokio::spawn(async move {
            let outcome = match connect(&target, &options, &connections).await {
                Ok(connection) => call(&connection, request, &cluster_id).await,
                Err(error) => Err(Failure::Client(error)),
            };
            report(id, outcome, &answers);
        });
    }
}

/// The open connection to an address, or a new one.
async fn connect(
    target: &str,
    options: &ConnectOptions,
    connections: &Mutex<HashMap<String, Connection>>,
) -> Result<Connection, ClientError> {
    let open = {
        let mut connections = connections.lock();
        connections.retain(|_, connection| !connection.is_closed());
        connections.get(target).cloned()
    };
    if let Some(open) = open {
        return Ok(open);
    }
    let connection = Connection::connect(target, options).await?;
    connections.lock().insert(target.to_owned(), connection.clone());
    Ok(connection)
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Rpc(#[from] rpc::RpcError),
    #[error("an observer does not send this")]
    Foreign,
}

fn report(
    id: RequestId,
    outcome: Result<Response, Failure>,
    answers: &mpsc::UnboundedSender<Answer>,
) {
    let answer = match outcome {
        Ok(response) => Answer::Response(id, Box::new(response)),
        Err(error) => {
            tracing::debug!(%error, "a request to the quorum failed");
            Answer::Failed(id)
        }
    };
    // The observer is gone only when the broker ends.
    let _ = answers.send(answer);
}

async fn call(
    connection: &Connection,
    request: Request,
    cluster_id: &Str,
) -> Result<Response, Failure> {
    match request {
        Request::Fetch(request) => {
            let request = rpc::fetch_request_to_wire(&request, cluster_id);
            let response = connection.call(&request).await?;
            Ok(Response::Fetch(rpc::fetch_response_from_wire(response)?))
        }
        Request::FetchSnapshot(request) => {
            let request = rpc::snapshot_request_to_wire(&request, cluster_id);
            let response = connection.call(&request).await?;
            Ok(Response::FetchSnapshot(rpc::snapshot_response_from_wire(response)?))
        }
        _ => Err(Failure::Foreign),
    }
}

//! Founders that meet: this one listens, asks all others again and again, and says so, until it is
//! known what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use vltava_client::{ConnectOptions, Connection};
use vltava_config::Values;
use vltava_log::Disk;
use vltava_net::admin::{Admin, Health};
use vltava_net::{
    Answer, BoundListener, CancellationToken, Handler, Inbound, NetMetrics, ProcessMetrics, Reply,
    Server,
};
use vltava_quorum::{LeaderInfo, VoteRequest, VoteResponse, rpc};
use vltava_wire::messages::api_versions::ApiVersion;
use vltava_wire::messages::{ApiVersionsRequest, ApiVersionsResponse, VoteRequest as WireRequest};
use vltava_wire::{ApiKey, ErrorCode, NodeId, Str};

use super::{Asked, Founding, Verdict};
use crate::api::Call;
use crate::folder::{Folder, FolderError, Unfounded};
use crate::server::{CONNECTIONS_LIMIT, RunError, bind};

/// The pauses before founders that did not answer as they should are asked again: each is twice
/// the one before, up to the longest. One that asks is asked at once.
const ASK_PAUSE_MIN: Duration = Duration::from_millis(10);
const ASK_PAUSE_MAX: Duration = Duration::from_millis(320);

/// How long one of them may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// The version of Vote that knows pre-votes.
const VOTE_VERSION: i16 = 2;

/// What is shared by those who ask and those who answer.
struct Meeting {
    founding: Mutex<Founding>,
    /// Told of each change.
    verdict: watch::Sender<Verdict>,
    /// Somebody asked.
    asked: Notify,
    addresses: BTreeMap<NodeId, String>,
    disk: Arc<dyn Disk>,
    unfounded: Unfounded,
}

/// Waits until it is known whether the node of an empty folder is a founder, and formats the folder
/// so.
///
/// # Errors
/// If it cannot listen, or its disk cannot be written.
pub(crate) async fn settle(
    values: &Values,
    disk: &Arc<dyn Disk>,
    unfounded: Unfounded,
    (random, wall_ms): (u128, i64),
) -> Result<Folder, RunError> {
    let met = unfounded.met(disk).map_err(RunError::Folder)?;
    let others = unfounded.others().map(|voter| voter.key);
    let founding = Founding::new(unfounded.local(), others, &met);
    let (verdict, _) = watch::channel(founding.verdict());
    let meeting = Arc::new(Meeting {
        founding: Mutex::new(founding),
        verdict,
        asked: Notify::new(),
        addresses: unfounded.addresses(),
        disk: Arc::clone(disk),
        unfounded,
    });
    let verdict = meet(values, &meeting).await?;
    let unfounded = &meeting.unfounded;
    match verdict {
        Verdict::Joins { elder } => {
            tracing::warn!(
                "coordinator {elder} has voted already, and never met this one on this folder: \
                 the disk is a new one, and this coordinator observes until it is added"
            );
            unfounded.join(disk, random)
        }
        _ => unfounded.found(disk, wall_ms),
    }
    .map_err(RunError::Folder)
}

/// Listens and asks until the verdict is there; nothing listens afterwards.
async fn meet(values: &Values, meeting: &Arc<Meeting>) -> Result<Verdict, RunError> {
    let stop = CancellationToken::new();
    let bound = bind(values).await?;
    let admin = vltava_node::bind_admin(values).await.map_err(RunError::Bind)?;
    let mut registry = Registry::default();
    ProcessMetrics::register(&mut registry);
    let (limits, budget) = (vltava_node::limits(values), vltava_node::budget(values));
    let metrics = NetMetrics::register(&mut registry, &budget);
    let admin = admin.map(|listener| {
        tokio::spawn(serve_admin(Arc::clone(meeting), registry, listener, stop.clone()))
    });
    let service = Arc::new(Service(Arc::clone(meeting)));
    let server = Server::start(bound, limits, budget, metrics, service, stop.clone())
        .map_err(RunError::Bind)?;
    let mut news = meeting.verdict.subscribe();
    let outcome = tokio::select! {
        known = news.wait_for(|verdict| *verdict != Verdict::Waits) => match known {
            Ok(verdict) => Ok(*verdict),
            Err(_) => unreachable!("the meeting holds the sender"),
        },
        error = meeting.ask() => Err(error),
    };
    stop.cancel();
    // Connections that do not end in time are of no consequence: the ports are free by then.
    let _ = tokio::time::timeout(CONNECTIONS_LIMIT, server.stopped()).await;
    if let Some(admin) = admin {
        let _ = tokio::time::timeout(CONNECTIONS_LIMIT, admin).await;
    }
    outcome
}

async fn serve_admin(
    meeting: Arc<Meeting>,
    registry: Registry,
    listener: BoundListener,
    stop: CancellationToken,
) {
    let admin = Admin {
        registry: Arc::new(RwLock::new(registry)),
        live: Box::new(|| Health::Good("the process answers".to_owned())),
        ready: Box::new(move || Health::Bad(meeting.waits_for())),
        hand_over: None,
    };
    admin.serve(listener, stop).await;
}

impl Meeting {
    /// Whom this node waits for, for people.
    fn waits_for(&self) -> String {
        let awaited: Vec<String> =
            self.founding.lock().awaited().map(|id| id.to_string()).collect();
        format!("meets the other founders of the quorum; awaited: {}", awaited.join(", "))
    }

    /// Asks all who are awaited, again and again. Ends only if there is an error.
    async fn ask(&self) -> RunError {
        let (mut said, mut pause) = (String::new(), ASK_PAUSE_MIN);
        loop {
            let awaited: Vec<NodeId> = self.founding.lock().awaited().collect();
            let asked = awaited.into_iter().map(|founder| self.ask_one(founder));
            futures::future::join_all(asked).await;
            let waits_for = self.waits_for();
            let waits = self.founding.lock().verdict() == Verdict::Waits;
            if waits && said != waits_for {
                tracing::info!("{waits_for}");
                said = waits_for;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(ASK_PAUSE_MAX),
                () = self.asked.notified() => pause = ASK_PAUSE_MIN,
            }
        }
    }

    async fn ask_one(&self, founder: NodeId) {
        let (Some(address), Some(question)) =
            (self.addresses.get(&founder), self.founding.lock().question(founder))
        else {
            return;
        };
        let answer = self.exchange(address, &question);
        match tokio::time::timeout(ASK_LIMIT, answer).await {
            Ok(Ok(answer)) => {
                let mut founding = self.founding.lock();
                founding.answered(founder, &answer);
                self.verdict.send_replace(founding.verdict());
            }
            Ok(Err(error)) => tracing::debug!(%founder, "a founder did not answer: {error}"),
            Err(_) => tracing::debug!(%founder, "a founder did not answer in time"),
        }
    }

    async fn exchange(
        &self,
        address: &str,
        question: &VoteRequest,
    ) -> Result<VoteResponse, Box<dyn std::error::Error + Send + Sync>> {
        let options = ConnectOptions::named(&format!("coordinator-{}", question.candidate.id));
        let connection = Connection::connect(address, &options).await?;
        let wire = rpc::vote_request_to_wire(question, self.unfounded.cluster_id());
        let answer = connection.call_within(VOTE_VERSION, &wire, ASK_LIMIT).await?;
        connection.close();
        Ok(rpc::vote_response_from_wire(answer)?)
    }

    /// Answers a founder, once it is remembered that it is fresh.
    fn answer(&self, request: &VoteRequest) -> Result<VoteResponse, FolderError> {
        let mut founding = self.founding.lock();
        let error = match founding.asked(request) {
            Asked::ByFounder { new } => {
                if new {
                    self.unfounded.remember(&self.disk, &founding.met())?;
                }
                ErrorCode::NONE
            }
            Asked::Otherwise => ErrorCode::INVALID_VOTER_KEY,
        };
        self.verdict.send_replace(founding.verdict());
        self.asked.notify_one();
        Ok(VoteResponse { error, leader: LeaderInfo::default(), granted: false })
    }
}

/// What a node serves that does not know yet who it is: a founder's question, and nothing else.
struct Service(Arc<Meeting>);

impl Handler for Service {
    async fn handle(&self, request: Inbound) -> Reply {
        let call = Call::from(request);
        match call.key {
            ApiKey::ApiVersions => call.answer::<ApiVersionsRequest>(&api_versions()),
            ApiKey::Vote => self.vote(&call),
            other => Answer::close(format!("{other} is not served before the founding")).into(),
        }
    }
}

impl Service {
    fn vote(&self, call: &Call) -> Reply {
        let request = match call.decode::<WireRequest>() {
            Ok(request) => request,
            Err(close) => return close.into(),
        };
        let cluster_id: &Str = self.0.unfounded.cluster_id();
        let answer = match rpc::vote_request_from_wire(request, cluster_id) {
            Ok(request) => self.0.answer(&request),
            Err(error) => {
                let leader = LeaderInfo::default();
                Ok(VoteResponse { error: error.code, leader, granted: false })
            }
        };
        match answer {
            Ok(answer) => call.answer::<WireRequest>(&rpc::vote_response_to_wire(&answer)),
            Err(error) => {
                tracing::error!("a founder cannot be remembered: {error}");
                Answer::close("the disk cannot be written").into()
            }
        }
    }
}

fn api_versions() -> ApiVersionsResponse {
    let range =
        |key: ApiKey, max_version| ApiVersion { api_key: key.code(), min_version: 0, max_version };
    let api_keys = vec![range(ApiKey::ApiVersions, 4), range(ApiKey::Vote, VOTE_VERSION)];
    ApiVersionsResponse { api_keys, ..ApiVersionsResponse::default() }
}

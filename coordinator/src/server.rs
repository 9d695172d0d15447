//! A coordinator as a whole: folder, loop, listeners, admin port; how it starts and how it ends.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use rand::Rng;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use vltava_config::{Loaded, Values, keys};
use vltava_log::{Disk, RealDisk};
use vltava_metadata::configuration::dynamic_values;
use vltava_net::admin::{Admin, Health};
use vltava_net::{
    BindError, BoundListener, CancellationToken, ListenerConfig, NetMetrics, ProcessMetrics,
    Server, logging, shutdown,
};
use vltava_quorum::Endpoint;
use vltava_wire::{NodeId, Uuid};

use crate::api::{Context, Service};
use crate::clock::Clock;
use crate::driver::{DriverError, Inbox, Message, Plan};
use crate::folder::{Folder, FolderError, Opened};
use crate::founding;
use crate::metrics::StatusMetrics;
use crate::peers::Peers;
use crate::registration::Registration;
use crate::status::{News, Status};
use crate::store::WaitingDisk;

/// How long a coordinator that stops waits for its connections to end.
pub(crate) const CONNECTIONS_LIMIT: Duration = Duration::from_secs(2);

/// Bytes of the loop's stack.
const LOOP_STACK_BYTES: usize = 512 * 1024;

/// Why a coordinator ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log cannot be set up.
    #[error("the log cannot be set up")]
    Logging(#[source] logging::LogError),
    /// The machine gives no threads.
    #[error("the runtime cannot be started")]
    Runtime(#[source] std::io::Error),
    /// The process may not handle signals.
    #[error("signals cannot be handled")]
    Signals(#[source] std::io::Error),
    /// A listener cannot be opened.
    #[error("a listener cannot be opened")]
    Bind(#[source] BindError),
    /// The data folder cannot be used.
    #[error("the data folder cannot be used")]
    Folder(#[source] FolderError),
    /// The loop cannot start, or ended by itself.
    #[error("the coordinator cannot go on")]
    Driver(#[source] DriverError),
    /// The loop ended without a word: it panicked.
    #[error("the coordinator's loop has crashed")]
    Crashed,
}

/// Runs a coordinator until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting, or makes it end by itself.
pub fn run(loaded: Loaded) -> Result<(), RunError> {
    vltava_node::begin(&loaded).map_err(RunError::Logging)?;
    // One thread serves all sockets: a coordinator has few, and small ones.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(async {
        let mut signal = Box::pin(shutdown::signalled().map_err(RunError::Signals)?);
        let started = tokio::select! {
            started = Coordinator::start(&loaded.values) => started?,
            // A founder may wait for the others for as long as they do not come.
            signal = &mut signal => {
                tracing::info!("the coordinator stops: {signal}");
                return Ok(());
            }
        };
        started.run_until(signal).await
    })
}

/// A coordinator that runs.
#[derive(Debug)]
pub struct Coordinator {
    node: NodeId,
    inbox: Inbox,
    status: watch::Receiver<Status>,
    disk: WaitingDisk,
    /// How the loop ended.
    ended: oneshot::Receiver<Result<(), DriverError>>,
    server: Arc<Server<Service>>,
    stop: CancellationToken,
}

impl Coordinator {
    /// Starts a coordinator within the present runtime. Dropping it does not end it.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn start(values: &Values) -> Result<Self, RunError> {
        let stop = CancellationToken::new();
        let waiting = WaitingDisk::new(Arc::new(RealDisk));
        let disk: Arc<dyn Disk> = Arc::new(waiting.clone());
        let (random, now) = (rand::rng().random(), Clock::wall_ms());
        let opened = Folder::open(&disk, values, random, now).map_err(RunError::Folder)?;
        let folder = match opened {
            Opened::Ready(folder) => folder,
            Opened::Unfounded(empty) => {
                founding::settle(values, &disk, empty, (random, now)).await?
            }
        };
        let (node, cluster_id) = (folder.replica.id, folder.cluster_id.clone());
        let bound = bind(values).await?;
        let admin = vltava_node::bind_admin(values).await.map_err(RunError::Bind)?;
        let endpoints = advertised(values, &bound);
        let (inbox, messages) = Inbox::new();
        let peers = Peers::new(
            Handle::current(),
            inbox.clone(),
            cluster_id.clone(),
            node,
            peer_timeout(values),
        );
        let plan = Plan {
            values,
            folder: &folder,
            disk,
            endpoints: endpoints.clone(),
            peers: peers.clone(),
            inbox: inbox.clone(),
            messages,
        };
        let (driver, status) = plan.prepare().map_err(RunError::Driver)?;
        tracing::info!(
            node = node.get(), cluster = %cluster_id, directory = %folder.replica.directory_id,
            "the coordinator starts"
        );
        if status.borrow().voters.is_empty() {
            tracing::info!(
                "this folder knows of no quorum: the node waits for one that exists, and observes \
                 it until it is added; to found a new one, name its coordinators in \
                 vltava.initial.controllers of each of them"
            );
        }
        let ended = spawn_loop(driver, folder)?;
        let incarnation = Uuid::from_random(rand::rng().random());
        let registration = Registration { node, incarnation, endpoints };
        tokio::spawn(registration.keep(status.clone(), inbox.clone(), peers));
        let context = Arc::new(Context {
            node,
            cluster_id,
            values: values.clone(),
            inbox: inbox.clone(),
            news: News::new(status.clone()),
        });
        let server = Arc::new(serve(values, bound, admin, context, (&status, &waiting), &stop)?);
        tokio::spawn(follow_limits(Arc::clone(&server), values.clone(), node, status.clone()));
        Ok(Self { node, inbox, status, disk: waiting, ended, server, stop })
    }

    /// The latest news, now and later.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The coordinator's id.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Serves until `signal` comes, and ends in order: another coordinator leads first, then the
    /// log is closed, then the connections end.
    ///
    /// # Errors
    /// If the loop ended by itself.
    pub async fn run_until(
        self,
        signal: impl Future<Output = &'static str>,
    ) -> Result<(), RunError> {
        let Self { inbox, mut ended, disk, server, stop, .. } = self;
        let outcome = tokio::select! {
            outcome = &mut ended => outcome,
            signal = signal => {
                tracing::info!("the coordinator stops: {signal}");
                disk.give_up();
                inbox.tell(Message::Stop);
                ended.await
            }
        };
        stop.cancel();
        // Connections that do not end in time end with the process.
        let _ = tokio::time::timeout(CONNECTIONS_LIMIT, server.stopped()).await;
        match outcome {
            Ok(outcome) => outcome.map_err(RunError::Driver),
            Err(_) => Err(RunError::Crashed),
        }
    }
}

/// Starts the loop on a thread of its own, which holds the folder's lock as long as it runs.
fn spawn_loop(
    driver: crate::driver::Driver,
    folder: Folder,
) -> Result<oneshot::Receiver<Result<(), DriverError>>, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(RunError::Runtime)?;
    let (ending, ended) = oneshot::channel();
    let run = move || {
        let outcome = runtime.block_on(driver.run());
        drop(folder);
        // Who would hear it is gone already when the process ends.
        let _ = ending.send(outcome);
    };
    std::thread::Builder::new()
        .name("loop".to_owned())
        .stack_size(LOOP_STACK_BYTES)
        .spawn(run)
        .map_err(RunError::Runtime)?;
    Ok(ended)
}

fn serve(
    values: &Values,
    bound: Vec<BoundListener>,
    admin: Option<BoundListener>,
    context: Arc<Context>,
    (status, disk): (&watch::Receiver<Status>, &WaitingDisk),
    stop: &CancellationToken,
) -> Result<Server<Service>, RunError> {
    let mut registry = Registry::default();
    ProcessMetrics::register(&mut registry);
    registry.register_collector(Box::new(StatusMetrics(News::new(status.clone()))));
    let (limits, budget) = (vltava_node::limits(values), vltava_node::budget(values));
    let metrics = NetMetrics::register(&mut registry, &budget);
    if let Some(listener) = admin {
        let (news, disk) = (News::new(status.clone()), disk.clone());
        let live = Box::new(|| Health::Good("the process answers".to_owned()));
        let ready = Box::new(move || match disk.is_full() {
            true => Health::Bad("the disk is full".to_owned()),
            false => readiness(&news.latest()),
        });
        let registry = Arc::new(RwLock::new(registry));
        let admin = Admin { registry, live, ready, hand_over: None };
        tokio::spawn(admin.serve(listener, stop.clone()));
    }
    let service = Arc::new(Service(context));
    Server::start(bound, limits, budget, metrics, service, stop.clone()).map_err(RunError::Bind)
}

/// Takes limits over that are set while the node runs.
async fn follow_limits(
    server: Arc<Server<Service>>,
    values: Values,
    node: NodeId,
    mut status: watch::Receiver<Status>,
) {
    let mut applied = (values.get(keys::MAX_CONNECTIONS), values.get(keys::MAX_CONNECTIONS_PER_IP));
    // The sender is gone when the node ends.
    while status.changed().await.is_ok() {
        let image = status.borrow_and_update().image.clone();
        let (values, _unusable) = dynamic_values(&values, node, &image);
        let wanted = (values.get(keys::MAX_CONNECTIONS), values.get(keys::MAX_CONNECTIONS_PER_IP));
        if wanted != applied {
            applied = wanted;
            server.set_limits(vltava_node::limits(&values));
        }
    }
}

/// A coordinator does its work once it leads, or follows a leader.
fn readiness(status: &Status) -> Health {
    let epoch = status.leader.epoch;
    match status.leader.leader {
        _ if status.is_active => Health::Good(format!("active, in epoch {epoch}")),
        Some(leader) if status.high_watermark.is_some() => {
            Health::Good(format!("follows {leader}, in epoch {epoch}"))
        }
        Some(leader) => Health::Bad(format!("about to follow {leader}, in epoch {epoch}")),
        None => Health::Bad(format!("no leader is known in epoch {epoch}")),
    }
}

pub(crate) async fn bind(values: &Values) -> Result<Vec<BoundListener>, RunError> {
    let names = values.controller_listener_names();
    let mut bound = Vec::new();
    for listener in values.listeners().into_iter().filter(|it| names.contains(&it.name)) {
        let address = &listener.address;
        let config = ListenerConfig::new(&listener.name, &address.host, address.port).protected();
        bound.push(config.bind().await.map_err(RunError::Bind)?);
    }
    Ok(bound)
}

/// Where others reach this node: as configured, with ports that were chosen when it was bound.
fn advertised(values: &Values, bound: &[BoundListener]) -> Vec<Endpoint> {
    let port = |name: &str| {
        let own = bound.iter().find(|bound| **bound.name() == *name)?;
        Some(own.local_addr().port())
    };
    let endpoint = |listener: vltava_config::Listener| Endpoint {
        name: listener.name.into(),
        host: listener.address.host.into(),
        port: listener.address.port,
    };
    vltava_node::advertised(values, port).into_iter().map(endpoint).collect()
}

/// An answer may wait for records as long as a fetch may, and then takes its time.
fn peer_timeout(values: &Values) -> Duration {
    let request = values.get(keys::CONTROLLER_QUORUM_REQUEST_TIMEOUT_MS);
    let fetch = values.get(keys::CONTROLLER_QUORUM_FETCH_TIMEOUT_MS);
    Duration::from_millis(u64::try_from(request.saturating_add(fetch)).unwrap_or(0))
}

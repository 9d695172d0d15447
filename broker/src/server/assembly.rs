//! From a configuration to a broker that serves, and from a signal to one that has ended in order.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use vltava_config::{Loaded, Values, keys};
use vltava_log::checkpoint::{CheckpointError, MetaProperties};
use vltava_log::{Disk, RealDisk};
use vltava_metadata::{Changes, ConfigResource, Image, ResourceType};
use vltava_net::admin::Admin;
use vltava_net::{
    BindError, BoundListener, CancellationToken, NetMetrics, ProcessMetrics, Reactors, logging,
    shutdown,
};
use vltava_node::milliseconds;
use vltava_quorum::Endpoint;
use vltava_wire::{BrokerEpoch, NodeId, Str, Uuid};

use super::Broker;
use super::doors::{self, Doors};
use super::observability::{self, MetadataGauges};
use super::{groups, transactions};
use crate::controller::Controller;
use crate::lifecycle::{Control, ControlError, Identity, Life, Published, RackFile, Settings};
use crate::metadata::ClusterView;
use crate::partition::{OpenError, Partitions, Setup};
use crate::telemetry::Telemetry;

/// How long a broker that is told to stop waits until its leadership is moved away.
const CONTROLLED_SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);
/// How long it then waits for connections to end.
const CONNECTIONS_LIMIT: Duration = Duration::from_secs(2);
/// Threads that serve sockets, and threads for the broker's own work: what waits for a disk waits
/// elsewhere.
const THREADS_MAX: usize = 8;

/// Why a broker ended, or did not start.
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
    /// The recovery of the logs panicked.
    #[error("the logs could not be opened")]
    Crashed(#[source] tokio::task::JoinError),
    /// A listener cannot be opened.
    #[error("a listener cannot be opened")]
    Bind(#[source] BindError),
    /// The cluster that the broker belongs to is not known.
    #[error(
        "{} is empty and vltava.cluster.id is not set: a broker formats a folder only under the \
         id of the cluster that it was told", path.display()
    )]
    ClusterId {
        /// The first log directory.
        path: PathBuf,
    },
    /// The marks of a log directory cannot be read.
    #[error("the log directory's meta.properties cannot be read")]
    Meta(#[source] CheckpointError),
    /// The partitions cannot be opened.
    #[error("the log directories cannot be opened")]
    Open(#[source] OpenError),
    /// The broker cannot be part of its cluster.
    #[error("the broker cannot be part of its cluster")]
    Control(#[source] ControlError),
    /// No log directory works any more.
    #[error("every log directory has failed; see the log for the reason of each")]
    LogDirectories,
}

/// Runs a broker until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting, or makes it end by itself.
pub fn run(loaded: Loaded) -> Result<(), RunError> {
    vltava_node::begin(&loaded).map_err(RunError::Logging)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let outcome = runtime.block_on(live(loaded.values));
    // A read of a disk that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Threads of each kind: as many as there are cores, within bounds.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX)
}

async fn live(values: Values) -> Result<(), RunError> {
    let signal = shutdown::signalled().map_err(RunError::Signals)?;
    tokio::pin!(signal);
    let id = NodeId(values.node_id());
    let stop = CancellationToken::new();
    let life = Life::new(id);
    let mut registry = Registry::default();
    ProcessMetrics::register(&mut registry);
    let gauges = MetadataGauges::register(&mut registry);
    let budget = vltava_node::budget(&values);
    let metrics = NetMetrics::register(&mut registry, &budget);
    let bound = doors::bind(&values).await.map_err(RunError::Bind)?;
    let admin = vltava_node::bind_admin(&values).await.map_err(RunError::Bind)?;

    let (images, image) = watch::channel(Arc::new(Image::new(Str::default())));
    let cluster = ClusterView::new(id, image, values.clone());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let cluster_id = cluster_id(&values, &disk)?;
    let config = Arc::new(values);
    let setup = Setup {
        id,
        cluster_id: cluster_id.clone(),
        config: Arc::clone(&config),
        cluster: cluster.clone(),
        disk,
        budget: Arc::clone(&budget),
    };
    // Probes are answered while logs are recovered, however long that takes.
    let registry = Arc::new(RwLock::new(registry));
    if let Some(listener) = admin {
        let admin = admin_port(Arc::clone(&registry), &life, &config);
        tokio::spawn(admin.serve(listener, stop.clone()));
    }
    let Some(partitions) = open(setup, signal.as_mut()).await? else { return Ok(()) };
    partitions.register(&mut registry.write());

    let settings = settings(&config, id, cluster_id, &bound, &partitions);
    tracing::info!(
        broker = %id, cluster = %settings.identity.cluster_id,
        incarnation = %settings.identity.incarnation, "the broker starts"
    );
    let control =
        Control::start(settings, Arc::clone(&life), stop.clone()).map_err(RunError::Control)?;
    let (groups, shares) = groups::assemble(id, &config, &partitions, &cluster);
    let controller: Arc<dyn Controller> = Arc::new(Arc::clone(&control.coordinators));
    let (transactions, gate) =
        transactions::assemble(id, &config, &partitions, &cluster, &controller);
    let broker = Arc::new(Broker {
        id,
        gate,
        telemetry: Telemetry::start(&config),
        config,
        cluster,
        partitions,
        groups: Arc::new(groups),
        transactions: Arc::new(transactions),
        controller,
        shares,
        coordinators: Arc::clone(&control.coordinators),
        life,
        refused: vltava_net::RateLimit::default(),
        creating: Default::default(),
        stop: stop.clone(),
    });
    let reactors = Arc::new(Reactors::start(threads()).map_err(RunError::Runtime)?);
    let doors = Doors { reactors, bound, budget, metrics, stop: stop.clone() };
    let outcome = serve(&broker, control, images, gauges, doors, signal).await;
    end(&broker, outcome.is_ok(), stop).await;
    outcome
}

fn admin_port(registry: Arc<RwLock<Registry>>, life: &Arc<Life>, config: &Arc<Values>) -> Admin {
    let (live, ready) = (observability::live(), observability::ready(life));
    let hand_over = Some(observability::hand_over(life, config));
    Admin { registry, live, ready, hand_over }
}

/// Opens the logs; `None` if a signal comes meanwhile: what is not recovered yet is next time.
async fn open(
    setup: Setup,
    signal: impl Future<Output = &'static str>,
) -> Result<Option<Arc<Partitions>>, RunError> {
    let opening = tokio::task::spawn_blocking(|| Partitions::open(setup));
    tokio::select! {
        opened = opening => opened.map_err(RunError::Crashed)?.map(Some).map_err(RunError::Open),
        signal = signal => {
            tracing::info!("the broker stops while it opens its logs: {signal}");
            Ok(None)
        }
    }
}

/// Serves until something ends it: a signal (which is no error), or a failure.
async fn serve(
    broker: &Arc<Broker>,
    control: Control,
    images: watch::Sender<Arc<Image>>,
    gauges: MetadataGauges,
    doors: Doors,
    signal: impl Future<Output = &'static str>,
) -> Result<(), RunError> {
    // Spawned, so that the broker still follows its partitions while it hands them over.
    let following = tokio::spawn(follow(Arc::clone(broker), control.images, images, gauges, doors));
    tokio::select! {
        signal = signal => {
            tracing::info!("the broker stops: {signal}");
            Ok(())
        }
        Ok(error) = control.failure => Err(RunError::Control(error)),
        () = all_directories_failed(broker) => Err(RunError::LogDirectories),
        Ok(outcome) = following => outcome,
    }
}

/// Tells the coordinators of each log directory that fails; returns when none works any more.
async fn all_directories_failed(broker: &Broker) {
    let all = broker.partitions.directory_ids().len();
    let mut failed = broker.partitions.failed_dirs();
    let told = failed.wait_for(|failed| {
        failed.iter().for_each(|directory| broker.life.directory_failed(*directory));
        failed.len() >= all
    });
    if told.await.is_err() {
        // Nobody tells of failures any more: the broker ends for another reason.
        pending().await
    }
}

/// Acts upon images as they come. Clients are served from the moment when the broker acts upon its
/// own registration.
async fn follow(
    broker: Arc<Broker>,
    mut published: tokio::sync::mpsc::UnboundedReceiver<Published>,
    images: watch::Sender<Arc<Image>>,
    gauges: MetadataGauges,
    doors: Doors,
) -> Result<(), RunError> {
    let mut doors = Some(doors);
    let mut waiting: Option<Published> = None;
    loop {
        let next = tokio::select! {
            next = published.recv() => next,
            // The image with the registration may come before the answer to it.
            () = broker.life.newly_registered(), if waiting.is_some() => waiting.take(),
        };
        let Some(next) = next else { break };
        let mut latest = merge(waiting.take(), next);
        while let Ok(next) = published.try_recv() {
            latest = merge(Some(latest), next);
        }
        let offset = latest.image.provenance().offset;
        let epoch = broker.life.epoch();
        if epoch.get() < 0 || offset.get() < epoch.get() {
            broker.life.set_applied(offset);
            waiting = Some(latest);
            continue;
        }
        if let Some(doors) = &doors {
            let controller = Arc::clone(&broker.controller);
            let reactors = Arc::clone(&doors.reactors);
            broker.partitions.start(reactors, controller, &broker.stop);
        }
        take(&broker, &latest, &images);
        gauges.show(&latest.image, broker.id);
        broker.life.set_applied(offset);
        if let Some(doors) = doors.take() {
            let open = doors.open(&broker).map_err(RunError::Bind)?;
            tokio::spawn(open.attend());
            tokio::spawn(Arc::clone(&broker).create_declared(broker.config.create_topics()));
            tokio::spawn(Arc::clone(&broker).create_wanted());
            tokio::spawn(Arc::clone(&broker).prune_shares());
        }
    }
    // The control thread is gone, and says why elsewhere.
    pending().await
}

/// Lets every part follow an image: first the logs, then what stands on them, then who reads it.
fn take(broker: &Arc<Broker>, published: &Published, images: &watch::Sender<Arc<Image>>) {
    let Published { image, changes } = published;
    broker.cluster.set_broker_epoch(broker.life.epoch());
    broker.cluster.take_configuration(image, changes);
    broker.cluster.note_departed(image, changes);
    tokio::task::block_in_place(|| broker.partitions.apply(image, changes));
    images.send_replace(Arc::clone(image));
    tokio::task::block_in_place(|| broker.partitions.settle(image, changes));
    broker.groups.follow(image, changes, broker.id);
    broker.transactions.follow(image, broker.id);
    let watched = |it: &ConfigResource| it.kind == ResourceType::CLIENT_METRICS;
    if let Some(telemetry) = &broker.telemetry
        && changes.configs.iter().any(watched)
    {
        telemetry.configure(image);
    }
    broker.shares.follow(image, changes);
}

fn merge(earlier: Option<Published>, later: Published) -> Published {
    let Some(earlier) = earlier else { return later };
    let mut changes: Changes = earlier.changes;
    changes.extend(later.changes);
    Published { image: later.image, changes }
}

/// Ends in order: leadership goes first, then clients, then the logs are closed.
async fn end(broker: &Arc<Broker>, orderly: bool, stop: CancellationToken) {
    let life = &broker.life;
    if orderly && life.epoch().get() >= 0 && broker.config.get(keys::CONTROLLED_SHUTDOWN_ENABLE) {
        life.controlled_shutdown(CONTROLLED_SHUTDOWN_LIMIT).await;
    }
    stop.cancel();
    broker.groups.close();
    broker.transactions.close();
    broker.shares.close();
    let epoch = life.epoch();
    let closing = Arc::clone(&broker.partitions);
    let closed = tokio::task::spawn_blocking(move || closing.close(epoch.get()));
    if tokio::time::timeout(CONTROLLED_SHUTDOWN_LIMIT + CONNECTIONS_LIMIT, closed).await.is_err() {
        tracing::warn!(
            "the logs could not be closed in time; they are recovered at the next start"
        );
    }
    tracing::info!("the broker has stopped");
}

/// The cluster's id: the one that the broker was told, or that its folder has.
fn cluster_id(values: &Values, disk: &Arc<dyn Disk>) -> Result<String, RunError> {
    if let Some(told) = values.get(keys::VLTAVA_CLUSTER_ID) {
        return Ok(told);
    }
    let paths = values.log_dirs();
    let mut failed = None;
    for path in &paths {
        match MetaProperties::read(disk, path) {
            Ok(Some(meta)) => return Ok(meta.cluster_id),
            Ok(None) => {}
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(RunError::Meta(error)),
        None => Err(RunError::ClusterId { path: paths.into_iter().next().unwrap_or_default() }),
    }
}

fn settings(
    values: &Values,
    id: NodeId,
    cluster_id: String,
    bound: &[BoundListener],
    partitions: &Partitions,
) -> Settings {
    let endpoint = |address: vltava_config::HostPort| Endpoint {
        name: Str::default(),
        host: address.host.as_str().into(),
        port: address.port,
    };
    let controller_listener =
        values.controller_listener_names().into_iter().next().unwrap_or_default();
    Settings {
        identity: Identity {
            id,
            cluster_id: cluster_id.as_str().into(),
            incarnation: Uuid::from_random(rand::random()),
            listeners: doors::advertised(values, |name| {
                let listener = bound.iter().find(|listener| **listener.name() == *name)?;
                Some(listener.local_addr().port())
            }),
            rack: values.get(keys::BROKER_RACK).map(|rack| rack.as_str().into()),
            directories: partitions.directory_ids(),
            previous_epoch: BrokerEpoch(partitions.previous_broker_epoch()),
        },
        rack_file: values.get(keys::VLTAVA_RACK_FILE).map(|path| RackFile {
            path: path.into(),
            wait: milliseconds(values.get(keys::VLTAVA_RACK_WAIT_MS)),
        }),
        bootstrap: values.quorum_addresses().into_iter().map(endpoint).collect(),
        controller_listener,
        heartbeat_interval: milliseconds(values.get(keys::BROKER_HEARTBEAT_INTERVAL_MS)),
        registration_timeout: milliseconds(
            values.get(keys::INITIAL_BROKER_REGISTRATION_TIMEOUT_MS),
        ),
        fetch_timeout: milliseconds(values.get(keys::CONTROLLER_QUORUM_FETCH_TIMEOUT_MS)),
        request_timeout: milliseconds(values.get(keys::CONTROLLER_QUORUM_REQUEST_TIMEOUT_MS)),
    }
}

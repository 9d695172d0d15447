//! The operator's process: probes and metrics, the Lease, and the loop that walks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::jiff::Timestamp;
use kube::client::ClientBuilder;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Config, Resource};
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use vltava_client::Cluster;
use vltava_crd::KafkaCluster;
use vltava_net::admin::{Admin, Health};
use vltava_net::{CancellationToken, ListenerConfig, ProcessMetrics};

use crate::calls::Calls;
use crate::error::{OperatorError, Outcome};
use crate::lease::Leadership;
use crate::plan::Notice;
use crate::plan::health;
use crate::plan::rollout::{Input, Seen};
use crate::settings::Settings;
use crate::status::Finding;
use crate::{kafka, names};

/// When a walk that failed begins anew.
const AGAIN: Duration = Duration::from_secs(3);

/// What every walk is given.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator was told.
    pub settings: Settings,
    recorder: Recorder,
    /// How a cluster is connected to.
    connect: Connect,
    /// Connections to clusters, by uid and addresses.
    clusters: Mutex<HashMap<(String, String), Cluster>>,
    /// The pods of each cluster as they were seen last, by uid.
    seen: Mutex<HashMap<String, Seen>>,
    /// What was seen and told of each cluster's health, by uid.
    health: Mutex<HashMap<String, health::Health>>,
    walks: Counter,
}

/// Connects to the brokers at these addresses (`host:port`, separated by commas).
pub type Connect = fn(&str) -> Outcome<Cluster>;

impl Context {
    /// What walks need; nothing is known yet.
    pub fn new(client: Client, settings: Settings, connect: Connect, walks: Counter) -> Self {
        let reporter = Reporter {
            controller: names::MANAGER.to_owned(),
            instance: Some(settings.identity.clone()),
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            settings,
            connect,
            clusters: Mutex::default(),
            seen: Mutex::default(),
            health: Mutex::default(),
            walks,
        }
    }

    /// The connection to a cluster whose brokers have these addresses.
    ///
    /// # Errors
    /// If they are none.
    pub fn kafka(&self, cluster: &KafkaCluster, servers: &str) -> Outcome<Cluster> {
        let uid = cluster.metadata.uid.clone().unwrap_or_default();
        let mut clusters = self.clusters.lock();
        let key = (uid, servers.to_owned());
        if let Some(known) = clusters.get(&key) {
            return Ok(known.clone());
        }
        clusters.retain(|(uid, _), _| *uid != key.0);
        let new = (self.connect)(servers)?;
        clusters.insert(key, new.clone());
        Ok(new)
    }

    /// Which pods ended on their own since the last walk.
    pub fn watch(&self, cluster: &KafkaCluster, input: &Input<'_>) -> Vec<Notice> {
        let uid = cluster.metadata.uid.clone().unwrap_or_default();
        self.seen.lock().entry(uid).or_default().watch(input)
    }

    /// What is wrong with a cluster by what it says itself.
    pub fn look(&self, cluster: &KafkaCluster, input: &health::Input<'_>) -> health::Seen {
        let uid = cluster.metadata.uid.clone().unwrap_or_default();
        self.health.lock().entry(uid).or_default().look(input)
    }

    /// Whether a cluster comes up for the first time, and may still be waited for.
    pub fn comes_up(
        &self,
        cluster: &KafkaCluster,
        is_new: bool,
        answers: bool,
        now: Timestamp,
    ) -> bool {
        let uid = cluster.metadata.uid.clone().unwrap_or_default();
        self.health.lock().entry(uid).or_default().comes_up(is_new, answers, now)
    }

    /// What of the findings was not told before.
    pub fn news(&self, cluster: &KafkaCluster, findings: &[Finding]) -> Vec<Finding> {
        let uid = cluster.metadata.uid.clone().unwrap_or_default();
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        let mut degraded = conditions.filter(|it| it.type_ == "Degraded" && it.status == "True");
        let said = degraded.next().map_or("", |it| it.message.as_str());
        self.health.lock().entry(uid).or_default().news(findings, said)
    }

    /// Forgets clusters that are not there any more.
    pub fn keep(&self, there: &[Arc<KafkaCluster>]) {
        let there: HashSet<_> = there.iter().filter_map(|it| it.metadata.uid.as_ref()).collect();
        self.clusters.lock().retain(|(uid, _), _| there.contains(uid));
        self.seen.lock().retain(|uid, _| there.contains(uid));
        self.health.lock().retain(|uid, _| there.contains(uid));
    }

    /// Makes an Event of the cluster.
    pub async fn tell(&self, cluster: &KafkaCluster, notice: Notice) {
        tracing::info!(cluster = names::name(cluster), "{}", notice.note);
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.to_owned(),
            note: Some(cut(notice.note)),
            action: notice.reason.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &cluster.object_ref(&())).await {
            tracing::warn!("an event cannot be written: {error}");
        }
    }
}

/// What fits into an event: one that is longer is refused, and lost. The status has all of it.
fn cut(mut note: String) -> String {
    const NOTE_MAX: usize = 1024;
    const MORE: &str = "…";
    if note.len() > NOTE_MAX {
        note.truncate(note.floor_char_boundary(NOTE_MAX - MORE.len()));
        note.push_str(MORE);
    }
    note
}

/// Why the operator ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its environment.
    #[error("{0}")]
    Settings(String),
    /// The log.
    #[error("the log cannot be set up")]
    Log(#[source] vltava_net::logging::LogError),
    /// The runtime.
    #[error("no thread can be started")]
    Runtime(#[source] std::io::Error),
    /// The API server.
    #[error("the API server cannot be found")]
    Api(#[source] Box<kube::Error>),
    /// The admin port.
    #[error("probes cannot be served")]
    Admin(#[source] vltava_net::BindError),
    /// Another operator took over.
    #[error("another operator holds the lease, or it could not be kept")]
    LeaseLost,
}

/// Runs the operator until it is told to stop.
///
/// # Errors
/// [`RunError`], each with what failed.
pub fn run() -> Result<(), RunError> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let settings = Settings::read(&variables).map_err(RunError::Settings)?;
    vltava_net::logging::LogConfig::from_env(vltava_net::logging::LogOutput::Stderr)
        .and_then(|config| config.init())
        .map_err(RunError::Log)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(operate(settings))
}

async fn operate(settings: Settings) -> Result<(), RunError> {
    let api = |error| RunError::Api(Box::new(error));
    let calls = Calls::default();
    let config = Config::infer().await.map_err(kube::Error::InferConfig).map_err(api)?;
    let client = ClientBuilder::try_from(config).map_err(api)?.with_layer(&calls).build();
    let works = Arc::new(AtomicBool::new(false));
    let lost = Arc::new(AtomicBool::new(false));
    let walks = Counter::default();
    let stop = CancellationToken::new();
    let mut registry = Registry::default();
    ProcessMetrics::register(&mut registry);
    registry.register("vltava_operator_walks", "Walks over a cluster", walks.clone());
    calls.register(&mut registry);
    serve(&settings, [&works, &lost], registry, &stop).await?;
    let mut leadership = Leadership::new(&client, &settings);
    let told = told_to_stop();
    tokio::pin!(told);
    // Ready before it works: those that wait must not keep an upgrade from going on.
    works.store(true, Ordering::Release);
    tokio::select! {
        () = leadership.gain() => tracing::info!("this operator works now"),
        () = &mut told => return Ok(()),
    }
    let context = Arc::new(Context::new(client.clone(), settings, kafka::connect, walks));
    let outcome = tokio::select! {
        () = watch(client, context) => Ok(()),
        () = leadership.hold() => {
            // Should the process not end by itself, kubelet ends it.
            lost.store(true, Ordering::Release);
            Err(RunError::LeaseLost)
        }
        () = &mut told => Ok(()),
    };
    leadership.leave().await;
    stop.cancel();
    outcome
}

async fn watch(client: Client, context: Arc<Context>) {
    let clusters = Api::<KafkaCluster>::all(client.clone());
    let ours = watcher::Config::default().labels("app.kubernetes.io/managed-by=vltava-operator");
    let owner = |pod: Pod| {
        let labels = pod.metadata.labels.unwrap_or_default();
        let instance = labels.get("app.kubernetes.io/instance").cloned();
        let namespace = pod.metadata.namespace.unwrap_or_default();
        instance.map(|name| ObjectRef::<KafkaCluster>::new(&name).within(&namespace))
    };
    let controller = Controller::new(clusters, watcher::Config::default());
    let there = controller.store();
    let forgetful = Arc::clone(&context);
    controller
        .owns(Api::<StatefulSet>::all(client.clone()), ours.clone())
        .owns(Api::<Service>::all(client.clone()), ours.clone())
        .watches(Api::<Pod>::all(client), ours, owner)
        .run(reconcile, failed, context)
        .for_each(|_| {
            forgetful.keep(&there.state());
            std::future::ready(())
        })
        .await;
}

async fn reconcile(
    cluster: Arc<KafkaCluster>,
    context: Arc<Context>,
) -> Result<Action, OperatorError> {
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    context.walks.inc();
    crate::walk::walk(&context, &cluster).await.map(Action::requeue)
}

fn failed(cluster: Arc<KafkaCluster>, error: &OperatorError, _: Arc<Context>) -> Action {
    let name = names::name(&cluster);
    tracing::warn!(cluster = name, "{}", vltava_net::error_chain(error));
    Action::requeue(AGAIN)
}

async fn serve(
    settings: &Settings,
    [works, lost]: [&Arc<AtomicBool>; 2],
    registry: Registry,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let listener = ListenerConfig::new("admin", "", settings.admin_port);
    let listener = listener.bind().await.map_err(RunError::Admin)?;
    let lost = Arc::clone(lost);
    let live = Box::new(move || match lost.load(Ordering::Acquire) {
        false => Health::Good("the process answers".to_owned()),
        true => Health::Bad("the lease is lost, and the process is still there".to_owned()),
    });
    let works = Arc::clone(works);
    let ready = Box::new(move || match works.load(Ordering::Acquire) {
        true => Health::Good("it works, or waits for its turn".to_owned()),
        false => Health::Bad("it starts".to_owned()),
    });
    let registry = Arc::new(RwLock::new(registry));
    let admin = Admin { registry, live, ready, hand_over: None };
    tokio::spawn(admin.serve(listener, stop.clone()));
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

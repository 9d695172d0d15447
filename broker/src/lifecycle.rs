//! The broker's life in the cluster: it follows the metadata log, registers, and sends heartbeats.
//!
//! [`Control`] does that in a thread of its own, so that neither a slow disk nor a busy socket
//! keeps a heartbeat back. What it learns comes out as [`Published`] images and as a [`Status`].
//!
//! *Invariant:* a broker acts on metadata only once it has applied its own registration (KIP-631).
//! Whatever it led before, others may lead by then; the registration's epoch tells the two lives
//! apart.

mod coordinators;
mod heartbeat;
mod memory_log;
mod observer;
mod rack;
mod registration;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use vltava_metadata::{Changes, Image};
use vltava_net::CancellationToken;
use vltava_quorum::Endpoint;
use vltava_wire::{BrokerEpoch, NodeId, Offset, Str, Uuid};

pub use coordinators::Coordinators;
pub use rack::RackFile;
pub use registration::{Advertised, Identity, RegistrationError};

/// The pause between two heartbeats of a broker that waits to be unfenced, or to shut down.
const TRANSITION_PAUSE: Duration = Duration::from_millis(50);
/// How long a broker that shuts down waits for a coordinator that answers at all.
const COORDINATORS_SILENT_MAX: Duration = Duration::from_secs(5);

/// An image and what changed since the one that was published before it.
#[derive(Debug)]
pub struct Published {
    /// The cluster as of now.
    pub image: Arc<Image>,
    /// What differs from the image before.
    pub changes: Changes,
}

/// What the active coordinator makes of this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether the broker is fenced; so until the first heartbeat is answered.
    pub fenced: bool,
    /// Whether the coordinator has nothing against a shutdown that was asked for.
    pub should_shut_down: bool,
}

/// How far a broker is that wants to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// Others lead what it led.
    Done,
    /// The coordinators move leadership away.
    UnderWay,
    /// No coordinator is there to ask, and has not been for some seconds.
    Unanswered,
}

/// How the broker lives in the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who registers.
    pub identity: Identity,
    /// The file that tells the rack, if one does.
    pub rack_file: Option<RackFile>,
    /// Where coordinators can be found.
    pub bootstrap: Vec<Endpoint>,
    /// The name of the coordinators' listener.
    pub controller_listener: String,
    /// Time between two heartbeats.
    pub heartbeat_interval: Duration,
    /// How long the first registration may take.
    pub registration_timeout: Duration,
    /// The quorum's timeouts, as its observers need them.
    pub fetch_timeout: Duration,
    /// How long the quorum's observer waits for any answer.
    pub request_timeout: Duration,
}

/// What the broker's parts tell each other about its life.
#[derive(Debug)]
pub struct Life {
    /// The broker's id.
    pub id: NodeId,
    epoch: AtomicI64,
    applied: AtomicI64,
    ready: AtomicBool,
    /// Since when the broker wants to leave, once it does.
    stopping: OnceLock<Instant>,
    /// Woken when the next heartbeat should go out at once.
    changed: Notify,
    /// Woken when the registration is no longer valid.
    stale: Notify,
    /// Woken when there is a new registration.
    enrolled: Notify,
    status: watch::Sender<Status>,
    /// When an active coordinator last answered a heartbeat.
    heard: Mutex<Instant>,
    offline_directories: watch::Sender<Vec<Uuid>>,
    /// Where the broker can be reached, as it is to register.
    advertised: watch::Sender<Vec<Advertised>>,
}

impl Life {
    /// A broker that has not registered yet.
    pub fn new(id: NodeId) -> Arc<Self> {
        let status = Status { fenced: true, should_shut_down: false };
        Arc::new(Self {
            id,
            epoch: AtomicI64::new(-1),
            applied: AtomicI64::new(-1),
            ready: AtomicBool::new(false),
            stopping: OnceLock::new(),
            changed: Notify::new(),
            stale: Notify::new(),
            enrolled: Notify::new(),
            status: watch::channel(status).0,
            heard: Mutex::new(Instant::now()),
            offline_directories: watch::channel(Vec::new()).0,
            advertised: watch::channel(Vec::new()).0,
        })
    }

    /// The epoch of the present registration; −1 before the first.
    pub fn epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.epoch.load(Ordering::Acquire))
    }

    /// The offset of the last metadata record that the broker acts upon.
    pub fn applied(&self) -> Offset {
        Offset(self.applied.load(Ordering::Acquire))
    }

    /// Notes up to which metadata record the broker acts.
    pub fn set_applied(&self, offset: Offset) {
        self.applied.store(offset.get(), Ordering::Release);
        if self.status.borrow().fenced {
            self.changed.notify_waiters();
        }
    }

    /// The broker serves its listeners and may be unfenced.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Asks the coordinator to move leadership away, from the next heartbeat on: there is no way
    /// back. Says how far it is.
    pub fn hand_over(&self) -> HandOver {
        if self.stopping.set(Instant::now()).is_ok() {
            tracing::info!("leadership is handed over");
            self.changed.notify_waiters();
        }
        let asked = self.stopping.get().map_or(Duration::ZERO, Instant::elapsed);
        let silent = self.heard.lock().elapsed().min(asked);
        match self.status.borrow().should_shut_down {
            true => HandOver::Done,
            false if silent > COORDINATORS_SILENT_MAX => HandOver::Unanswered,
            false => HandOver::UnderWay,
        }
    }

    /// Asks the coordinator to move leadership away, and waits until it has. Gives up after
    /// `limit`, and sooner if no coordinator is there to ask.
    pub async fn controlled_shutdown(&self, limit: Duration) {
        let mut status = self.status.subscribe();
        let start = Instant::now();
        loop {
            match self.hand_over() {
                HandOver::Done => return,
                HandOver::UnderWay if start.elapsed() <= limit => {}
                how => {
                    tracing::warn!(?how, "the coordinators did not move all leadership away");
                    return;
                }
            }
            let moved = status.wait_for(|status| status.should_shut_down);
            // Whether it has is looked at again.
            let _ = tokio::time::timeout(TRANSITION_PAUSE, moved).await;
        }
    }

    /// The pause between two heartbeats: short while something is about to change.
    fn pause(&self, interval: Duration) -> Duration {
        let is_fenced = self.ready.load(Ordering::Acquire) && self.status.borrow().fenced;
        match is_fenced || self.stopping.get().is_some() {
            true => interval.min(TRANSITION_PAUSE),
            false => interval,
        }
    }

    /// What the active coordinator makes of this broker, now and later.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Tells the coordinator that a log directory failed.
    pub fn directory_failed(&self, directory: Uuid) {
        self.offline_directories.send_modify(|directories| {
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        });
        self.changed.notify_waiters();
    }

    /// Has the broker registered with these listeners, again if it is registered with others: in
    /// the same incarnation, so that it keeps its epoch, and whatever it leads.
    pub fn advertise(&self, listeners: Vec<Advertised>) {
        self.advertised.send_if_modified(|present| {
            let differs = *present != listeners;
            *present = listeners;
            differs
        });
    }

    fn registered(&self, epoch: BrokerEpoch) {
        self.epoch.store(epoch.get(), Ordering::Release);
        self.changed.notify_waiters();
        self.enrolled.notify_one();
    }

    /// Waits for a registration that this has not told of yet.
    pub async fn newly_registered(&self) {
        self.enrolled.notified().await;
    }
}

/// The thread that follows the metadata log, registers and sends heartbeats.
pub struct Control {
    /// The active coordinator, wherever it is.
    pub coordinators: Arc<Coordinators>,
    /// The images, as they come.
    pub images: mpsc::UnboundedReceiver<Published>,
    /// Why the thread ended, if it did so by itself.
    pub failure: tokio::sync::oneshot::Receiver<ControlError>,
}

/// Why a broker cannot live in its cluster.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The registration is refused for good.
    #[error("the broker cannot register")]
    Register(#[source] RegistrationError),
    /// The metadata log breaks its promises.
    #[error("the metadata log cannot be followed")]
    Observe(#[source] observer::ObserveError),
    /// The thread could not be started.
    #[error("the control thread cannot be started")]
    Thread(#[source] std::io::Error),
}

impl Control {
    /// Starts the thread; it ends with `shutdown`.
    ///
    /// # Errors
    /// If the machine gives no thread.
    pub fn start(
        settings: Settings,
        life: Arc<Life>,
        shutdown: CancellationToken,
    ) -> Result<Self, ControlError> {
        life.advertise(settings.identity.listeners.clone());
        let (sender, images) = mpsc::unbounded_channel();
        let (failed, failure) = tokio::sync::oneshot::channel();
        let (leader, active) = watch::channel(None);
        let coordinators =
            Arc::new(Coordinators::new(settings.identity.id, active, shutdown.clone()));
        let shared = Arc::clone(&coordinators);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ControlError::Thread)?;
        let run = move || {
            let outcome = runtime.block_on(async {
                tokio::select! {
                    () = shutdown.cancelled() => Ok(()),
                    outcome = live(settings, life, shared, leader, sender) => outcome,
                }
            });
            if let Err(error) = outcome {
                // Who would hear it is gone already when the broker ends.
                let _ = failed.send(error);
            }
        };
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(run)
            .map_err(ControlError::Thread)?;
        Ok(Self { coordinators, images, failure })
    }
}

async fn live(
    settings: Settings,
    life: Arc<Life>,
    coordinators: Arc<Coordinators>,
    leader: watch::Sender<Option<coordinators::Active>>,
    images: mpsc::UnboundedSender<Published>,
) -> Result<(), ControlError> {
    let (controllers, addresses) = watch::channel(addresses(&settings.bootstrap));
    let (latest, seen) = watch::channel(None);
    let active = leader.subscribe();
    let news = observer::News { leader, controllers, images, latest };
    let observer = observer::Observer::new(&settings, news);
    let registering = registration::keep_registered(&settings, &life, &coordinators, seen);
    let interval = settings.heartbeat_interval;
    let beating = heartbeat::beat(interval, Arc::clone(&life), addresses, &active);
    tokio::select! {
        outcome = observer.run() => outcome.map_err(ControlError::Observe),
        outcome = registering => outcome.map_err(ControlError::Register),
        () = beating => Ok(()),
    }
}

/// `host:port` of each endpoint.
fn addresses(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(|endpoint| address(&endpoint.host, endpoint.port)).collect()
}

fn address(host: &Str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_leaves_does_not_wait_for_coordinators_that_are_not_there() {
        let life = Life::new(NodeId(1));
        *life.heard.lock() = Instant::now() - 2 * COORDINATORS_SILENT_MAX;
        assert_eq!(life.hand_over(), HandOver::UnderWay, "it has only just asked");
        life.status.send_modify(|status| status.should_shut_down = true);
        assert_eq!(life.hand_over(), HandOver::Done);

        let life = Life::new(NodeId(1));
        life.stopping.set(Instant::now() - 2 * COORDINATORS_SILENT_MAX).expect("not yet");
        assert_eq!(life.hand_over(), HandOver::UnderWay, "a coordinator was heard of just now");
        *life.heard.lock() = Instant::now() - 2 * COORDINATORS_SILENT_MAX;
        assert_eq!(life.hand_over(), HandOver::Unanswered);
    }
}

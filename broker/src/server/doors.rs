//! The listeners of a broker: those that it starts with, and what becomes of them while it runs.
//!
//! `listeners`, `advertised.listeners` and `listener.security.protocol.map` of a broker can be set
//! while it runs. What is new is opened, what is gone is closed, and connections of the others
//! stay; then the broker registers anew with what it advertises. A broker that starts serves only
//! once that has been done for what the cluster has stored, so that clients of every listener find
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vltava_config::{HostPort, Listener, Problem, Values};
use vltava_metadata::Image;
use vltava_net::{
    BindError, BoundListener, Budget, CancellationToken, ListenerConfig, NetMetrics, Reactors,
    Server, error_chain,
};

use super::{Broker, Service};
use crate::lifecycle::Advertised;

/// How often a listener that could not be opened is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How often, and at what pause, a port is tried that this broker itself has just given up: its
/// socket is closed by another task.
const REBIND_TRIES: u32 = 20;
const REBIND_PAUSE: Duration = Duration::from_millis(10);

/// What serves clients, before it does.
pub(super) struct Doors {
    pub(super) reactors: Arc<Reactors>,
    pub(super) bound: Vec<BoundListener>,
    pub(super) budget: Arc<Budget>,
    pub(super) metrics: NetMetrics,
    pub(super) stop: CancellationToken,
}

/// Opens the sockets of the listeners that a broker starts with.
pub(super) async fn bind(values: &Values) -> Result<Vec<BoundListener>, BindError> {
    let between = values.inter_broker_listener();
    let mut bound = Vec::new();
    for listener in values.listeners() {
        bound.push(config(&listener, &between).bind().await?);
    }
    Ok(bound)
}

fn config(listener: &Listener, between: &str) -> ListenerConfig {
    let Listener { name, address } = listener;
    let config = ListenerConfig::new(name, &address.host, address.port);
    // Other brokers get in even if clients have taken every connection and all memory.
    if name == between { config.protected() } else { config }
}

/// What others connect to, of the listeners whose port is known; it fills in one that the system
/// chose.
pub(super) fn advertised(values: &Values, port: impl Fn(&str) -> Option<u16>) -> Vec<Advertised> {
    let advertise = |Listener { name, address }: Listener| Advertised {
        port: address.port,
        host: address.host.as_str().into(),
        security_protocol: security_protocol(values.security_protocol(&name)),
        name: name.into(),
    };
    vltava_node::advertised(values, port).into_iter().map(advertise).collect()
}

/// Kafka's number of a security protocol.
fn security_protocol(name: &str) -> i16 {
    match name {
        "SSL" => 1,
        "SASL_PLAINTEXT" => 2,
        "SASL_SSL" => 3,
        _ => 0,
    }
}

impl Doors {
    /// Serves them.
    pub(super) fn open(self, broker: &Arc<Broker>) -> Result<OpenDoors, BindError> {
        let present = broker.config.at_start();
        let open = present.listeners().into_iter().map(|it| (it.name, it.address)).collect();
        let service = Arc::new(Service { broker: Arc::clone(broker) });
        let server = Server::start_on(
            self.reactors,
            self.bound,
            vltava_node::limits(&present),
            self.budget,
            self.metrics,
            service,
            self.stop.clone(),
        )?;
        let between = present.inter_broker_listener();
        let broker = Arc::clone(broker);
        let stop = self.stop;
        Ok(OpenDoors { broker, server, between, present, refused: None, open, stop })
    }
}

/// Listeners that are served.
pub(super) struct OpenDoors {
    broker: Arc<Broker>,
    server: Server<Service>,
    /// The name of the listener that other brokers come by.
    between: String,
    /// The configuration that is followed.
    present: Values,
    /// Why what is set cannot be followed, as it has been told.
    refused: Option<Problem>,
    /// Which listeners are open, and where, as they were configured.
    open: BTreeMap<String, HostPort>,
    stop: CancellationToken,
}

impl OpenDoors {
    /// Follows what is set for the listeners as long as the broker runs.
    pub(super) async fn attend(mut self) {
        let stop = self.stop.clone();
        let attending = async {
            let mut images = self.broker.cluster.subscribe();
            let mut is_ready = false;
            // The listeners as they could not be opened, which has been told.
            let mut told = Vec::new();
            loop {
                let image = images.borrow_and_update().clone();
                let missing = self.follow(&mut told).await;
                let advertised = self.advertised();
                self.broker.life.advertise(advertised.clone());
                if !is_ready && is_registered(&image, &self.broker, &advertised) {
                    is_ready = true;
                    self.broker.life.set_ready();
                }
                let retry = async {
                    match missing {
                        true => tokio::time::sleep(RETRY_PAUSE).await,
                        false => std::future::pending().await,
                    }
                };
                tokio::select! {
                    // The sender lives as long as the broker.
                    changed = images.changed() => if changed.is_err() { return },
                    () = retry => {}
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = attending => {}
        }
    }

    /// Opens and closes listeners as they are set now; says whether one could not be opened.
    async fn follow(&mut self, told: &mut Vec<Listener>) -> bool {
        let values = self.broker.cluster.values();
        match values.check_listeners(&self.present) {
            Ok(()) => self.present = values,
            // Whoever set it by way of another node could not know better.
            Err(problem) if self.refused.as_ref() != Some(&problem) => {
                tracing::error!(%problem, "the listeners stay as they are");
                self.refused = Some(problem);
            }
            Err(_) => {}
        }
        self.server.set_limits(vltava_node::limits(&self.present));
        let wanted = self.present.listeners();
        let stays = |name: &str, address: &HostPort| {
            wanted.iter().any(|listener| listener.name == name && listener.address == *address)
        };
        let gone: Vec<String> = self
            .open
            .iter()
            .filter(|(name, address)| !stays(name, address))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            self.server.remove_listener(name);
            self.open.remove(name);
            tracing::info!(listener = %name, "the listener is closed");
        }
        told.retain(|listener| wanted.contains(listener));
        let mut missing = false;
        for listener in wanted {
            if self.open.contains_key(&listener.name) {
                continue;
            }
            match self.add(&listener, !gone.is_empty()).await {
                Ok(()) => {
                    tracing::info!(%listener, "the listener is open");
                    told.retain(|other| *other != listener);
                    self.open.insert(listener.name, listener.address);
                }
                Err(error) => {
                    missing = true;
                    if !told.contains(&listener) {
                        tracing::error!(
                            %listener, error = error_chain(&error),
                            "the listener cannot be opened; the others go on, and it is tried again"
                        );
                        told.push(listener);
                    }
                }
            }
        }
        missing
    }

    async fn add(&self, listener: &Listener, may_be_ours: bool) -> Result<(), BindError> {
        let mut tries = if may_be_ours { REBIND_TRIES } else { 0 };
        loop {
            let added = self.server.add_listener(config(listener, &self.between)).await;
            match added {
                Err(BindError::Listen { .. }) if tries > 0 => tries -= 1,
                added => return added.map(|_| ()),
            }
            tokio::time::sleep(REBIND_PAUSE).await;
        }
    }

    fn advertised(&self) -> Vec<Advertised> {
        advertised(&self.present, |name| Some(self.server.local_addr(name)?.port()))
    }
}

/// Whether the cluster knows the broker by exactly these listeners.
fn is_registered(image: &Image, broker: &Broker, advertised: &[Advertised]) -> bool {
    let Some(registration) = image.broker(broker.id) else { return false };
    let is_known = |it: &Advertised| {
        registration.endpoint(&it.name).is_some_and(|endpoint| {
            endpoint.host == it.host
                && endpoint.port == it.port
                && endpoint.security_protocol == it.security_protocol
        })
    };
    registration.epoch == broker.life.epoch()
        && registration.endpoints.len() == advertised.len()
        && advertised.iter().all(is_known)
}

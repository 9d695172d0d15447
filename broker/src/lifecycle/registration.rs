//! Registration: the broker says who it is, and gets its epoch (KIP-631).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vltava_metadata::{Image, supported_features};
use vltava_wire::messages::BrokerRegistrationRequest;
use vltava_wire::messages::broker_registration::{Feature, Listener};
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId, Str, Uuid};

use super::rack::{self, RackFile};
use super::{Coordinators, Life, Settings};

/// The pause after the first attempt, and the longest between two: each is twice the one before.
/// A coordinator that starts together with the broker takes a few milliseconds to become active.
const RETRY_PAUSE_FIRST: Duration = Duration::from_millis(5);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(100);

/// After how long it is told why the broker is not registered, and how often again.
const TELL_AFTER: Duration = Duration::from_secs(3);
const TELL_EVERY: Duration = Duration::from_secs(30);

/// A listener as others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The listener's name.
    pub name: Str,
    /// The host that clients connect to.
    pub host: Str,
    /// The port that they connect to.
    pub port: u16,
    /// Kafka's number of the security protocol.
    pub security_protocol: i16,
}

/// Who registers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The broker's id.
    pub id: NodeId,
    /// The cluster that its folders belong to.
    pub cluster_id: Str,
    /// This process.
    pub incarnation: Uuid,
    /// Where it can be reached.
    pub listeners: Vec<Advertised>,
    /// Where it stands.
    pub rack: Option<Str>,
    /// The ids of its log directories.
    pub directories: Vec<Uuid>,
    /// The epoch of the life before, if that one ended in order; else −1 (KIP-966).
    pub previous_epoch: BrokerEpoch,
}

/// Why a registration is refused for good.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The coordinator says no, and will say no again.
    #[error("the active coordinator refuses to register broker {id}: {code}{}", hint(*code))]
    Refused {
        /// The broker's id.
        id: NodeId,
        /// Why.
        code: ErrorCode,
    },
    /// The time for the first registration is over.
    #[error(
        "no coordinator registered the broker within {limit:?} (last: {last}); are the \
         addresses in controller.quorum.bootstrap.servers right, and does a majority run?"
    )]
    Timeout {
        /// The time that was allowed.
        limit: Duration,
        /// What the last attempt came to.
        last: String,
    },
}

fn hint(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::INCONSISTENT_CLUSTER_ID => {
            "; its data folder belongs to another cluster than these coordinators"
        }
        ErrorCode::DUPLICATE_BROKER_REGISTRATION => {
            "; another live broker with other data folders has this node.id"
        }
        _ => "",
    }
}

/// Registers, and does so again whenever the registration is no longer valid, or something in it
/// has changed.
pub(super) async fn keep_registered(
    settings: &Settings,
    life: &Life,
    coordinators: &Coordinators,
    mut seen: watch::Receiver<Option<Arc<Image>>>,
) -> Result<(), RegistrationError> {
    let mut limit = Some(settings.registration_timeout);
    let mut identity = settings.identity.clone();
    // Set while the file that tells the rack is silent.
    let mut rack_file = settings.rack_file.as_ref();
    if let Some(file) = rack_file {
        match tokio::time::timeout(file.wait, rack::told(&file.path)).await {
            Ok(rack) => (identity.rack, rack_file) = (rack, None),
            Err(_) => identity.rack = earlier_rack(&identity, file, &mut seen).await,
        }
    }
    let mut advertised = life.advertised.subscribe();
    let bootstrap = super::addresses(&settings.bootstrap).join(",");
    loop {
        identity.listeners = advertised.borrow_and_update().clone();
        let failed = life.offline_directories.borrow().clone();
        identity.directories.retain(|directory| !failed.contains(directory));
        let epoch = register(&identity, life.epoch(), coordinators, &bootstrap, limit).await?;
        let Identity { rack, listeners, .. } = &identity;
        let (rack, listeners) = (rack.as_deref().unwrap_or("none"), names(listeners));
        tracing::info!(epoch = epoch.get(), rack, listeners, "registered");
        life.registered(epoch);
        tokio::select! {
            () = life.stale.notified() => {}
            // The sender lives as long as the broker.
            _ = advertised.changed() => {}
            rack = told(rack_file) => (identity.rack, rack_file) = (rack, None),
        }
        // A broker that was part of the cluster waits for it as long as it takes.
        limit = None;
    }
}

async fn told(file: Option<&RackFile>) -> Option<Str> {
    match file {
        Some(file) => rack::told(&file.path).await,
        None => std::future::pending().await,
    }
}

/// The rack that the broker registers with while the file says nothing: that of its earlier
/// registration, and else the configured one.
async fn earlier_rack(
    identity: &Identity,
    file: &RackFile,
    seen: &mut watch::Receiver<Option<Arc<Image>>>,
) -> Option<Str> {
    // Without an image there is no coordinator that could register the broker either.
    let image = seen.wait_for(Option::is_some).await.ok().and_then(|image| image.clone());
    let earlier = image.and_then(|image| image.broker(identity.id)?.rack.clone());
    let rack = earlier.or_else(|| identity.rack.clone());
    tracing::warn!(
        file = %file.path.display(), wait = ?file.wait, rack = rack.as_deref().unwrap_or("none"),
        "the rack is not known in time; the broker registers as before, and again once it is"
    );
    rack
}

fn names(listeners: &[Advertised]) -> String {
    let one = |it: &Advertised| format!("{}://{}:{}", it.name, it.host, it.port);
    listeners.iter().map(one).collect::<Vec<_>>().join(",")
}

async fn register(
    identity: &Identity,
    previous: BrokerEpoch,
    coordinators: &Coordinators,
    bootstrap: &str,
    limit: Option<Duration>,
) -> Result<BrokerEpoch, RegistrationError> {
    let start = Instant::now();
    let request = request(identity, previous);
    let mut pause = RETRY_PAUSE_FIRST;
    let mut tell_at = TELL_AFTER;
    loop {
        let last = match coordinators.call(&request).await {
            Ok(response) if response.error_code.is_ok() => {
                return Ok(BrokerEpoch(response.broker_epoch));
            }
            Ok(response) => match response.error_code {
                // The old life's session may have to end first.
                ErrorCode::NOT_CONTROLLER
                | ErrorCode::DUPLICATE_BROKER_REGISTRATION
                | ErrorCode::REQUEST_TIMED_OUT
                | ErrorCode::UNKNOWN_SERVER_ERROR => {
                    format!("{}{}", response.error_code, hint(response.error_code))
                }
                code => return Err(RegistrationError::Refused { id: identity.id, code }),
            },
            Err(error) => error.to_string(),
        };
        if start.elapsed() >= tell_at {
            let (waited, addresses) = (start.elapsed(), bootstrap);
            tracing::warn!(?waited, addresses, "not registered yet, and trying on: {last}");
            tell_at = start.elapsed() + TELL_EVERY;
        }
        if let Some(limit) = limit
            && start.elapsed() > limit
        {
            return Err(RegistrationError::Timeout { limit, last });
        }
        coordinators.changed(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

fn request(identity: &Identity, previous: BrokerEpoch) -> BrokerRegistrationRequest {
    let listener = |listener: &Advertised| Listener {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    };
    let feature = |feature: &vltava_metadata::SupportedFeature| Feature {
        name: Str::from_static(feature.name),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
    };
    BrokerRegistrationRequest {
        broker_id: identity.id.get(),
        cluster_id: identity.cluster_id.clone(),
        incarnation_id: identity.incarnation,
        listeners: identity.listeners.iter().map(listener).collect(),
        features: supported_features().iter().map(feature).collect(),
        rack: identity.rack.clone(),
        is_migrating_zk_broker: false,
        log_dirs: identity.directories.clone(),
        previous_broker_epoch: if previous.get() >= 0 {
            previous.get()
        } else {
            identity.previous_epoch.get()
        },
    }
}

#[cfg(test)]
mod tests {
    use vltava_metadata::{Changes, MetadataRecord};
    use vltava_wire::records::metadata::RegisterBrokerRecord;

    use super::*;

    fn identity(id: i32, configured: Option<&str>) -> Identity {
        Identity {
            id: NodeId(id),
            cluster_id: "prague".into(),
            incarnation: Uuid(1),
            listeners: Vec::new(),
            rack: configured.map(Str::from),
            directories: vec![Uuid(101)],
            previous_epoch: BrokerEpoch(-1),
        }
    }

    #[tokio::test]
    async fn while_the_file_is_silent_the_rack_of_the_earlier_registration_counts() {
        let mut image = Image::new("prague".into());
        let record =
            RegisterBrokerRecord { broker_id: 1, rack: Some("eu-1a".into()), ..Default::default() };
        image.apply(&MetadataRecord::from(record), &mut Changes::default()).expect("a broker");
        let (_images, mut seen) = watch::channel(Some(Arc::new(image)));
        let file = RackFile { path: "/nowhere/rack".into(), wait: Duration::ZERO };
        let earlier = earlier_rack(&identity(1, Some("set")), &file, &mut seen).await;
        assert_eq!(earlier, Some("eu-1a".into()));
        let first = earlier_rack(&identity(2, Some("set")), &file, &mut seen).await;
        assert_eq!(first, Some("set".into()), "a broker that was never there has its own setting");
        let none = earlier_rack(&identity(2, None), &file, &mut seen).await;
        assert_eq!(none, None);
    }
}

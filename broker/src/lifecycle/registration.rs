//! Registration: the broker says who it is, and gets its epoch (KIP-631).

use std::time::{Duration, Instant};

use vltava_metadata::supported_features;
use vltava_wire::messages::BrokerRegistrationRequest;
use vltava_wire::messages::broker_registration::{Feature, Listener};
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId, Str, Uuid};

use super::{Coordinators, Life, Settings};

/// The pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

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

/// Registers, and does so again whenever the registration is no longer valid.
pub(super) async fn keep_registered(
    settings: &Settings,
    life: &Life,
    coordinators: &Coordinators,
) -> Result<(), RegistrationError> {
    let mut limit = Some(settings.registration_timeout);
    loop {
        let epoch = register(&settings.identity, life.epoch(), coordinators, limit).await?;
        tracing::info!(%epoch, "registered");
        life.registered(epoch);
        life.stale.notified().await;
        // A broker that was part of the cluster waits for it as long as it takes.
        limit = None;
    }
}

async fn register(
    identity: &Identity,
    previous: BrokerEpoch,
    coordinators: &Coordinators,
    limit: Option<Duration>,
) -> Result<BrokerEpoch, RegistrationError> {
    let start = Instant::now();
    let request = request(identity, previous);
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
                | ErrorCode::UNKNOWN_SERVER_ERROR => response.error_code.to_string(),
                code => return Err(RegistrationError::Refused { id: identity.id, code }),
            },
            Err(error) => error.to_string(),
        };
        if let Some(limit) = limit
            && start.elapsed() > limit
        {
            return Err(RegistrationError::Timeout { limit, last });
        }
        coordinators.changed(RETRY_PAUSE).await;
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

//! Who of several operators works: the holder of a Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use crate::names::MANAGER;
use crate::settings::Settings;

/// How long a holder may be silent before another takes over, in seconds.
const DURATION_S: i32 = 15;
/// How often the holder says that it lives, and others look.
const EVERY: Duration = Duration::from_secs(3);

/// How long a holder goes on that cannot say so: it ends before others begin.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take: a connection that was cut without a word would never end.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How long it may take to give the Lease back.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// A claim to the Lease.
pub struct Leadership {
    api: Api<Lease>,
    identity: String,
    /// What the Lease said last, and when that was seen: clocks of others do not count.
    seen: Option<(String, Instant)>,
}

impl Leadership {
    /// A claim, not yet made.
    pub fn new(client: &Client, settings: &Settings) -> Self {
        let api = Api::namespaced(client.clone(), &settings.namespace);
        Self { api, identity: settings.identity.clone(), seen: None }
    }

    /// Waits until this operator is the one that works.
    pub async fn gain(&mut self) {
        loop {
            match timeout(CALL_MAX, self.try_once()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!("the lease cannot be had: {error}"),
                Err(_) => tracing::warn!("the lease cannot be had: the API server is silent"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Goes on being the one; returns when it is no more, or may not be any more: as long as it has
    /// not been told otherwise by then, nobody else has begun.
    pub async fn hold(&mut self) {
        let mut until = Instant::now() + SILENT_MAX;
        loop {
            tokio::time::sleep(EVERY).await;
            match timeout_at(until, self.try_once()).await {
                Ok(Ok(true)) => until = Instant::now() + SILENT_MAX,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!("the lease cannot be kept: {error}"),
                Err(_) => {
                    tracing::warn!("the lease cannot be kept: the API server is silent");
                    return;
                }
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait; where nobody answers, it must.
    pub async fn leave(&self) {
        let _ = timeout(LEAVE_MAX, self.give_back()).await;
    }

    async fn give_back(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(MANAGER).await else { return };
        if let Some(spec) = lease.spec.as_mut()
            && spec.holder_identity.as_deref() == Some(&self.identity)
        {
            spec.holder_identity = Some(String::new());
            let _ = self.api.replace(MANAGER, &PostParams::default(), &lease).await;
        }
    }

    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(MANAGER).await? else {
            let lease: Lease = serde_json::from_value(json!({
                "metadata": {"name": MANAGER},
                "spec": {
                    "holderIdentity": self.identity, "leaseDurationSeconds": DURATION_S,
                    "acquireTime": now, "renewTime": now, "leaseTransitions": 0,
                },
            }))
            .map_err(kube::Error::SerdeError)?;
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder != self.identity && !holder.is_empty() {
            let patience = Duration::from_secs(u64::from(DURATION_S.unsigned_abs()));
            match &self.seen {
                Some((seen, since)) if *seen == version => {
                    if since.elapsed() < patience {
                        return Ok(false);
                    }
                }
                _ => {
                    self.seen = Some((version, Instant::now()));
                    return Ok(false);
                }
            }
        }
        if holder != self.identity {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(DURATION_S);
        spec.renew_time = Some(now);
        won(self.api.replace(MANAGER, &PostParams::default(), &lease).await)
    }
}

/// Somebody else was quicker.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

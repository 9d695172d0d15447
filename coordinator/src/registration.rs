//! Each coordinator registers with the active one, so that all nodes know where it is (KIP-919).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vltava_metadata::supported_features;
use vltava_quorum::Endpoint;
use vltava_wire::messages::ControllerRegistrationRequest;
use vltava_wire::messages::controller_registration::{Feature, Listener};
use vltava_wire::{ErrorCode, NodeId, Str, Uuid};

use crate::controller::Decision;
use crate::driver::{Decided, Inbox, Message};
use crate::peers::Peers;
use crate::status::Status;

/// The pause after a registration that did not succeed.
const PAUSE: Duration = Duration::from_millis(500);

/// How long to wait until the registration that was accepted is applied here, before it is made
/// again.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);

/// Who registers.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) node: NodeId,
    /// The id of this process.
    pub(crate) incarnation: Uuid,
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Registration {
    /// Keeps the coordinator registered; ends when the loop does.
    pub(crate) async fn keep(
        self,
        mut status: watch::Receiver<Status>,
        inbox: Inbox,
        peers: Peers,
    ) {
        let request = Arc::new(self.request());
        loop {
            let due = status.wait_for(|status| self.is_due(status)).await;
            let Ok(due) = due.map(|status| status.clone()) else { return };
            let accepted = match due.is_active {
                true => register_here(&inbox, &request),
                false => register_there(&due, &peers, &request).await,
            };
            let wait = if accepted { APPLIED_WITHIN } else { PAUSE };
            let applied = status.wait_for(|status| accepted && !self.is_due(status));
            if let Ok(Err(_)) = tokio::time::timeout(wait, applied).await {
                return;
            }
        }
    }

    /// Whether the image lacks this process, and there is somebody to tell.
    fn is_due(&self, status: &Status) -> bool {
        let reachable = status.is_active || status.leader.endpoint.is_some();
        let known = status.image.controller(self.node);
        reachable && known.is_none_or(|known| known.incarnation != self.incarnation)
    }

    fn request(&self) -> ControllerRegistrationRequest {
        let listeners = self.endpoints.iter().map(|endpoint| Listener {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: 0,
        });
        let features = supported_features().iter().map(|feature| Feature {
            name: Str::from_static(feature.name),
            min_supported_version: feature.min,
            max_supported_version: feature.max,
        });
        ControllerRegistrationRequest {
            controller_id: self.node.get(),
            incarnation_id: self.incarnation,
            zk_migration_ready: false,
            listeners: listeners.collect(),
            features: features.collect(),
        }
    }
}

/// This is the active coordinator: it tells itself.
fn register_here(inbox: &Inbox, request: &Arc<ControllerRegistrationRequest>) -> bool {
    let request = Arc::clone(request);
    let register = Message::Operate(Box::new(move |controller, _| {
        // Should it not be the active one any more, it is told again that it must register.
        let decision = controller.register_controller(&request);
        Decided::chore(decision.unwrap_or_else(|_| Decision::answer(())))
    }));
    inbox.offer(register, 0);
    true
}

async fn register_there(
    status: &Status,
    peers: &Peers,
    request: &ControllerRegistrationRequest,
) -> bool {
    let Some(endpoint) = &status.leader.endpoint else { return false };
    let (host, port) = (endpoint.host.as_str(), endpoint.port);
    match peers.call(host, port, status.leader.leader, request).await {
        Ok(response) if response.error_code.is_ok() => true,
        Ok(response) if response.error_code == ErrorCode::NOT_CONTROLLER => false,
        Ok(response) => {
            let code = response.error_code;
            tracing::warn!(%code, "the active coordinator refuses this one's registration");
            false
        }
        Err(error) => {
            tracing::debug!("cannot register with the active coordinator: {error}");
            false
        }
    }
}

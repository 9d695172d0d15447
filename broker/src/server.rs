//! The broker as a whole: what it is made of, how it starts and how it stops.

mod assembly;
mod doors;
mod groups;
mod observability;
mod topics;
mod transactions;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use vltava_config::Values;
use vltava_net::{CancellationToken, ConnectionId, Handler, Inbound, RateLimit, Reply};
use vltava_wire::{ErrorCode, NodeId, Str};

use crate::api::dispatch;
use crate::controller::Controller;
use crate::group::GroupService;
use crate::lifecycle::{Coordinators, Life};
use crate::metadata::ClusterView;
use crate::partition::Partitions;
use crate::share::ShareService;
use crate::telemetry::Telemetry;
use crate::txn::TxnService;
use crate::txn::gate::Gate;

pub use assembly::{RunError, run};

/// Everything that a handler can reach.
pub struct Broker {
    /// This broker's id.
    pub id: NodeId,
    /// The configuration at start; [`ClusterView::values`] has what was set since as well.
    pub config: Arc<Values>,
    /// The cluster as the metadata log describes it.
    pub cluster: ClusterView,
    /// The partitions that have a replica here.
    pub partitions: Arc<Partitions>,
    /// The groups that are coordinated here.
    pub groups: Arc<GroupService>,
    /// The transactions that are coordinated here.
    pub transactions: Arc<TxnService>,
    /// What is asked before transactional batches are appended.
    pub gate: Gate,
    /// The metrics that clients push, if a collector takes them.
    pub telemetry: Option<Telemetry>,
    /// The share-partitions that are led here, and the state of those that is kept here.
    pub shares: Arc<ShareService>,
    /// The active coordinator, for what partitions ask of it.
    pub controller: Arc<dyn Controller>,
    /// The active coordinator, for what clients ask of it.
    pub coordinators: Arc<Coordinators>,
    /// The broker's registration.
    pub life: Arc<Life>,
    /// Rations the lines about batches that make no sense.
    pub(crate) refused: RateLimit<(IpAddr, ErrorCode)>,
    /// Topics that are being created because somebody asked for them.
    creating: Mutex<BTreeSet<Str>>,
    /// Cancelled when the broker ends.
    stop: CancellationToken,
}

/// Gives each request to its handler.
struct Service {
    broker: Arc<Broker>,
}

impl Handler for Service {
    async fn handle(&self, request: Inbound) -> Reply {
        dispatch::dispatch(Arc::clone(&self.broker), request).await
    }

    fn closed(&self, connection: ConnectionId) {
        if let Some(telemetry) = &self.broker.telemetry {
            telemetry.closed(connection);
        }
        self.broker.shares.connection_closed(connection);
    }
}

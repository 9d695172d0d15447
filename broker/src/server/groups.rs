//! How groups are put together: their own coordinator, and what share groups need beside it.

use std::sync::Arc;

use vltava_client::ConnectOptions;
use vltava_config::Values;
use vltava_wire::NodeId;

use crate::group::{GroupConfig, GroupService};
use crate::metadata::{ClusterView, topic};
use crate::partition::Partitions;
use crate::partition::state_log::StateTopic;
use crate::share::ShareService;
use crate::share::coordinator::ShareCoordinator;
use crate::share::persister::Persister;

/// The groups that this broker will coordinate, and its part of share groups. Must be called within
/// the tokio runtime that the work of share groups goes on in.
pub(super) fn assemble(
    id: NodeId,
    config: &Arc<Values>,
    partitions: &Arc<Partitions>,
    cluster: &ClusterView,
) -> (GroupService, Arc<ShareService>) {
    let log = |name| Arc::new(StateTopic::new(Arc::clone(partitions), name));
    let groups = GroupService::new(GroupConfig::of(config), log(topic::GROUP_OFFSETS));
    let coordinator = Arc::new(ShareCoordinator::new(config, log(topic::SHARE_GROUP_STATE)));
    let options = ConnectOptions::named(&format!("broker-{id}-shares"));
    let listener = config.inter_broker_listener();
    let local = Arc::clone(&coordinator);
    let persister = Persister::new(id, cluster.clone(), listener, options, local);
    groups.ask_for_shares(Arc::new(Arc::clone(&persister)));
    let (cluster, partitions) = (cluster.clone(), Arc::clone(partitions));
    let shares = ShareService::new(id, cluster, partitions, coordinator, persister);
    (groups, shares)
}

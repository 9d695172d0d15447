//! The broker as a whole: what it is made of, how it starts and how it stops.

use std::sync::Arc;

use vltava_config::Values;
use vltava_wire::NodeId;

use crate::controller::Controller;
use crate::group::GroupService;
use crate::metadata::ClusterView;
use crate::partition::Partitions;

/// Everything that a handler can reach.
pub struct Broker {
    /// This broker's id.
    pub id: NodeId,
    /// The configuration at start; keys that change at run time are read from the image.
    pub config: Arc<Values>,
    /// The cluster as the metadata log describes it.
    pub cluster: ClusterView,
    /// The partitions that have a replica here.
    pub partitions: Arc<Partitions>,
    /// The groups that are coordinated here.
    pub groups: Arc<GroupService>,
    /// The active coordinator.
    pub controller: Arc<dyn Controller>,
}

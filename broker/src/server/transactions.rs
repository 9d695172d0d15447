//! How the coordinator of transactions is put together: its log, its producer ids, its way to the
//! leaders of partitions.

use std::sync::Arc;

use futures::future::BoxFuture;
use vltava_config::Values;
use vltava_wire::{ErrorCode, NodeId, ProducerId};

use crate::controller::Controller;
use crate::error::ToErrorCode;
use crate::metadata::{ClusterView, topic};
use crate::neighbours::Neighbours;
use crate::partition::Partitions;
use crate::partition::state_log::StateTopic;
use crate::txn::gate::Gate;
use crate::txn::service::ProducerIdSource;
use crate::txn::{TxnConfig, TxnService};

/// Producer ids out of the broker's blocks.
struct Ids {
    me: NodeId,
    partitions: Arc<Partitions>,
    cluster: ClusterView,
    controller: Arc<dyn Controller>,
}

impl ProducerIdSource for Arc<Ids> {
    fn next(&self) -> BoxFuture<'static, Result<i64, ErrorCode>> {
        let ids = Arc::clone(self);
        Box::pin(async move {
            let Ids { me, partitions, cluster, controller } = &*ids;
            let drawn = partitions.producer_ids().next(*me, cluster, controller).await;
            drawn.map(ProducerId::get).map_err(|error| {
                tracing::warn!(%error, "a transactional producer got no id");
                error.code()
            })
        })
    }
}

/// The coordinator of transactions of this broker, and the way to those of all.
pub(super) fn assemble(
    me: NodeId,
    config: &Values,
    partitions: &Arc<Partitions>,
    cluster: &ClusterView,
    controller: &Arc<dyn Controller>,
) -> (TxnService, Gate) {
    let listener = config.inter_broker_listener();
    let neighbours = Arc::new(Neighbours::new(me, cluster.clone(), listener));
    let log = StateTopic::new(Arc::clone(partitions), topic::TRANSACTION_STATE);
    let ids = Arc::new(Ids {
        me,
        partitions: Arc::clone(partitions),
        cluster: cluster.clone(),
        controller: Arc::clone(controller),
    });
    let link = Arc::new(Arc::clone(&neighbours));
    let service = TxnService::new(TxnConfig::of(config), Arc::new(log), Arc::new(ids), link);
    (service, Gate::new(neighbours, config))
}

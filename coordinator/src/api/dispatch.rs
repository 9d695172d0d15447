//! The table: key, versions, whether a broker may forward it, handler. Nothing is decided here.

use std::sync::Arc;

use vltava_net::{Answer, ConnectionId, Handler, Inbound, Reply};
use vltava_wire::{ApiKey, Versions};

use super::{
    Call, Context, add_raft_voter, allocate_producer_ids, alter_configs, alter_partition,
    alter_partition_reassignments, api_versions, assign_replicas_to_dirs, begin_quorum_epoch,
    broker_heartbeat, broker_registration, controller_registration, create_partitions,
    create_topics, delete_topics, describe_cluster, describe_configs, describe_quorum,
    elect_leaders, end_quorum_epoch, envelope, fetch, fetch_snapshot, incremental_alter_configs,
    list_partition_reassignments, remove_raft_voter, unregister_broker, update_features,
    update_raft_voter, vote,
};

/// Handles a request: what must be done in order before it returns, the rest in its reply.
type Handle = fn(&Arc<Context>, Call) -> Reply;

/// A kind of request that is served.
pub(super) struct Row {
    pub(super) key: ApiKey,
    pub(super) versions: Versions,
    /// Whether brokers forward it for their clients.
    pub(super) forwarded: bool,
    handle: Handle,
}

const fn row(key: ApiKey, versions: &str, forwarded: bool, handle: Handle) -> Row {
    Row { key, versions: Versions::parse(versions), forwarded, handle }
}

/// Every kind of request that is served, by number.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    row(ApiKey::Fetch, "4-18", false, fetch::handle),
    row(ApiKey::ApiVersions, "0-4", false, api_versions::handle),
    row(ApiKey::CreateTopics, "2-7", true, create_topics::handle),
    row(ApiKey::DeleteTopics, "1-6", true, delete_topics::handle),
    row(ApiKey::DescribeConfigs, "1-4", false, describe_configs::handle),
    row(ApiKey::AlterConfigs, "0-2", true, alter_configs::handle),
    row(ApiKey::CreatePartitions, "0-3", true, create_partitions::handle),
    row(ApiKey::ElectLeaders, "0-2", true, elect_leaders::handle),
    row(ApiKey::IncrementalAlterConfigs, "0-1", true, incremental_alter_configs::handle),
    row(ApiKey::AlterPartitionReassignments, "0-1", true, alter_partition_reassignments::handle),
    row(ApiKey::ListPartitionReassignments, "0", true, list_partition_reassignments::handle),
    row(ApiKey::Vote, "0-2", false, vote::handle),
    row(ApiKey::BeginQuorumEpoch, "0-1", false, begin_quorum_epoch::handle),
    row(ApiKey::EndQuorumEpoch, "0-1", false, end_quorum_epoch::handle),
    row(ApiKey::DescribeQuorum, "0-2", true, describe_quorum::handle),
    row(ApiKey::AlterPartition, "2-3", false, alter_partition::handle),
    row(ApiKey::UpdateFeatures, "0-2", true, update_features::handle),
    row(ApiKey::Envelope, "0", false, envelope::handle),
    row(ApiKey::FetchSnapshot, "0-1", false, fetch_snapshot::handle),
    row(ApiKey::DescribeCluster, "0-2", false, describe_cluster::handle),
    row(ApiKey::BrokerRegistration, "0-4", false, broker_registration::handle),
    row(ApiKey::BrokerHeartbeat, "0-1", false, broker_heartbeat::handle),
    row(ApiKey::UnregisterBroker, "0", true, unregister_broker::handle),
    row(ApiKey::AllocateProducerIds, "0", false, allocate_producer_ids::handle),
    row(ApiKey::ControllerRegistration, "0", false, controller_registration::handle),
    row(ApiKey::AssignReplicasToDirs, "0", false, assign_replicas_to_dirs::handle),
    row(ApiKey::AddRaftVoter, "0-1", true, add_raft_voter::handle),
    row(ApiKey::RemoveRaftVoter, "0", true, remove_raft_voter::handle),
    row(ApiKey::UpdateRaftVoter, "0", false, update_raft_voter::handle),
];

/// What coordinators serve: each kind of request with its versions, and whether brokers forward it.
pub fn served() -> impl Iterator<Item = (ApiKey, Versions, bool)> {
    TABLE.iter().map(|row| (row.key, row.versions, row.forwarded))
}

/// Looks a request up and handles it.
pub(super) fn dispatch(context: &Arc<Context>, call: Call) -> Reply {
    let Some(row) = TABLE.iter().find(|row| row.key == call.key) else {
        return Answer::close(format!("{} is not served by a coordinator", call.key)).into();
    };
    if row.versions.contains(call.header.api_version) {
        return (row.handle)(context, call);
    }
    if row.key == ApiKey::ApiVersions {
        return api_versions::unsupported(&call);
    }
    let version = call.header.api_version;
    Answer::close(format!("version {version} of {} is not served", call.key)).into()
}

/// Gives each request to its handler.
#[derive(Debug)]
pub(crate) struct Service(pub(crate) Arc<Context>);

impl Handler for Service {
    async fn handle(&self, request: Inbound) -> Reply {
        dispatch(&self.0, request.into())
    }

    fn closed(&self, connection: ConnectionId) {
        self.0.inbox.closed(connection);
    }
}

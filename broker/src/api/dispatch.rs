//! The table of what this broker serves: key, versions, and the file that answers.

use std::sync::Arc;

use futures::future::BoxFuture;
use vltava_net::{Answer, Inbound, Reply};
use vltava_wire::{ApiKey, Versions};

use crate::api::context::Call;
use crate::server::Broker;

type Handle = fn(Arc<Broker>, Inbound) -> BoxFuture<'static, Reply>;

/// One key that the broker serves.
pub struct Row {
    /// The kind of request.
    pub key: ApiKey,
    /// The versions that are served.
    pub versions: Versions,
    handle: Handle,
}

impl Row {
    /// Whether this broker serves the row: what clients push wants a collector that takes it.
    pub fn is_served_by(&self, broker: &Broker) -> bool {
        let is_telemetry =
            matches!(self.key, ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry);
        !is_telemetry || broker.telemetry.is_some()
    }
}

macro_rules! rows {
    ($($key:ident $versions:literal => $($how:ident)::+;)*) => {
        &[$(Row {
            key: ApiKey::$key,
            versions: Versions::parse($versions),
            handle: rows!(@ $key $($how)::+),
        }),*]
    };
    (@ $key:ident forward) => {
        |broker, inbound| Box::pin(super::forward::handle(broker, inbound))
    };
    (@ $key:ident $module:ident) => {
        |broker, inbound| {
            Box::pin(async move {
                match Call::decode(inbound) {
                    Ok(call) => super::$module::handle(&broker, call).await,
                    Err(error) => Answer::close(error.to_string()).into(),
                }
            })
        }
    };
}

/// Every key, in the order of their numbers. A key is advertised when it works, not before.
pub const TABLE: &[Row] = rows! {
    Produce "3-13" => produce;
    Fetch "4-18" => fetch;
    ListOffsets "1-11" => list_offsets;
    Metadata "0-13" => metadata;
    OffsetCommit "2-10" => offset_commit;
    OffsetFetch "1-10" => offset_fetch;
    FindCoordinator "0-6" => find_coordinator;
    JoinGroup "0-9" => join_group;
    Heartbeat "0-4" => heartbeat;
    LeaveGroup "0-5" => leave_group;
    SyncGroup "0-5" => sync_group;
    DescribeGroups "0-6" => describe_groups;
    ListGroups "0-5" => list_groups;
    ApiVersions "0-4" => api_versions;
    CreateTopics "2-7" => forward;
    DeleteTopics "1-6" => forward;
    DeleteRecords "0-2" => delete_records;
    InitProducerId "0-5" => init_producer_id;
    OffsetForLeaderEpoch "2-4" => offset_for_leader_epoch;
    AddPartitionsToTxn "0-5" => add_partitions_to_txn;
    AddOffsetsToTxn "0-4" => add_offsets_to_txn;
    EndTxn "0-5" => end_txn;
    WriteTxnMarkers "1-2" => write_txn_markers;
    TxnOffsetCommit "0-5" => txn_offset_commit;
    DescribeConfigs "1-4" => describe_configs;
    AlterConfigs "0-2" => alter_configs;
    AlterReplicaLogDirs "1-2" => alter_replica_log_dirs;
    DescribeLogDirs "1-4" => describe_log_dirs;
    CreatePartitions "0-3" => forward;
    DeleteGroups "0-2" => delete_groups;
    ElectLeaders "0-2" => forward;
    IncrementalAlterConfigs "0-1" => incremental_alter_configs;
    AlterPartitionReassignments "0-1" => forward;
    ListPartitionReassignments "0" => forward;
    OffsetDelete "0" => offset_delete;
    DescribeQuorum "0-2" => forward;
    UpdateFeatures "0-2" => forward;
    DescribeCluster "0-2" => describe_cluster;
    DescribeProducers "0" => describe_producers;
    UnregisterBroker "0" => forward;
    DescribeTransactions "0" => describe_transactions;
    ListTransactions "0-2" => list_transactions;
    ConsumerGroupHeartbeat "0-1" => consumer_group_heartbeat;
    ConsumerGroupDescribe "0-1" => consumer_group_describe;
    GetTelemetrySubscriptions "0" => get_telemetry_subscriptions;
    PushTelemetry "0" => push_telemetry;
    ListConfigResources "0-1" => list_config_resources;
    DescribeTopicPartitions "0" => describe_topic_partitions;
    ShareGroupHeartbeat "1" => share_group_heartbeat;
    ShareGroupDescribe "1" => share_group_describe;
    ShareFetch "1-2" => share_fetch;
    ShareAcknowledge "1-2" => share_acknowledge;
    AddRaftVoter "0-1" => forward;
    RemoveRaftVoter "0" => forward;
    InitializeShareGroupState "0" => initialize_share_group_state;
    ReadShareGroupState "0" => read_share_group_state;
    WriteShareGroupState "0-1" => write_share_group_state;
    DeleteShareGroupState "0" => delete_share_group_state;
    ReadShareGroupStateSummary "0-1" => read_share_group_state_summary;
    DescribeShareGroupOffsets "0-1" => describe_share_group_offsets;
    AlterShareGroupOffsets "0" => alter_share_group_offsets;
    DeleteShareGroupOffsets "0" => delete_share_group_offsets;
};

/// Answers one request by the file of its key.
pub async fn dispatch(broker: Arc<Broker>, inbound: Inbound) -> Reply {
    let version = inbound.header.api_version;
    match TABLE.iter().find(|row| row.key == inbound.key && row.is_served_by(&broker)) {
        Some(row) if row.versions.contains(version) => (row.handle)(broker, inbound).await,
        _ if inbound.key == ApiKey::ApiVersions => {
            super::api_versions::unsupported(&broker, &inbound)
        }
        _ => Answer::close(format!("{} version {version} is not served here", inbound.key)).into(),
    }
}

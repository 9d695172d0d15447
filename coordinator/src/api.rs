//! The requests that a coordinator serves: one file a key, and the table of them.

mod add_raft_voter;
mod allocate_producer_ids;
mod alter_configs;
mod alter_partition;
mod alter_partition_reassignments;
mod api_versions;
mod assign_replicas_to_dirs;
mod begin_quorum_epoch;
mod broker_heartbeat;
mod broker_registration;
mod context;
mod controller_registration;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_quorum;
mod dispatch;
mod elect_leaders;
mod end_quorum_epoch;
mod envelope;
mod fetch;
mod fetch_snapshot;
mod incremental_alter_configs;
mod list_partition_reassignments;
mod remove_raft_voter;
mod unregister_broker;
mod update_features;
mod update_raft_voter;
mod vote;

pub(crate) use context::{Call, Context, refuse};
pub(crate) use dispatch::Service;
pub use dispatch::served;

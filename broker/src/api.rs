//! One file an API key: from a decoded request to its answer.
//!
//! Every handler has one signature: `pub async fn handle(broker: &Arc<Broker>, call:
//! Call<FooRequest>) -> Reply`. What it does before it returns happens in the order of the
//! connection's requests; what takes long goes into [`context::Call::reply_later`].

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
pub mod alter_replica_log_dirs;
pub mod alter_share_group_offsets;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod context;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_share_group_offsets;
pub mod delete_share_group_state;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_share_group_offsets;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod dispatch;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod forward;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
mod inflating;
pub mod init_producer_id;
pub mod initialize_share_group_state;
pub mod join_group;
pub mod leaders;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod own_config;
pub mod produce;
pub mod push_telemetry;
pub mod read_share_group_state;
pub mod read_share_group_state_summary;
pub mod share_acknowledge;
pub mod share_fetch;
pub mod share_group_describe;
pub mod share_group_heartbeat;
mod share_states;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod write_share_group_state;
pub mod write_txn_markers;

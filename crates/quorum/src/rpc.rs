//! The quorum's messages as Kafka's requests and answers, and back.
//!
//! On the wire every RPC names topic and partition, carries the cluster id, and says who leads in a
//! place of its own; here that is put on and taken off again, the same way on coordinators and
//! brokers. `*_to_wire` and `*_from_wire` stand in pairs, one file an RPC.

mod epoch;
mod fetch;
mod records;
mod snapshot;
mod vote;
mod voters;

use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Str};

pub use epoch::{
    begin_request_from_wire, begin_request_to_wire, begin_response_from_wire,
    begin_response_to_wire, end_request_from_wire, end_request_to_wire, end_response_from_wire,
    end_response_to_wire,
};
pub use fetch::{
    fetch_request_from_wire, fetch_request_to_wire, fetch_response_from_wire,
    fetch_response_to_wire, is_metadata_fetch,
};
pub use records::{control_record_to_wire, records_from_bytes, voters_from_wire, voters_to_wire};
pub use snapshot::{
    snapshot_request_from_wire, snapshot_request_to_wire, snapshot_response_from_wire,
    snapshot_response_to_wire,
};
pub use vote::{
    vote_request_from_wire, vote_request_to_wire, vote_response_from_wire, vote_response_to_wire,
};
pub use voters::{
    add_request_from_wire, add_request_to_wire, add_response_from_wire, add_response_to_wire,
    remove_request_from_wire, remove_request_to_wire, remove_response_to_wire,
    update_request_from_wire, update_request_to_wire, update_response_from_wire,
    update_response_to_wire,
};

use crate::message::LeaderInfo;
use crate::voter_set::Endpoint;

/// The topic of the metadata log.
pub const METADATA_TOPIC: Str = Str::from_static("__cluster_metadata");

/// Why a request or an answer on the wire is none of the quorum's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct RpcError {
    /// What the sender of a request is told.
    pub code: ErrorCode,
    /// What is wrong.
    pub what: &'static str,
}

/// Refuses a request of another cluster.
fn check_cluster(named: Option<&Str>, cluster_id: &str) -> Result<(), RpcError> {
    match named {
        Some(named) if named.as_str() != cluster_id => Err(RpcError {
            code: ErrorCode::INCONSISTENT_CLUSTER_ID,
            what: "the request is of another cluster",
        }),
        _ => Ok(()),
    }
}

/// The only partition of the only topic, which every RPC names in a list of lists.
fn only<T>(mut items: Vec<T>) -> Result<T, RpcError> {
    match items.pop() {
        Some(item) if items.is_empty() => Ok(item),
        _ => Err(RpcError {
            code: ErrorCode::INVALID_REQUEST,
            what: "exactly one topic and partition is expected",
        }),
    }
}

fn check_partition(topic: &str, partition: i32) -> Result<(), RpcError> {
    if topic != METADATA_TOPIC.as_str() || partition != 0 {
        return Err(RpcError {
            code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            what: "the quorum has one partition, __cluster_metadata-0",
        });
    }
    Ok(())
}

/// An error that concerns the request as a whole stands at the top of an answer.
fn split_error(error: ErrorCode) -> (ErrorCode, ErrorCode) {
    match error {
        ErrorCode::INCONSISTENT_CLUSTER_ID
        | ErrorCode::INVALID_REQUEST
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_VERSION => (error, ErrorCode::NONE),
        error => (ErrorCode::NONE, error),
    }
}

/// The error of an answer, wherever it stands.
fn join_error(top: ErrorCode, partition: ErrorCode) -> ErrorCode {
    if top.is_err() { top } else { partition }
}

/// A node id on the wire, where −1 is nobody.
fn node(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

fn number(node: Option<NodeId>) -> i32 {
    node.unwrap_or(NodeId::NONE).get()
}

/// Where the leader listens, as an answer names it: an id with host and port.
fn leader_info(
    leader: i32,
    epoch: i32,
    endpoints: impl IntoIterator<Item = (i32, Str, u16)>,
) -> LeaderInfo {
    let mut endpoints = endpoints.into_iter();
    let endpoint = endpoints.find(|(id, ..)| *id == leader && leader >= 0);
    LeaderInfo {
        epoch: LeaderEpoch(epoch),
        leader: node(leader),
        endpoint: endpoint.map(|(_, host, port)| Endpoint {
            name: Str::default(),
            host: host.detach(),
            port,
        }),
    }
}

/// The entries of `node_endpoints` that name the leader: one or none.
fn leader_endpoint<T>(leader: &LeaderInfo, entry: impl FnOnce(i32, Str, u16) -> T) -> Vec<T> {
    match (leader.leader, &leader.endpoint) {
        (Some(id), Some(endpoint)) => vec![entry(id.get(), endpoint.host.clone(), endpoint.port)],
        _ => Vec::new(),
    }
}

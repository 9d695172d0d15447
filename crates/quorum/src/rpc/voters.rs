//! AddRaftVoter (80), RemoveRaftVoter (81) and UpdateRaftVoter (82) on the wire.

use vltava_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UpdateRaftVoterRequest, UpdateRaftVoterResponse, add_raft_voter, update_raft_voter,
};
use vltava_wire::{LeaderEpoch, NodeId, Str};

use super::{RpcError, check_cluster, leader_info, number};
use crate::message::{
    AddVoterRequest, RemoveVoterRequest, UpdateVoterRequest, VoterChangeResponse,
};
use crate::voter_set::{Endpoint, ReplicaKey, Voter};

/// The request as it goes out.
pub fn add_request_to_wire(request: &AddVoterRequest, cluster_id: &Str) -> AddRaftVoterRequest {
    let listener = |endpoint: &Endpoint| add_raft_voter::Listener {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    AddRaftVoterRequest {
        cluster_id: Some(cluster_id.clone()),
        timeout_ms: i32::try_from(request.timeout_ms).unwrap_or(i32::MAX),
        voter_id: request.voter.key.id.get(),
        voter_directory_id: request.voter.key.directory_id,
        listeners: request.voter.endpoints.iter().map(listener).collect(),
        ack_when_committed: request.ack_when_committed,
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster.
pub fn add_request_from_wire(
    request: AddRaftVoterRequest,
    cluster_id: &str,
) -> Result<AddVoterRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let key = ReplicaKey::new(NodeId(request.voter_id), request.voter_directory_id);
    let listeners = request.listeners.into_iter();
    let endpoints = listeners.map(|it| endpoint(&it.name, &it.host, it.port)).collect();
    Ok(AddVoterRequest {
        voter: Voter::new(key, endpoints),
        timeout_ms: u32::try_from(request.timeout_ms).unwrap_or(0),
        ack_when_committed: request.ack_when_committed,
    })
}

/// The answer as it goes out.
pub fn add_response_to_wire(response: &VoterChangeResponse) -> AddRaftVoterResponse {
    let error_code = response.error;
    AddRaftVoterResponse { error_code, error_message: None, ..Default::default() }
}

/// The answer as it came in.
pub fn add_response_from_wire(response: &AddRaftVoterResponse) -> VoterChangeResponse {
    VoterChangeResponse { error: response.error_code, leader: leader_info(-1, -1, []) }
}

/// The request as it goes out.
pub fn remove_request_to_wire(
    request: &RemoveVoterRequest,
    cluster_id: &Str,
) -> RemoveRaftVoterRequest {
    RemoveRaftVoterRequest {
        cluster_id: Some(cluster_id.clone()),
        voter_id: request.voter.id.get(),
        voter_directory_id: request.voter.directory_id,
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster.
pub fn remove_request_from_wire(
    request: &RemoveRaftVoterRequest,
    cluster_id: &str,
) -> Result<RemoveVoterRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let voter = ReplicaKey::new(NodeId(request.voter_id), request.voter_directory_id);
    Ok(RemoveVoterRequest { voter })
}

/// The answer as it goes out.
pub fn remove_response_to_wire(response: &VoterChangeResponse) -> RemoveRaftVoterResponse {
    let error_code = response.error;
    RemoveRaftVoterResponse { error_code, error_message: None, ..Default::default() }
}

/// The request as it goes out.
pub fn update_request_to_wire(
    request: &UpdateVoterRequest,
    cluster_id: &Str,
) -> UpdateRaftVoterRequest {
    let listener = |endpoint: &Endpoint| update_raft_voter::Listener {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    UpdateRaftVoterRequest {
        cluster_id: Some(cluster_id.clone()),
        current_leader_epoch: request.epoch.get(),
        voter_id: request.voter.key.id.get(),
        voter_directory_id: request.voter.key.directory_id,
        listeners: request.voter.endpoints.iter().map(listener).collect(),
        k_raft_version_feature: update_raft_voter::KRaftVersionFeature {
            min_supported_version: request.voter.kraft_version.0,
            max_supported_version: request.voter.kraft_version.1,
        },
    }
}

/// The request as it came in.
///
/// # Errors
/// A request of another cluster.
pub fn update_request_from_wire(
    request: UpdateRaftVoterRequest,
    cluster_id: &str,
) -> Result<UpdateVoterRequest, RpcError> {
    check_cluster(request.cluster_id.as_ref(), cluster_id)?;
    let versions = &request.k_raft_version_feature;
    let kraft_version = (versions.min_supported_version, versions.max_supported_version);
    let key = ReplicaKey::new(NodeId(request.voter_id), request.voter_directory_id);
    let listeners = request.listeners.into_iter();
    let endpoints = listeners.map(|it| endpoint(&it.name, &it.host, it.port)).collect();
    Ok(UpdateVoterRequest {
        epoch: LeaderEpoch(request.current_leader_epoch),
        voter: Voter { key, endpoints, kraft_version },
    })
}

/// The answer as it goes out.
pub fn update_response_to_wire(response: &VoterChangeResponse) -> UpdateRaftVoterResponse {
    let endpoint = response.leader.endpoint.clone().unwrap_or_default();
    UpdateRaftVoterResponse {
        error_code: response.error,
        current_leader: update_raft_voter::CurrentLeader {
            leader_id: number(response.leader.leader),
            leader_epoch: response.leader.epoch.get(),
            host: endpoint.host,
            port: i32::from(endpoint.port),
        },
        ..Default::default()
    }
}

/// The answer as it came in.
pub fn update_response_from_wire(response: &UpdateRaftVoterResponse) -> VoterChangeResponse {
    let leader = &response.current_leader;
    let port = u16::try_from(leader.port).ok();
    let endpoint = port.map(|port| (leader.leader_id, leader.host.clone(), port));
    VoterChangeResponse {
        error: response.error_code,
        leader: leader_info(leader.leader_id, leader.leader_epoch, endpoint),
    }
}

fn endpoint(name: &Str, host: &Str, port: u16) -> Endpoint {
    Endpoint { name: name.detach(), host: host.detach(), port }
}

//! EndQuorumEpoch (key 54): announces that the quorum's leader resigns.
//!
//! Source: KIP-595, KIP-853.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Announces that the quorum's leader resigns.
    EndQuorumEpochRequest "0-1", flexible "1+" {
        cluster_id: Option<Str>, "0+", nullable "0+";
        topics: Vec<TopicData>, "0+";
        leader_endpoints: Vec<LeaderEndpoint>, "1+";
    }

    /// Part of [`EndQuorumEpochRequest`].
    TopicData {
        topic_name: Str, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`EndQuorumEpochRequest`].
    PartitionData {
        partition_index: i32, "0+";
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
        preferred_successors: Vec<i32>, "0";
        preferred_candidates: Vec<ReplicaInfo>, "1+";
    }

    /// Part of [`EndQuorumEpochRequest`].
    ReplicaInfo {
        candidate_id: i32, "1+";
        candidate_directory_id: Uuid, "1+";
    }

    /// Part of [`EndQuorumEpochRequest`].
    LeaderEndpoint {
        name: Str, "1+";
        host: Str, "1+";
        port: u16, "1+";
    }
}

message! {
    /// Answers a [`EndQuorumEpochRequest`].
    EndQuorumEpochResponse "0-1", flexible "1+" {
        error_code: ErrorCode, "0+";
        topics: Vec<TopicDataResponse>, "0+";
        node_endpoints: Vec<NodeEndpoint>, "1+", tagged 0 "1+";
    }

    /// Part of [`EndQuorumEpochResponse`].
    TopicDataResponse {
        topic_name: Str, "0+";
        partitions: Vec<PartitionDataResponse>, "0+";
    }

    /// Part of [`EndQuorumEpochResponse`].
    PartitionDataResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
    }

    /// Part of [`EndQuorumEpochResponse`].
    NodeEndpoint {
        node_id: i32, "1+";
        host: Str, "1+";
        port: u16, "1+";
    }
}

request!(EndQuorumEpochRequest, EndQuorumEpoch, EndQuorumEpochResponse);

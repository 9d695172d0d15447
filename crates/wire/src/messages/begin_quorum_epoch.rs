//! BeginQuorumEpoch (key 53): announces a new leader of the quorum to its voters.
//!
//! Source: KIP-595, KIP-853.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Announces a new leader of the quorum to its voters.
    BeginQuorumEpochRequest "0-1", flexible "1+" {
        cluster_id: Option<Str>, "0+", nullable "0+";
        voter_id: i32, "1+", default -1;
        topics: Vec<TopicData>, "0+";
        leader_endpoints: Vec<LeaderEndpoint>, "1+";
    }

    /// Part of [`BeginQuorumEpochRequest`].
    TopicData {
        topic_name: Str, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`BeginQuorumEpochRequest`].
    PartitionData {
        partition_index: i32, "0+";
        voter_directory_id: Uuid, "1+";
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
    }

    /// Part of [`BeginQuorumEpochRequest`].
    LeaderEndpoint {
        name: Str, "1+";
        host: Str, "1+";
        port: u16, "1+";
    }
}

message! {
    /// Answers a [`BeginQuorumEpochRequest`].
    BeginQuorumEpochResponse "0-1", flexible "1+" {
        error_code: ErrorCode, "0+";
        topics: Vec<TopicDataResponse>, "0+";
        node_endpoints: Vec<NodeEndpoint>, "1+", tagged 0 "1+";
    }

    /// Part of [`BeginQuorumEpochResponse`].
    TopicDataResponse {
        topic_name: Str, "0+";
        partitions: Vec<PartitionDataResponse>, "0+";
    }

    /// Part of [`BeginQuorumEpochResponse`].
    PartitionDataResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
    }

    /// Part of [`BeginQuorumEpochResponse`].
    NodeEndpoint {
        node_id: i32, "1+";
        host: Str, "1+";
        port: u16, "1+";
    }
}

request!(BeginQuorumEpochRequest, BeginQuorumEpoch, BeginQuorumEpochResponse);

//! Vote (key 52): asks for a vote, or a pre-vote, in the quorum.
//!
//! Source: KIP-595, KIP-853, KIP-996.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Asks for a vote, or a pre-vote, in the quorum.
    VoteRequest "0-2", flexible "0+" {
        cluster_id: Option<Str>, "0+", nullable "0+";
        voter_id: i32, "1+", default -1;
        topics: Vec<TopicData>, "0+";
    }

    /// Part of [`VoteRequest`].
    TopicData {
        topic_name: Str, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`VoteRequest`].
    PartitionData {
        partition_index: i32, "0+";
        replica_epoch: i32, "0+";
        replica_id: i32, "0+";
        replica_directory_id: Uuid, "1+";
        voter_directory_id: Uuid, "1+";
        last_offset_epoch: i32, "0+";
        last_offset: i64, "0+";
        pre_vote: bool, "2+";
    }
}

message! {
    /// Answers a [`VoteRequest`].
    VoteResponse "0-2", flexible "0+" {
        error_code: ErrorCode, "0+";
        topics: Vec<TopicDataResponse>, "0+";
        node_endpoints: Vec<NodeEndpoint>, "1+", tagged 0 "1+";
    }

    /// Part of [`VoteResponse`].
    TopicDataResponse {
        topic_name: Str, "0+";
        partitions: Vec<PartitionDataResponse>, "0+";
    }

    /// Part of [`VoteResponse`].
    PartitionDataResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
        vote_granted: bool, "0+";
    }

    /// Part of [`VoteResponse`].
    NodeEndpoint {
        node_id: i32, "1+";
        host: Str, "1+";
        port: u16, "1+";
    }
}

request!(VoteRequest, Vote, VoteResponse);

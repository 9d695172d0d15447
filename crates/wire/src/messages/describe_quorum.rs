//! DescribeQuorum (key 55): describes the quorum's leader, voters and observers.
//!
//! Source: KIP-595, KIP-836, KIP-853.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Describes the quorum's leader, voters and observers.
    DescribeQuorumRequest "0-2", flexible "0+" {
        topics: Vec<TopicData>, "0+";
    }

    /// Part of [`DescribeQuorumRequest`].
    TopicData {
        topic_name: Str, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`DescribeQuorumRequest`].
    PartitionData {
        partition_index: i32, "0+";
    }
}

message! {
    /// Answers a [`DescribeQuorumRequest`].
    DescribeQuorumResponse "0-2", flexible "0+" {
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "2+", nullable "2+", default Some(Default::default());
        topics: Vec<TopicDataResponse>, "0+";
        nodes: Vec<Node>, "2+";
    }

    /// Part of [`DescribeQuorumResponse`].
    TopicDataResponse {
        topic_name: Str, "0+";
        partitions: Vec<PartitionDataResponse>, "0+";
    }

    /// Part of [`DescribeQuorumResponse`].
    PartitionDataResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "2+", nullable "2+", default Some(Default::default());
        leader_id: i32, "0+";
        leader_epoch: i32, "0+";
        high_watermark: i64, "0+";
        current_voters: Vec<ReplicaState>, "0+";
        observers: Vec<ReplicaState>, "0+";
    }

    /// Part of [`DescribeQuorumResponse`].
    ReplicaState {
        replica_id: i32, "0+";
        replica_directory_id: Uuid, "2+";
        log_end_offset: i64, "0+";
        last_fetch_timestamp: i64, "1+", default -1;
        last_caught_up_timestamp: i64, "1+", default -1;
    }

    /// Part of [`DescribeQuorumResponse`].
    Node {
        node_id: i32, "2+";
        listeners: Vec<Listener>, "2+";
    }

    /// Part of [`DescribeQuorumResponse`].
    Listener {
        name: Str, "2+";
        host: Str, "2+";
        port: u16, "2+";
    }
}

request!(DescribeQuorumRequest, DescribeQuorum, DescribeQuorumResponse);

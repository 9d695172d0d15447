//! AssignReplicasToDirs (key 73): a broker says in which log directories its replicas lie.
//!
//! Source: KIP-858.

use crate::message::request;
use crate::{ErrorCode, Uuid, message};

message! {
    /// A broker says in which log directories its replicas lie.
    AssignReplicasToDirsRequest "0", flexible "0+" {
        broker_id: i32, "0+";
        broker_epoch: i64, "0+", default -1;
        directories: Vec<DirectoryData>, "0+";
    }

    /// Part of [`AssignReplicasToDirsRequest`].
    DirectoryData {
        id: Uuid, "0+";
        topics: Vec<TopicData>, "0+";
    }

    /// Part of [`AssignReplicasToDirsRequest`].
    TopicData {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionData>, "0+";
    }

    /// Part of [`AssignReplicasToDirsRequest`].
    PartitionData {
        partition_index: i32, "0+";
    }
}

message! {
    /// Answers a [`AssignReplicasToDirsRequest`].
    AssignReplicasToDirsResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        directories: Vec<DirectoryDataResponse>, "0+";
    }

    /// Part of [`AssignReplicasToDirsResponse`].
    DirectoryDataResponse {
        id: Uuid, "0+";
        topics: Vec<TopicDataResponse>, "0+";
    }

    /// Part of [`AssignReplicasToDirsResponse`].
    TopicDataResponse {
        topic_id: Uuid, "0+";
        partitions: Vec<PartitionDataResponse>, "0+";
    }

    /// Part of [`AssignReplicasToDirsResponse`].
    PartitionDataResponse {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(AssignReplicasToDirsRequest, AssignReplicasToDirs, AssignReplicasToDirsResponse);

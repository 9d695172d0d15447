//! AlterReplicaLogDirs (key 34): moves replicas to other log directories of their broker.
//!
//! Source: KIP-113.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Moves replicas to other log directories of their broker.
    AlterReplicaLogDirsRequest "1-2", flexible "2+" {
        dirs: Vec<AlterReplicaLogDir>, "0+";
    }

    /// Part of [`AlterReplicaLogDirsRequest`].
    AlterReplicaLogDir {
        path: Str, "0+";
        topics: Vec<AlterReplicaLogDirTopic>, "0+";
    }

    /// Part of [`AlterReplicaLogDirsRequest`].
    AlterReplicaLogDirTopic {
        name: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Answers an [`AlterReplicaLogDirsRequest`].
    AlterReplicaLogDirsResponse "1-2", flexible "2+" {
        throttle_time_ms: i32, "0+";
        results: Vec<AlterReplicaLogDirTopicResult>, "0+";
    }

    /// Part of [`AlterReplicaLogDirsResponse`].
    AlterReplicaLogDirTopicResult {
        topic_name: Str, "0+";
        partitions: Vec<AlterReplicaLogDirPartitionResult>, "0+";
    }

    /// Part of [`AlterReplicaLogDirsResponse`].
    AlterReplicaLogDirPartitionResult {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(AlterReplicaLogDirsRequest, AlterReplicaLogDirs, AlterReplicaLogDirsResponse);

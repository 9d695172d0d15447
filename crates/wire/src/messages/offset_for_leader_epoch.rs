//! OffsetForLeaderEpoch (key 23): asks where an epoch ended in a leader's log.
//!
//! Source: KIP-101, KIP-320.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Asks where an epoch ended in a leader's log.
    OffsetForLeaderEpochRequest "2-4", flexible "4+" {
        replica_id: i32, "3+", default -2;
        topics: Vec<OffsetForLeaderTopic>, "0+";
    }

    /// Part of [`OffsetForLeaderEpochRequest`].
    OffsetForLeaderTopic {
        topic: Str, "0+";
        partitions: Vec<OffsetForLeaderPartition>, "0+";
    }

    /// Part of [`OffsetForLeaderEpochRequest`].
    OffsetForLeaderPartition {
        partition: i32, "0+";
        current_leader_epoch: i32, "2+", default -1;
        leader_epoch: i32, "0+";
    }
}

message! {
    /// Answers a [`OffsetForLeaderEpochRequest`].
    OffsetForLeaderEpochResponse "2-4", flexible "4+" {
        throttle_time_ms: i32, "2+";
        topics: Vec<OffsetForLeaderTopicResult>, "0+";
    }

    /// Part of [`OffsetForLeaderEpochResponse`].
    OffsetForLeaderTopicResult {
        topic: Str, "0+";
        partitions: Vec<EpochEndOffset>, "0+";
    }

    /// Part of [`OffsetForLeaderEpochResponse`].
    EpochEndOffset {
        error_code: ErrorCode, "0+";
        partition: i32, "0+";
        leader_epoch: i32, "1+", default -1;
        end_offset: i64, "0+", default -1;
    }
}

request!(OffsetForLeaderEpochRequest, OffsetForLeaderEpoch, OffsetForLeaderEpochResponse);

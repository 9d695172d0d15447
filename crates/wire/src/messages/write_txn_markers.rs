//! WriteTxnMarkers (key 27): ends transactions in the partitions that they wrote to.
//!
//! Source: KIP-98, KIP-1228.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Ends transactions in the partitions that they wrote to.
    WriteTxnMarkersRequest "1-2", flexible "1+" {
        markers: Vec<WritableTxnMarker>, "0+";
    }

    /// Part of [`WriteTxnMarkersRequest`].
    WritableTxnMarker {
        producer_id: i64, "0+";
        producer_epoch: i16, "0+";
        transaction_result: bool, "0+";
        topics: Vec<WritableTxnMarkerTopic>, "0+";
        coordinator_epoch: i32, "0+";
        transaction_version: i8, "2+";
    }

    /// Part of [`WriteTxnMarkersRequest`].
    WritableTxnMarkerTopic {
        name: Str, "0+";
        partition_indexes: Vec<i32>, "0+";
    }
}

message! {
    /// Answers a [`WriteTxnMarkersRequest`].
    WriteTxnMarkersResponse "1-2", flexible "1+" {
        markers: Vec<WritableTxnMarkerResult>, "0+";
    }

    /// Part of [`WriteTxnMarkersResponse`].
    WritableTxnMarkerResult {
        producer_id: i64, "0+";
        topics: Vec<WritableTxnMarkerTopicResult>, "0+";
    }

    /// Part of [`WriteTxnMarkersResponse`].
    WritableTxnMarkerTopicResult {
        name: Str, "0+";
        partitions: Vec<WritableTxnMarkerPartitionResult>, "0+";
    }

    /// Part of [`WriteTxnMarkersResponse`].
    WritableTxnMarkerPartitionResult {
        partition_index: i32, "0+";
        error_code: ErrorCode, "0+";
    }
}

request!(WriteTxnMarkersRequest, WriteTxnMarkers, WriteTxnMarkersResponse);

//! WriteTxnMarkers (27): transactions' coordinators have them ended in the partitions that they
//! wrote to.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use vltava_net::Reply;
use vltava_wire::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopic, WritableTxnMarkerTopicResult,
};
use vltava_wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use vltava_wire::{ErrorCode, PartitionId, ProducerEpoch, ProducerId, Str};

use crate::api::context::Call;
use crate::error::ToErrorCode;
use crate::metadata::topic::GROUP_OFFSETS;
use crate::partition::transactions::TransactionEnd;
use crate::partition::{Partition, PartitionError};
use crate::server::Broker;

/// How long a marker may take until it is on all replicas in sync, as long as Kafka's
/// `request.timeout.ms` is by default. The coordinator comes again.
const TIMEOUT: Duration = Duration::from_secs(30);

/// More than a marker's batch takes, in bytes.
const MARKER_BYTES: usize = 128;

/// Answers when each marker is on all replicas in sync, or was refused.
pub async fn handle(broker: &Arc<Broker>, mut call: Call<WriteTxnMarkersRequest>) -> Reply {
    let markers = std::mem::take(&mut call.request.markers);
    let broker = Arc::clone(broker);
    call.reply_later(async move {
        let results = markers.iter().map(|marker| write(&broker, marker));
        WriteTxnMarkersResponse { markers: join_all(results).await }
    })
}

async fn write(broker: &Arc<Broker>, marker: &WritableTxnMarker) -> WritableTxnMarkerResult {
    let end = TransactionEnd {
        producer_id: ProducerId(marker.producer_id),
        producer_epoch: ProducerEpoch(marker.producer_epoch),
        commits: marker.transaction_result,
        coordinator_epoch: marker.coordinator_epoch,
        version: marker.transaction_version,
    };
    let topics = marker.topics.iter().map(|topic| write_to_topic(broker, topic, end));
    let topics = join_all(topics).await;
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics }
}

async fn write_to_topic(
    broker: &Arc<Broker>,
    topic: &WritableTxnMarkerTopic,
    end: TransactionEnd,
) -> WritableTxnMarkerTopicResult {
    let partitions = topic.partition_indexes.iter().map(|&partition_index| async move {
        let written = write_to_partition(broker, &topic.name, partition_index, end);
        let error_code = match tokio::time::timeout(TIMEOUT, written).await {
            Ok(code) => code,
            Err(_) => ErrorCode::REQUEST_TIMED_OUT,
        };
        WritableTxnMarkerPartitionResult { partition_index, error_code }
    });
    let partitions = join_all(partitions).await;
    WritableTxnMarkerTopicResult { name: topic.name.clone(), partitions }
}

async fn write_to_partition(
    broker: &Arc<Broker>,
    topic: &Str,
    index: i32,
    end: TransactionEnd,
) -> ErrorCode {
    let partition = match broker.partitions.by_name(topic, index) {
        Ok(partition) => partition,
        Err(error) => return error.code(),
    };
    if *topic == *GROUP_OFFSETS {
        // The groups there have offsets that wait for it.
        return match broker.groups.end_transaction(PartitionId(index), end).get().await {
            // The coordinator of transactions looks for leaders, not for those of groups.
            ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::NOT_COORDINATOR => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            code => code,
        };
    }
    match append(partition, end).await {
        Ok(()) => ErrorCode::NONE,
        Err(error) => error.code(),
    }
}

async fn append(partition: Arc<Partition>, end: TransactionEnd) -> Result<(), PartitionError> {
    let appended = if partition.may_stall(MARKER_BYTES) {
        let appending = Arc::clone(&partition);
        let appended = tokio::task::spawn_blocking(move || appending.end_transaction(&end)).await;
        // A panic has been told of; the coordinator comes again.
        appended.map_err(|_| PartitionError::TimedOut)??
    } else {
        partition.end_transaction(&end)?
    };
    partition.committed(appended.end(), appended.leader_epoch).await
}

//! DeleteRecords (21): moves the start of partitions forward, on the leader and, before it is
//! answered, on all replicas that live (KIP-107).

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use vltava_net::Reply;
use vltava_wire::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use vltava_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use vltava_wire::{ErrorCode, Offset, Str};

use crate::api::context::Call;
use crate::error::ToErrorCode;
use crate::metadata::topic::is_internal;
use crate::partition::Partitions;
use crate::server::Broker;

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Moves the starts, and waits for the followers to do the same.
pub async fn handle(broker: &Arc<Broker>, mut call: Call<DeleteRecordsRequest>) -> Reply {
    let topics = std::mem::take(&mut call.request.topics);
    let timeout = Duration::from_millis(call.request.timeout_ms.max(0) as u64);
    let partitions = Arc::clone(&broker.partitions);
    call.reply_later(async move {
        let topics = topics.into_iter().map(|topic| {
            let partitions = &partitions;
            async move {
                let name = &topic.name;
                let deleted = topic.partitions.iter().map(|wanted| {
                    let (index, offset) = (wanted.partition_index, wanted.offset);
                    delete(partitions, name, index, offset, timeout)
                });
                let partitions = join_all(deleted).await;
                DeleteRecordsTopicResult { name: topic.name.clone(), partitions }
            }
        });
        DeleteRecordsResponse { throttle_time_ms: 0, topics: join_all(topics).await }
    })
}

async fn delete(
    partitions: &Partitions,
    topic: &Str,
    partition_index: i32,
    offset: i64,
    timeout: Duration,
) -> DeleteRecordsPartitionResult {
    let answer = |result: Result<Offset, ErrorCode>| match result {
        Ok(low_watermark) => DeleteRecordsPartitionResult {
            partition_index,
            low_watermark: low_watermark.get(),
            error_code: ErrorCode::NONE,
        },
        Err(error_code) => {
            DeleteRecordsPartitionResult { partition_index, low_watermark: -1, error_code }
        }
    };
    if is_internal(topic) {
        return answer(Err(ErrorCode::INVALID_TOPIC_EXCEPTION));
    }
    let before = (offset != HIGH_WATERMARK).then_some(Offset(offset));
    let started = partitions
        .by_name(topic, partition_index)
        .map_err(|error| error.code())
        .and_then(|it| it.delete_records(before).map(|at| (it, at)).map_err(|error| error.code()));
    let (partition, start) = match started {
        Ok(started) => started,
        Err(code) => return answer(Err(code)),
    };
    // Whatever begins further on already has nothing to wait for.
    let everywhere = partition.deleted_everywhere(before.map_or(start, |before| before.min(start)));
    answer(match tokio::time::timeout(timeout, everywhere).await {
        Ok(result) => result.map_err(|error| error.code()),
        Err(_) => Err(ErrorCode::REQUEST_TIMED_OUT),
    })
}

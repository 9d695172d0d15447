//! ListOffsets (2): the first and last offsets of partitions, and offsets by time.

use std::collections::BTreeSet;
use std::sync::Arc;

use vltava_net::Reply;
use vltava_node::named::doubled;
use vltava_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};
use vltava_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};
use vltava_wire::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Str};

use crate::api::context::Call;
use crate::api::fetch::READ_COMMITTED;
use crate::api::inflating;
use crate::error::ToErrorCode;
use crate::partition::Partitions;
use crate::partition::read::{OffsetQuery, Reader};
use crate::server::Broker;

/// The end of what the reader may see.
const LATEST: i64 = -1;
/// The first offset.
const EARLIEST: i64 = -2;
/// The record with the largest timestamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on the broker's own disk (KIP-405); there is no other one.
const EARLIEST_LOCAL: i64 = -4;
/// The last offset in remote storage, of which there is none (KIP-1005).
const LATEST_TIERED: i64 = -5;
/// The first offset that is still to be copied there (KIP-1023).
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Whether a version of the request knows a timestamp: the special ones came one by one.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        EARLIEST.. => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        _ => false,
    }
}

/// From this version on a client knows the code for "the new leader does not know yet".
const OFFSET_NOT_AVAILABLE_SINCE: i16 = 5;

/// A client that debugs replication; it sees all that a follower sees.
const DEBUGGING_REPLICA: i32 = -2;

/// Looks offsets up, beside the connection: a search by time reads from the disk.
pub async fn handle(broker: &Arc<Broker>, mut call: Call<ListOffsetsRequest>) -> Reply {
    let topics = std::mem::take(&mut call.request.topics);
    let (version, replica) = (call.version(), call.request.replica_id);
    let reader = match replica {
        0.. | DEBUGGING_REPLICA => {
            Reader::Follower { node: NodeId(replica), broker_epoch: BrokerEpoch(-1) }
        }
        _ if call.request.isolation_level == READ_COMMITTED => Reader::CommittedConsumer,
        _ => Reader::Consumer,
    };
    let partitions = Arc::clone(&broker.partitions);
    let doubles = named_twice(&topics);
    let mut wanted = topics.iter().flat_map(|topic| &topic.partitions);
    let searches = wanted.any(|it| it.timestamp >= 0 || it.timestamp == MAX_TIMESTAMP);
    let find_all = move || {
        let topics = topics.into_iter().map(|topic| {
            let find = |wanted: &ListOffsetsPartition| {
                let partition_index = wanted.partition_index;
                if doubles.contains(&(topic.name.clone(), partition_index)) {
                    let error_code = ErrorCode::INVALID_REQUEST;
                    let answer = ListOffsetsPartitionResponse::default();
                    return ListOffsetsPartitionResponse { partition_index, error_code, ..answer };
                }
                find(&partitions, &topic.name, wanted, reader, version)
            };
            let partitions = topic.partitions.iter().map(find).collect();
            ListOffsetsTopicResponse { name: topic.name.clone(), partitions }
        });
        ListOffsetsResponse { throttle_time_ms: 0, topics: topics.collect() }
    };
    call.reply_later(async move {
        let _place = if searches { inflating::place().await } else { None };
        // A panic has been told of; an answer without partitions makes the client ask again.
        tokio::task::spawn_blocking(find_all).await.unwrap_or_default()
    })
}

/// Partitions that a request names more than once: nobody could say which answer is which.
fn named_twice(topics: &[ListOffsetsTopic]) -> BTreeSet<(Str, i32)> {
    let named = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|it| (topic.name.clone(), it.partition_index))
    });
    doubled(named)
}

fn find(
    partitions: &Partitions,
    topic: &Str,
    wanted: &ListOffsetsPartition,
    reader: Reader,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let index = wanted.partition_index;
    let answer = ListOffsetsPartitionResponse { partition_index: index, ..Default::default() };
    let timestamp = wanted.timestamp;
    if !is_known(timestamp, version) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return ListOffsetsPartitionResponse { error_code, ..answer };
    }
    let is_remote = timestamp == LATEST_TIERED || timestamp == EARLIEST_PENDING_UPLOAD;
    let query = match timestamp {
        LATEST => OffsetQuery::Latest,
        EARLIEST | EARLIEST_LOCAL => OffsetQuery::Earliest,
        MAX_TIMESTAMP => OffsetQuery::MaxTimestamp,
        // That this broker leads is checked all the same.
        _ if is_remote => OffsetQuery::Earliest,
        timestamp => OffsetQuery::At(timestamp),
    };
    let epoch = LeaderEpoch(wanted.current_leader_epoch);
    let found = partitions
        .by_name(topic, index)
        .map_err(|error| error.code())
        .and_then(|it| it.find_offset(query, reader, epoch).map_err(|error| error.code()));
    match found {
        Ok(None) => answer,
        Ok(Some(_)) if is_remote => answer,
        Ok(Some(found)) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp,
            offset: found.offset.get(),
            leader_epoch: found.leader_epoch.get(),
            ..answer
        },
        Err(ErrorCode::OFFSET_NOT_AVAILABLE) if version < OFFSET_NOT_AVAILABLE_SINCE => {
            let error_code = ErrorCode::LEADER_NOT_AVAILABLE;
            ListOffsetsPartitionResponse { error_code, ..answer }
        }
        Err(error_code) => ListOffsetsPartitionResponse { error_code, ..answer },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_is_named_twice_is_found() {
        let topic = |name: &'static str, indexes: &[i32]| ListOffsetsTopic {
            name: name.into(),
            partitions: indexes
                .iter()
                .map(|&partition_index| ListOffsetsPartition {
                    partition_index,
                    ..ListOffsetsPartition::default()
                })
                .collect(),
        };
        let topics =
            [topic("a", &[0, 1, 0]), topic("b", &[0, 2]), topic("a", &[2]), topic("b", &[2])];
        let expected = BTreeSet::from([("a".into(), 0), ("b".into(), 2)]);
        assert_eq!(named_twice(&topics), expected);
    }

    #[test]
    fn a_version_knows_the_special_timestamps_of_its_time() {
        let first = |timestamp| (1..=11).find(|version| is_known(timestamp, *version));
        let table = [
            (0, Some(1)),
            (LATEST, Some(1)),
            (EARLIEST, Some(1)),
            (MAX_TIMESTAMP, Some(7)),
            (EARLIEST_LOCAL, Some(8)),
            (LATEST_TIERED, Some(9)),
            (EARLIEST_PENDING_UPLOAD, Some(11)),
            (-7, None),
            (i64::MIN, None),
        ];
        for (timestamp, version) in table {
            assert_eq!(first(timestamp), version, "{timestamp}");
        }
    }
}

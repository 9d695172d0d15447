//! OffsetForLeaderEpoch (23): where an epoch ends in the leader's log (KIP-101, KIP-320).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::LeaderEpoch;
use vltava_wire::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use vltava_wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::api::context::Call;
use crate::error::ToErrorCode;
use crate::server::Broker;

/// Answers from the epochs that each log knows.
pub async fn handle(broker: &Arc<Broker>, call: Call<OffsetForLeaderEpochRequest>) -> Reply {
    let topics = call.request.topics.iter().map(|topic| {
        let end = |wanted: &OffsetForLeaderPartition| {
            let answer = EpochEndOffset { partition: wanted.partition, ..Default::default() };
            let current = LeaderEpoch(wanted.current_leader_epoch);
            let found = broker
                .partitions
                .by_name(&topic.topic, wanted.partition)
                .map_err(|error| error.code())
                .and_then(|partition| {
                    let end = partition.epoch_end(LeaderEpoch(wanted.leader_epoch), current);
                    end.map_err(|error| error.code())
                });
            match found {
                Ok(None) => answer,
                Ok(Some(end)) => EpochEndOffset {
                    leader_epoch: end.epoch.get(),
                    end_offset: end.end.get(),
                    ..answer
                },
                Err(error_code) => EpochEndOffset { error_code, ..answer },
            }
        };
        let partitions = topic.partitions.iter().map(end).collect();
        OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions }
    });
    call.reply(&OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics: topics.collect() })
}

//! AlterReplicaLogDirs (34): replicas move to other log directories of this broker (KIP-113).
//!
//! What is answered is that a move has begun, or why none has; how far it has come is in
//! DescribeLogDirs. A replica that is not here yet is answered with REPLICA_NOT_AVAILABLE, and lies
//! where it was asked for once it comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use vltava_wire::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::error::ToErrorCode;
use crate::partition::Partitions;
use crate::server::Broker;

/// Begins and ends moves, which removes folders, on a thread that may block.
pub async fn handle(broker: &Arc<Broker>, mut call: Call<AlterReplicaLogDirsRequest>) -> Reply {
    let wanted = by_partition(std::mem::take(&mut call.request));
    let partitions = Arc::clone(&broker.partitions);
    call.reply_later(async move {
        let topics: Vec<_> = wanted.clone();
        let moved = tokio::task::spawn_blocking(move || answer(&partitions, wanted)).await;
        moved.unwrap_or_else(|_| {
            respond(
                topics
                    .into_iter()
                    .map(|(topic, index, _)| (topic, index, ErrorCode::UNKNOWN_SERVER_ERROR)),
            )
        })
    })
}

/// Each partition with the path of its directory: the last one, if it is named twice.
fn by_partition(request: AlterReplicaLogDirsRequest) -> Vec<(Str, i32, Str)> {
    let mut wanted = BTreeMap::new();
    for dir in request.dirs {
        for topic in dir.topics {
            for index in topic.partitions {
                wanted.insert((topic.name.clone(), index), dir.path.clone());
            }
        }
    }
    wanted.into_iter().map(|((topic, index), path)| (topic, index, path)).collect()
}

fn answer(partitions: &Partitions, wanted: Vec<(Str, i32, Str)>) -> AlterReplicaLogDirsResponse {
    respond(wanted.into_iter().map(|(topic, index, path)| {
        let moved = partitions.move_replica(&topic, index, &path);
        let code = moved.map_or_else(|error| error.code(), |()| ErrorCode::NONE);
        (topic, index, code)
    }))
}

fn respond(codes: impl Iterator<Item = (Str, i32, ErrorCode)>) -> AlterReplicaLogDirsResponse {
    let mut topics: BTreeMap<Str, Vec<_>> = BTreeMap::new();
    for (topic, partition_index, error_code) in codes {
        let result = AlterReplicaLogDirPartitionResult { partition_index, error_code };
        topics.entry(topic).or_default().push(result);
    }
    let result =
        |(topic_name, partitions)| AlterReplicaLogDirTopicResult { topic_name, partitions };
    let results = topics.into_iter().map(result).collect();
    AlterReplicaLogDirsResponse { results, ..Default::default() }
}

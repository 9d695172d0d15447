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

#[cfg(test)]
mod tests {
    use vltava_wire::messages::alter_replica_log_dirs::{
        AlterReplicaLogDir, AlterReplicaLogDirTopic,
    };

    use super::*;

    fn dir(path: &'static str, topic: &'static str, partitions: &[i32]) -> AlterReplicaLogDir {
        let partitions = partitions.to_vec();
        let topic = AlterReplicaLogDirTopic { name: topic.into(), partitions };
        AlterReplicaLogDir { path: path.into(), topics: vec![topic] }
    }

    #[test]
    fn a_partition_that_is_named_twice_goes_where_it_is_named_last() {
        let dirs = vec![dir("/a", "x", &[0, 1]), dir("/b", "x", &[1]), dir("/a", "w", &[7])];
        let wanted = by_partition(AlterReplicaLogDirsRequest { dirs });
        let expected = [("w", 7, "/a"), ("x", 0, "/a"), ("x", 1, "/b")];
        let expected: Vec<(Str, i32, Str)> =
            expected.map(|(topic, index, path)| (topic.into(), index, path.into())).into();
        assert_eq!(wanted, expected);
    }

    #[test]
    fn answers_are_by_topic() {
        let none = ErrorCode::NONE;
        let codes = [("x", 1, none), ("w", 7, ErrorCode::LOG_DIR_NOT_FOUND), ("x", 0, none)];
        let codes = codes.map(|(topic, index, code)| (Str::from(topic), index, code));
        let response = respond(codes.into_iter());
        let counts: Vec<_> = response
            .results
            .iter()
            .map(|it| (it.topic_name.as_str(), it.partitions.len()))
            .collect();
        assert_eq!(counts, [("w", 1), ("x", 2)]);
    }
}

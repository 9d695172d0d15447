//! DescribeLogDirs (35): what lies in each log directory, and how much room there is (KIP-113).

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use vltava_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use vltava_wire::{ErrorCode, Str};

use crate::api::context::Call;
use crate::partition::dirs::LogDir;
use crate::partition::{Partition, Partitions};
use crate::server::Broker;

/// Answers from what the partitions say of themselves.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeLogDirsRequest>) -> Reply {
    let wanted = call.request.topics.as_deref().map(named);
    let partitions = &broker.partitions;
    let unusable = partitions.unusable_dirs().iter().map(|path| failed(path));
    let results = partitions
        .dirs()
        .iter()
        .map(|dir| result(partitions, dir, wanted.as_ref()))
        .chain(unusable)
        .collect();
    call.reply(&DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() })
}

/// The partitions that are asked for.
fn named(topics: &[DescribableLogDirTopic]) -> HashSet<(&str, i32)> {
    let partitions = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.as_str(), *index)));
    partitions.collect()
}

fn failed(path: &Path) -> DescribeLogDirsResult {
    DescribeLogDirsResult {
        error_code: ErrorCode::KAFKA_STORAGE_ERROR,
        log_dir: path.display().to_string().into(),
        ..Default::default()
    }
}

fn result(
    partitions: &Partitions,
    dir: &Arc<LogDir>,
    wanted: Option<&HashSet<(&str, i32)>>,
) -> DescribeLogDirsResult {
    if dir.failure().is_some() {
        return failed(dir.path());
    }
    let log_dir = Str::from(dir.path().display().to_string());
    let is_wanted = |partition: &Partition| {
        let name = (partition.name.topic.as_str(), partition.name.index);
        wanted.is_none_or(|wanted| wanted.contains(&name))
    };
    let mut topics: BTreeMap<Str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in partitions.all().iter().filter(|partition| is_wanted(partition)) {
        if let Some(lies) = described(partition, dir) {
            topics.entry(partition.name.topic.clone()).or_default().push(lies);
        }
    }
    let topic = |(name, partitions)| DescribeLogDirsTopic { name, partitions };
    let space = dir.space();
    DescribeLogDirsResult {
        error_code: ErrorCode::NONE,
        log_dir,
        topics: topics.into_iter().map(topic).collect(),
        total_bytes: space.map_or(-1, |space| bytes(space.total)),
        usable_bytes: space.map_or(-1, |space| bytes(space.free)),
    }
}

/// What of a partition lies in a directory: its log, or the copy that is to take its place.
fn described(partition: &Partition, dir: &Arc<LogDir>) -> Option<DescribeLogDirsPartition> {
    let position = partition.position()?;
    let moving = partition.moving().filter(|moving| Arc::ptr_eq(moving.to(), dir));
    let (size, offset_lag) = match &moving {
        Some(moving) => (moving.size(), (position.log_end - moving.end()).max(0)),
        None if !Arc::ptr_eq(&partition.dir(), dir) => return None,
        None if partition.is_led_here() => (position.size, 0),
        None => (position.size, (position.high_watermark - position.log_end).max(0)),
    };
    Some(DescribeLogDirsPartition {
        partition_index: partition.name.index,
        partition_size: bytes(size),
        offset_lag,
        is_future_key: moving.is_some(),
    })
}

fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

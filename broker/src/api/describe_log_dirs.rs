//! DescribeLogDirs (35): what lies in each log directory, and how much room there is (KIP-113).

use std::collections::BTreeMap;
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
    let wanted = call.request.topics.as_deref();
    let partitions = &broker.partitions;
    let unusable = partitions.unusable_dirs().iter().map(|path| failed(path));
    let results = partitions
        .dirs()
        .iter()
        .map(|dir| result(partitions, dir, wanted))
        .chain(unusable)
        .collect();
    call.reply(&DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() })
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
    wanted: Option<&[DescribableLogDirTopic]>,
) -> DescribeLogDirsResult {
    if dir.failure().is_some() {
        return failed(dir.path());
    }
    let log_dir = Str::from(dir.path().display().to_string());
    let is_wanted = |partition: &Partition| {
        wanted.is_none_or(|topics| {
            let named = topics.iter().filter(|topic| topic.topic == partition.name.topic);
            named.flat_map(|topic| &topic.partitions).any(|index| *index == partition.name.index)
        })
    };
    let mut topics: BTreeMap<Str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in partitions.all() {
        if !Arc::ptr_eq(partition.dir(), dir) || !is_wanted(&partition) {
            continue;
        }
        let Some(position) = partition.position() else { continue };
        let lag = match partition.is_led_here() {
            true => 0,
            false => (position.high_watermark - position.log_end).max(0),
        };
        topics.entry(partition.name.topic.clone()).or_default().push(DescribeLogDirsPartition {
            partition_index: partition.name.index,
            partition_size: i64::try_from(position.size).unwrap_or(i64::MAX),
            offset_lag: lag,
            is_future_key: false,
        });
    }
    let topic = |(name, partitions)| DescribeLogDirsTopic { name, partitions };
    let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let space = dir.space();
    DescribeLogDirsResult {
        error_code: ErrorCode::NONE,
        log_dir,
        topics: topics.into_iter().map(topic).collect(),
        total_bytes: space.map_or(-1, |space| bytes(space.total)),
        usable_bytes: space.map_or(-1, |space| bytes(space.free)),
    }
}

//! Where partitions end, wherever they are led: how far a share group lags is told by that.

use vltava_metadata::Image;
use vltava_wire::messages::ListOffsetsRequest;
use vltava_wire::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use vltava_wire::{LeaderEpoch, PartitionId, Uuid};

use super::persister::Persister;
use crate::partition::Partitions;
use crate::partition::read::{OffsetQuery, Reader};

/// The number that asks for a partition's end.
const LATEST: i64 = -1;
/// A client rather than a replica asks.
const CONSUMER: i32 = -1;

/// The end of what consumers may read of a partition; `None` if its leader does not say.
pub async fn end_offset(
    partitions: &Partitions,
    persister: &Persister,
    image: &Image,
    topic: Uuid,
    partition: i32,
) -> Option<i64> {
    if let Ok(here) = partitions.by_id(topic, partition)
        && here.is_led_here()
    {
        let found = here.find_offset(OffsetQuery::Latest, Reader::Consumer, LeaderEpoch::UNKNOWN);
        return found.ok().flatten().map(|found| found.offset.get());
    }
    let leader = image.partition(topic, PartitionId(partition))?.leader()?;
    let connection = persister.connection(leader).await.ok()?;
    let asked = ListOffsetsPartition {
        partition_index: partition,
        current_leader_epoch: -1,
        timestamp: LATEST,
    };
    let name = image.topic_by_id(topic)?.name.clone();
    let request = ListOffsetsRequest {
        replica_id: CONSUMER,
        topics: vec![ListOffsetsTopic { name, partitions: vec![asked] }],
        ..Default::default()
    };
    let response = connection.call(&request).await.ok()?;
    let told = response.topics.into_iter().flat_map(|topic| topic.partitions).next()?;
    told.error_code.is_ok().then_some(told.offset)
}

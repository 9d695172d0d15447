//! Telling partitions how transactions ended: WriteTxnMarkers to their leaders, until each has
//! its marker.
//!
//! Whatever a leader answers but success, the decision stands and the marker is sent again: to
//! the same broker, or to whoever leads by then. Only a partition that does not exist any more
//! needs none. A coordinator that lost its office stops; the next one begins anew from the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use vltava_wire::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use vltava_wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, PartitionId};

use super::calls::TopicPartition;
use super::machine::{Event, Marked, Markers, Shard};
use super::state::by_topic;
use crate::neighbours::Neighbours;
use crate::replication::link::LinkError;
use crate::shard::Driver;

/// The pauses before partitions without their marker are tried again: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// After so many tries of one transaction it is said in the log that it is stuck, and again after
/// as many.
const TRIES_BETWEEN_WARNINGS: u32 = 60;

/// Who is to write a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The leader of the partition.
    Leader(NodeId),
    /// Nobody at the moment: the partition has no leader.
    NobodyNow,
    /// Nobody ever: the partition does not exist any more.
    Nobody,
}

/// How markers reach the leaders of partitions.
pub trait MarkerLink: Send + Sync + 'static {
    /// Who is to write the marker of a partition.
    fn writer(&self, partition: &TopicPartition) -> Writer;

    /// Asks a broker to write markers.
    fn write(
        &self,
        broker: NodeId,
        request: WriteTxnMarkersRequest,
    ) -> BoxFuture<'static, Result<WriteTxnMarkersResponse, LinkError>>;
}

impl MarkerLink for Arc<Neighbours> {
    /// A coordinator knows every topic that a transaction in its log has: it refuses partitions
    /// that it does not know, and whoever leads after it knows of the topics from before its
    /// election. So a topic that is missing here was deleted.
    fn writer(&self, (topic, index): &TopicPartition) -> Writer {
        let image = self.cluster().image();
        let partition = image.topic(topic).and_then(|it| it.partition(PartitionId(*index)));
        match partition.map(|partition| partition.leader()) {
            None => Writer::Nobody,
            Some(None) => Writer::NobodyNow,
            Some(Some(leader)) => Writer::Leader(leader),
        }
    }

    fn write(
        &self,
        broker: NodeId,
        request: WriteTxnMarkersRequest,
    ) -> BoxFuture<'static, Result<WriteTxnMarkersResponse, LinkError>> {
        let neighbours = Arc::clone(self);
        Box::pin(async move { neighbours.call(broker, &request).await })
    }
}

/// Sends the markers of one transaction until every partition has its own, and tells the driver.
pub(super) async fn send(
    link: Arc<dyn MarkerLink>,
    mut markers: Markers,
    driver: Arc<Driver<Shard>>,
) {
    let (mut pause, longest) = PAUSE;
    let mut tries = 0;
    while driver.is_open() {
        let done = round(&*link, &markers, driver.epoch).await;
        if !done.is_empty() {
            done.iter().for_each(|partition| {
                markers.partitions.remove(partition);
            });
            pause = PAUSE.0;
            driver.tell(Event::Marked(Marked {
                id: markers.id.clone(),
                producer_id: markers.producer_id,
                producer_epoch: markers.producer_epoch,
                partitions: done,
            }));
        }
        if markers.partitions.is_empty() {
            return;
        }
        tries += 1;
        if tries % TRIES_BETWEEN_WARNINGS == 0 {
            tracing::warn!(
                id = %markers.id, tries, partitions = ?markers.partitions,
                "partitions do not take the markers of a transaction"
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Asks every leader once; returns the partitions that need nothing more.
async fn round(
    link: &dyn MarkerLink,
    markers: &Markers,
    coordinator_epoch: LeaderEpoch,
) -> Vec<TopicPartition> {
    let mut done = Vec::new();
    let mut by_leader: BTreeMap<NodeId, Markers> = BTreeMap::new();
    for partition in &markers.partitions {
        match link.writer(partition) {
            Writer::Nobody => done.push(partition.clone()),
            Writer::NobodyNow => {}
            Writer::Leader(leader) => {
                let empty = || Markers { partitions: Default::default(), ..markers.clone() };
                by_leader.entry(leader).or_insert_with(empty).partitions.insert(partition.clone());
            }
        }
    }
    let calls = by_leader.into_iter().map(|(leader, markers)| async move {
        let answer = link.write(leader, request(&markers, coordinator_epoch)).await;
        match answer {
            Ok(response) => written(&markers, &response),
            Err(error) => {
                let broker = leader.get();
                tracing::debug!(broker, id = %markers.id, %error, "markers not sent");
                Vec::new()
            }
        }
    });
    done.extend(join_all(calls).await.into_iter().flatten());
    done
}

fn request(markers: &Markers, coordinator_epoch: LeaderEpoch) -> WriteTxnMarkersRequest {
    let topics = by_topic(&markers.partitions).into_iter();
    WriteTxnMarkersRequest {
        markers: vec![WritableTxnMarker {
            producer_id: markers.producer_id,
            producer_epoch: markers.producer_epoch,
            transaction_result: markers.commits,
            topics: topics
                .map(|(name, partition_indexes)| WritableTxnMarkerTopic { name, partition_indexes })
                .collect(),
            coordinator_epoch: coordinator_epoch.get(),
            transaction_version: i8::try_from(markers.client_version).unwrap_or(0),
        }],
    }
}

/// The partitions of an answer that have their marker.
fn written(markers: &Markers, response: &WriteTxnMarkersResponse) -> Vec<TopicPartition> {
    let of_this = |id: i64| id == markers.producer_id;
    let topics =
        response.markers.iter().filter(|it| of_this(it.producer_id)).flat_map(|it| &it.topics);
    let mut done = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let at = (topic.name.detach(), partition.partition_index);
            match partition.error_code {
                ErrorCode::NONE => done.push(at),
                code => tracing::debug!(
                    id = %markers.id, topic = %at.0, partition = at.1, %code, "no marker yet"
                ),
            }
        }
    }
    done
}

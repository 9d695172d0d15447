//! What the five requests about the state of share groups have in common (83 to 87): each asks the
//! share coordinator about share-partitions of one group, and is answered when all of it is stored.

use std::sync::Arc;

use futures::future::join_all;
use vltava_metadata::Image;
use vltava_wire::{ErrorCode, PartitionId, Str, Uuid};

use crate::server::Broker;
use crate::shard::Answer;
use crate::share::coordinator::machine::StateReply;
use crate::share::coordinator::record::ShareKey;
use crate::share::coordinator::{Ask, ShareCoordinator};

/// What was asked, in the order of the request: partitions with the answers to come, by topic.
pub(super) type Asked = Vec<(Uuid, Vec<(i32, Answer<StateReply>)>)>;

/// Asks the share coordinator of this broker about one group.
pub(super) struct Asking<'a> {
    coordinator: &'a ShareCoordinator,
    image: Arc<Image>,
    group: &'a Str,
}

impl<'a> Asking<'a> {
    /// About the group of that id.
    pub(super) fn of(broker: &'a Broker, group: &'a Str) -> Self {
        let (coordinator, image) = (&broker.shares.coordinator, broker.cluster.image());
        Self { coordinator, image, group }
    }

    /// Asks about a partition; one that does not exist is answered at once.
    pub(super) fn ask(&self, topic: Uuid, partition: i32, ask: Ask) -> (i32, Answer<StateReply>) {
        let key = ShareKey { group: self.group.clone(), topic, partition };
        let answer = match self.image.partition(topic, PartitionId(partition)) {
            Some(_) => self.coordinator.ask(key, ask),
            None => Answer::Now(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into())),
        };
        (partition, answer)
    }
}

/// Waits for all answers; `result` tells of each partition.
pub(super) async fn told<P>(
    asked: Asked,
    result: impl Fn(i32, StateReply) -> P + Copy,
) -> Vec<(Uuid, Vec<P>)> {
    let topics = asked.into_iter().map(|(topic, partitions)| async move {
        let partitions = partitions
            .into_iter()
            .map(|(partition, answer)| async move { result(partition, answer.get().await) });
        (topic, join_all(partitions).await)
    });
    join_all(topics).await
}

//! Which log directory each replica lies in: the coordinator is told where it knows otherwise
//! (AssignReplicasToDirs, KIP-858), so that it knows what is lost when a directory fails.
//!
//! A replica whose own log is lost in a directory that works is told as lost
//! ([`Uuid::LOST_DIR`]): it goes out of the ISR, another leads, and it is fetched anew from there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vltava_metadata::{Changes, Image};
use vltava_net::CancellationToken;
use vltava_wire::messages::AssignReplicasToDirsRequest;
use vltava_wire::messages::assign_replicas_to_dirs::{DirectoryData, PartitionData, TopicData};
use vltava_wire::{PartitionId, Uuid};

use super::registry::Partitions;
use super::replica::Partition;
use crate::controller::Controller;

/// Partitions in one request, at most: as Kafka's brokers have it.
const PARTITIONS_MAX: usize = 2_250;
/// The pause after a request that was not answered; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long after an answer the metadata log may take to say the same.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

type Misassigned = BTreeMap<Uuid, BTreeMap<Uuid, Vec<i32>>>;

impl Partitions {
    /// Follows what an image that is the latest now says beyond the roles of partitions: where
    /// replicas lie, and which brokers live.
    pub fn settle(&self, image: &Image, changes: &Changes) {
        self.recheck_followers_of(image, changes);
        if !changes.partitions.is_empty() {
            self.mover.nudge();
        }
        let is_told_wrong =
            |partition: &Arc<Partition>| self.misassigned(image, partition).is_some();
        let wrong = changes.partitions.iter().any(|changed| {
            let hosted = self.hosted(changed.topic, changed.partition.get());
            hosted.as_ref().is_some_and(is_told_wrong)
        });
        if wrong {
            self.assignments.notify_one();
        }
    }

    /// A broker that has died holds nothing back, however recently it had caught up: partitions
    /// look again at those brokers that have changed.
    fn recheck_followers_of(&self, image: &Image, changes: &Changes) {
        let gone: Vec<_> =
            changes.brokers.iter().copied().filter(|broker| !image.is_active(*broker)).collect();
        if gone.is_empty() {
            return;
        }
        for partition in self.all() {
            partition.recheck_followers(&gone);
        }
    }

    /// Where a replica lies, if the image says otherwise.
    fn misassigned(&self, image: &Image, partition: &Partition) -> Option<Uuid> {
        let name = &partition.name;
        let registration = image.partition(name.topic_id, PartitionId(name.index))?;
        let dir = partition.dir();
        let ready = partition.moving().filter(|moving| moving.is_ready());
        let lies_in = match (partition.offline_reason(), ready) {
            (Some(_), _) if dir.failure().is_none() => Uuid::LOST_DIR,
            // It takes the place of the other one as soon as the metadata log says so.
            (None, Some(moving)) => moving.to().id(),
            _ => dir.id(),
        };
        let differs = registration.directory(self.me) != lies_in;
        (registration.is_replica(self.me) && differs).then_some(lies_in)
    }

    fn all_misassigned(&self) -> Misassigned {
        let image = self.cluster.image();
        let mut found = Misassigned::new();
        let all = self.all();
        let wrong = all.iter().filter_map(|it| Some((self.misassigned(&image, it)?, &it.name)));
        for (directory, name) in wrong.take(PARTITIONS_MAX) {
            let topics = found.entry(directory).or_default();
            topics.entry(name.topic_id).or_default().push(name.index);
        }
        found
    }

    /// Tells the coordinator where replicas lie, for as long as the broker runs.
    pub(super) async fn keep_assigned(
        self: Arc<Self>,
        controller: Arc<dyn Controller>,
        shutdown: CancellationToken,
    ) {
        let telling = async {
            let mut pause = PAUSE_FIRST;
            // Something may have been wrong before anybody listened.
            self.assignments.notify_one();
            loop {
                self.assignments.notified().await;
                loop {
                    let mut images = self.cluster.subscribe();
                    images.mark_unchanged();
                    let wrong = self.all_misassigned();
                    if wrong.is_empty() {
                        break;
                    }
                    match self.tell_assignments(&*controller, wrong).await {
                        Ok(()) => {
                            pause = PAUSE_FIRST;
                            // Told again if the log does not say it.
                            let _ = tokio::time::timeout(TOLD_WITHIN, images.changed()).await;
                        }
                        Err(error) => {
                            tracing::debug!(error, "where replicas lie was not told; tried again");
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(PAUSE_MAX);
                        }
                    }
                }
            }
        };
        shutdown.run_until_cancelled(telling).await;
    }

    async fn tell_assignments(
        &self,
        controller: &dyn Controller,
        wrong: Misassigned,
    ) -> Result<(), String> {
        let partitions = |indexes: Vec<i32>| {
            indexes.into_iter().map(|partition_index| PartitionData { partition_index }).collect()
        };
        let topics = |topics: BTreeMap<Uuid, Vec<i32>>| {
            let topics = topics.into_iter();
            topics
                .map(|(topic_id, of)| TopicData { topic_id, partitions: partitions(of) })
                .collect()
        };
        let request = AssignReplicasToDirsRequest {
            broker_id: self.me.get(),
            broker_epoch: self.cluster.broker_epoch().get(),
            directories: wrong
                .into_iter()
                .map(|(id, of)| DirectoryData { id, topics: topics(of) })
                .collect(),
        };
        match controller.assign_replicas_to_dirs(request).await {
            Ok(response) if response.error_code.is_ok() => Ok(()),
            Ok(response) => Err(response.error_code.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

//! The shards of a coordinator on this broker: which one a request belongs to, and its answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use vltava_metadata::Image;
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, PartitionId, Uuid};

use super::log::StateLog;
use super::{Answer, Driver, Machine, Token};
use crate::shard::driver::Environment;

/// The partition that a group or a transactional id lies on, where the topic has that many:
/// Java's `String.hashCode`, made positive, modulo the partitions.
pub fn partition_of(key: &str, partitions: usize) -> PartitionId {
    let step = |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = key.encode_utf16().fold(0, step).checked_abs().unwrap_or(0);
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
    PartitionId(hash % partitions)
}

/// All of one coordinator's partitions that this broker leads.
pub struct Shards<M: Machine> {
    environment: Arc<Environment<M>>,
    topic: &'static str,
    partitions: AtomicUsize,
    drivers: RwLock<HashMap<PartitionId, Arc<Driver<M>>>>,
    /// The topic that was followed last.
    followed: Mutex<Option<Uuid>>,
}

impl<M: Machine> Shards<M> {
    /// Coordinates nothing until it is elected. `partitions` is how many the topic will have,
    /// as long as it does not exist.
    pub fn new(
        setup: M::Setup,
        log: Arc<dyn StateLog>,
        topic: &'static str,
        partitions: usize,
    ) -> Self {
        Self {
            environment: Arc::new(Environment::new(setup, log)),
            topic,
            partitions: AtomicUsize::new(partitions),
            drivers: RwLock::default(),
            followed: Mutex::default(),
        }
    }

    /// What the machines share.
    pub fn setup(&self) -> &M::Setup {
        &self.environment.setup
    }

    /// Follows the metadata log: loads the partitions that this broker leads by now, and gives
    /// up others. The partitions must have followed the same image before. Must be called
    /// within a tokio runtime.
    pub fn follow(&self, image: &Image, me: NodeId) {
        let mut led = BTreeMap::new();
        if let Some(topic) = image.topic(self.topic) {
            // Another topic of the same name has other logs, and begins with the first epoch.
            if self.followed.lock().replace(topic.id).is_some_and(|before| before != topic.id) {
                self.close();
            }
            self.set_partition_count(topic.partitions.len());
            let own = topic.partitions.iter().filter(|(_, at)| at.leader() == Some(me));
            led.extend(own.map(|(partition, at)| (*partition, at.leader_epoch)));
        }
        let lost: Vec<PartitionId> =
            self.drivers.read().keys().filter(|id| !led.contains_key(id)).copied().collect();
        lost.into_iter().for_each(|partition| self.resigned(partition));
        led.into_iter().for_each(|(partition, epoch)| self.elected(partition, epoch));
    }

    /// Says how many partitions the topic has.
    pub fn set_partition_count(&self, partitions: usize) {
        self.partitions.store(partitions, Ordering::Release);
    }

    /// The partition that a key lies on.
    pub fn partition_of(&self, key: &str) -> PartitionId {
        partition_of(key, self.partitions.load(Ordering::Acquire))
    }

    /// This broker has become the leader of a partition: it is loaded, and then coordinated
    /// here. The log must know of the election already. Must be called within a tokio runtime.
    pub fn elected(&self, partition: PartitionId, epoch: LeaderEpoch) {
        let mut drivers = self.drivers.write();
        if drivers.get(&partition).is_some_and(|driver| driver.epoch >= epoch) {
            return;
        }
        let driver = Driver::start(self.environment.clone(), partition, epoch);
        let before = drivers.insert(partition, driver);
        drop(drivers);
        if let Some(before) = before {
            before.close();
        }
    }

    /// This broker does not lead a partition any more, or has no replica of it.
    pub fn resigned(&self, partition: PartitionId) {
        let driver = self.drivers.write().remove(&partition);
        if let Some(driver) = driver {
            driver.close();
        }
    }

    /// Gives up everything, as a broker does that shuts down, or whose topic was made anew.
    pub fn close(&self) {
        let drivers = std::mem::take(&mut *self.drivers.write());
        drivers.into_values().for_each(|driver| driver.close());
    }

    /// How many things are coordinated here.
    pub fn count(&self) -> usize {
        let counts = self.all().into_iter();
        counts.filter_map(|driver| driver.read(Machine::count).ok()).sum()
    }

    /// Every shard.
    pub fn all(&self) -> Vec<Arc<Driver<M>>> {
        self.drivers.read().values().cloned().collect()
    }

    /// The shard that a key lies on.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`: it is elsewhere.
    pub fn driver_of(&self, key: &str) -> Result<Arc<Driver<M>>, ErrorCode> {
        self.driver_at(self.partition_of(key))
    }

    /// The shard of a partition.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`: it is elsewhere.
    pub fn driver_at(&self, partition: PartitionId) -> Result<Arc<Driver<M>>, ErrorCode> {
        self.drivers.read().get(&partition).cloned().ok_or(ErrorCode::NOT_COORDINATOR)
    }

    /// Hands a request to the shard of its key, in its turn.
    pub fn submit<R: Send + 'static>(
        &self,
        key: &str,
        event: impl FnOnce(Token) -> M::Event,
        refused: impl FnOnce(ErrorCode) -> R + Send + 'static,
        take: fn(M::Reply) -> R,
    ) -> Answer<R> {
        self.submit_at(self.partition_of(key), event, refused, take)
    }

    /// Hands a request to the shard of a partition, in its turn.
    pub fn submit_at<R: Send + 'static>(
        &self,
        partition: PartitionId,
        event: impl FnOnce(Token) -> M::Event,
        refused: impl FnOnce(ErrorCode) -> R + Send + 'static,
        take: fn(M::Reply) -> R,
    ) -> Answer<R> {
        let submitted = self.driver_at(partition).and_then(|driver| driver.submit(event));
        let mut receiver = match submitted {
            Ok(receiver) => receiver,
            Err(code) => return Answer::Now(refused(code)),
        };
        if let Ok(reply) = receiver.try_recv() {
            return Answer::Now(take(reply));
        }
        let later = async move {
            match receiver.await {
                Ok(reply) => take(reply),
                Err(_) => refused(ErrorCode::NOT_COORDINATOR),
            }
        };
        Answer::Later(later.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_where_java_puts_them() {
        // By `Utils.abs(groupId.hashCode()) % 50` of Kafka 4.2.
        assert_eq!(partition_of("", 50), PartitionId(0));
        assert_eq!(partition_of("a", 50), PartitionId(97 % 50));
        // "polygenelubricants" hashes to the smallest integer, which has no positive counterpart.
        assert_eq!(partition_of("polygenelubricants", 50), PartitionId(0));
    }
}

//! The share coordinator: keeps what became of the records of each share-partition, on
//! `__share_group_state` (KIP-932).
//!
//! Leaders of partitions read it when they begin to serve a share group and write what members
//! acknowledge; the coordinator of the group sets where it starts. Brokers alone speak with it.

pub mod batches;
pub mod machine;
pub mod record;

use std::sync::Arc;

use vltava_config::{Values, keys};
use vltava_metadata::{Changes, Image};
use vltava_wire::compression::Compression;
use vltava_wire::{ErrorCode, NodeId, PartitionId};

use self::machine::{Event, NewState, ShareStates, StateConfig, StateReply, StatesReplay};
use self::record::ShareKey;
use crate::metadata::topic;
use crate::partition::{Partitions, Position};
use crate::shard::log::StateLog;
use crate::shard::{Answer, Driver, Machine, Setup, Shards};

/// How many records a log has at least before it is pruned, and how many for each share-partition.
const PRUNE_MIN: i64 = 10_000;
const PRUNE_FACTOR: i64 = 20;

/// What is asked of the share coordinator, about one share-partition.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Set it to what it is to begin with.
    Initialize(NewState),
    /// Say what is known of it, to the leader of this epoch, and fence those before.
    Read(i32),
    /// Say what is known of it; nothing, if it was never set.
    Summary,
    /// Store what has become of records.
    Write(NewState),
    /// Forget it.
    Delete,
}

/// What the machines of the share coordinator share.
pub struct StateSetup {
    config: StateConfig,
    compression: Compression,
    load_buffer_bytes: usize,
}

impl Setup<ShareStates> for StateSetup {
    fn compression(&self) -> Compression {
        self.compression
    }

    fn load_buffer_bytes(&self) -> usize {
        self.load_buffer_bytes
    }

    fn replay(&self) -> StatesReplay {
        StatesReplay(ShareStates::new(self.config))
    }

    fn greeting(&self) -> Event {
        Event::Greeting
    }

    fn carry_out(&self, order: std::convert::Infallible, _: &Arc<Driver<ShareStates>>) {
        match order {}
    }
}

/// All share-partitions whose state this broker keeps.
pub struct ShareCoordinator {
    shards: Shards<ShareStates>,
}

impl ShareCoordinator {
    /// Keeps nothing until it is elected.
    pub fn new(values: &Values, log: Arc<dyn StateLog>) -> Self {
        let at_least_0 = |value: i32| usize::try_from(value).unwrap_or(0);
        let codec = values.get(keys::SHARE_COORDINATOR_STATE_TOPIC_COMPRESSION_CODEC);
        let codec = i8::try_from(codec).ok().and_then(Compression::from_code);
        let setup = StateSetup {
            config: StateConfig {
                updates_per_snapshot: values
                    .get(keys::SHARE_COORDINATOR_SNAPSHOT_UPDATE_RECORDS_PER_SNAPSHOT),
                write_timeout_ms: values.get(keys::SHARE_COORDINATOR_WRITE_TIMEOUT_MS),
            },
            compression: codec.unwrap_or(Compression::None),
            load_buffer_bytes: at_least_0(values.get(keys::SHARE_COORDINATOR_LOAD_BUFFER_SIZE)),
        };
        let partitions = at_least_0(values.get(keys::SHARE_COORDINATOR_STATE_TOPIC_NUM_PARTITIONS));
        Self { shards: Shards::new(setup, log, topic::SHARE_GROUP_STATE, partitions) }
    }

    /// Follows the metadata log: what this broker leads, and which topics are gone. Must be called
    /// within a tokio runtime, after the partitions have followed.
    pub fn follow(&self, image: &Image, changes: &Changes, me: NodeId) {
        self.shards.follow(image, me);
        if changes.topics_deleted.is_empty() {
            return;
        }
        let gone: std::collections::BTreeSet<_> = changes.topics_deleted.keys().copied().collect();
        for driver in self.shards.all() {
            driver.tell(Event::TopicsDeleted(gone.clone()));
        }
    }

    /// The partition of `__share_group_state` that a share-partition's state lies on.
    pub fn partition_of(&self, key: &ShareKey) -> PartitionId {
        self.shards.partition_of(&key.coordinator_key())
    }

    /// Gives up everything, as a broker does that shuts down.
    pub fn close(&self) {
        self.shards.close();
    }

    /// Has the logs forget what is not needed any more, where that is much: all that is known is
    /// written anew, and what lies before goes.
    pub async fn prune(&self, partitions: &Partitions) {
        for driver in self.shards.all() {
            let index = driver.partition.get();
            let Ok(log) = partitions.by_name(topic::SHARE_GROUP_STATE, index) else { continue };
            let Some(Position { log_start, log_end, .. }) = log.position() else { continue };
            let known = driver.read(Machine::count).unwrap_or(0);
            let needed = i64::try_from(known).unwrap_or(i64::MAX).saturating_mul(PRUNE_FACTOR);
            if log_end.get() - log_start.get() < PRUNE_MIN.max(needed) {
                continue;
            }
            let Ok(written) = driver.submit(Event::SnapshotAll) else { continue };
            if !matches!(written.await, Ok(Ok(_))) {
                continue;
            }
            match log.delete_records(Some(log_end)) {
                Ok(start) => tracing::info!(partition = %log.name, %start, "pruned"),
                Err(error) => {
                    let error = vltava_net::error_chain(&error);
                    tracing::warn!(partition = %log.name, error, "cannot be pruned");
                }
            }
        }
    }

    /// Asks about a share-partition that this broker may coordinate.
    pub fn ask(&self, key: ShareKey, ask: Ask) -> Answer<StateReply> {
        let of = key.coordinator_key();
        let event = |token| match ask {
            Ask::Initialize(new) => Event::Initialize(token, key, new),
            Ask::Read(leader_epoch) => Event::Read(token, key, leader_epoch),
            Ask::Summary => Event::Summary(token, key),
            Ask::Write(new) => Event::Write(token, key, new),
            Ask::Delete => Event::Delete(token, key),
        };
        self.shards.submit(&of, event, |code: ErrorCode| Err(code.into()), |reply| reply)
    }
}

//! The cluster as one pass of questions showed it: what the plans decide by.

use std::collections::BTreeMap;
use std::fmt;

use vltava_wire::messages::DescribeQuorumResponse;
use vltava_wire::messages::describe_quorum::ReplicaState;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic: String,
    /// The partition's index.
    pub index: i32,
}

impl PartitionId {
    /// A partition of a topic.
    pub fn new(topic: &str, index: i32) -> Self {
        Self { topic: topic.to_owned(), index }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// What the cluster said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterView {
    /// Its id.
    pub cluster_id: String,
    /// The brokers that are registered, fenced ones too, by id.
    pub brokers: BTreeMap<i32, BrokerView>,
    /// All topics, internal ones too, by name.
    pub topics: BTreeMap<String, TopicView>,
    /// The metadata quorum; `None` if it has no leader that could be asked.
    pub quorum: Option<QuorumView>,
    /// What all brokers were told at run time (the default broker entity): overrides alone.
    pub config: BTreeMap<String, String>,
}

/// A registered broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerView {
    /// Whether it is fenced: known, but without a session, so that it leads nothing.
    pub fenced: bool,
    /// The rack it registered with.
    pub rack: Option<String>,
    /// What the broker itself answers about its configuration; empty if it could not be asked.
    pub config: BTreeMap<String, ConfigValue>,
}

impl BrokerView {
    /// Whether it says itself that no new replica comes to it (`cordoned.log.dirs`, KIP-1066).
    pub fn is_cordoned(&self) -> bool {
        let set = self.config.get("cordoned.log.dirs").and_then(|it| it.value.as_deref());
        set.is_some_and(|directories| directories.split(',').any(|it| it.trim() == "*"))
    }

    /// The uid of the pod that answers as this broker, if it said so.
    pub fn pod_uid(&self) -> Option<&str> {
        let uid = self.config.get("vltava.pod.uid")?.value.as_deref()?;
        (!uid.is_empty()).then_some(uid)
    }
}

/// The value of a key as a broker shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigValue {
    /// The value; `None` if it has none, or one that is not shown.
    pub value: Option<String>,
    /// Whether it was set for this broker at run time.
    pub dynamic: bool,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicView {
    /// Whether the cluster keeps it for itself.
    pub internal: bool,
    /// Its `min.insync.replicas`, wherever that is set.
    pub min_insync_replicas: i32,
    /// What it sets for itself.
    pub config: BTreeMap<String, String>,
    /// Its partitions by index.
    pub partitions: BTreeMap<i32, PartitionView>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionView {
    /// The broker that leads it; `None` if it is offline.
    pub leader: Option<i32>,
    /// The brokers that hold it, the preferred leader first; with those that a move adds and
    /// those that it removes.
    pub replicas: Vec<i32>,
    /// Those that are in sync.
    pub isr: Vec<i32>,
    /// Replicas that a move under way adds.
    pub adding: Vec<i32>,
    /// Replicas that a move under way removes.
    pub removing: Vec<i32>,
}

impl PartitionView {
    /// The replicas once the move that is under way is done.
    pub fn target(&self) -> Vec<i32> {
        self.replicas.iter().copied().filter(|id| !self.removing.contains(id)).collect()
    }

    /// Whether replicas move.
    pub fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// How many in-sync replicas it needs so that `acks=all` is answered: no more than it has
    /// replicas.
    pub fn effective_min_isr(&self, min_insync_replicas: i32) -> usize {
        let least = usize::try_from(min_insync_replicas).unwrap_or(1).max(1);
        least.min(self.replicas.len())
    }

    /// Whether it stays writable without this broker.
    pub fn bears_loss_of(&self, broker: i32, min_insync_replicas: i32) -> bool {
        let left = self.isr.iter().filter(|id| **id != broker).count();
        left == self.isr.len() || left >= self.effective_min_isr(min_insync_replicas)
    }

    /// Whether it has so few replicas that it can never bear the loss of one.
    pub fn can_bear_no_loss(&self, min_insync_replicas: i32) -> bool {
        self.replicas.len() <= self.effective_min_isr(min_insync_replicas)
    }
}

impl ClusterView {
    /// Every partition with its topic.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &TopicView, &PartitionView)> {
        self.topics.iter().flat_map(|(name, topic)| {
            let partitions = topic.partitions.iter();
            partitions
                .map(move |(index, partition)| (PartitionId::new(name, *index), topic, partition))
        })
    }

    /// Whether a partition stays writable without this broker. One without a leader does not miss a
    /// broker that lives: what that has of it cannot lead it (its directory failed, or is another).
    /// It may well miss one that is away, and leads it when it returns.
    pub fn bears_loss_of(&self, topic: &TopicView, of: &PartitionView, broker: i32) -> bool {
        let lives = || self.brokers.get(&broker).is_some_and(|it| !it.fenced);
        (of.leader.is_none() && lives()) || of.bears_loss_of(broker, topic.min_insync_replicas)
    }

    /// How many partitions have a replica that is not in sync.
    pub fn under_replicated(&self) -> usize {
        let lacks = |partition: &PartitionView| {
            let settled = partition.replicas.iter().filter(|id| !partition.adding.contains(id));
            settled.into_iter().any(|id| !partition.isr.contains(id))
        };
        self.partitions().filter(|(_, _, partition)| lacks(partition)).count()
    }

    /// How many partitions have no leader.
    pub fn offline(&self) -> usize {
        self.partitions().filter(|(_, _, partition)| partition.leader.is_none()).count()
    }
}

/// A node of the metadata quorum: its directory id changes when its disk is a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaView {
    /// Its id.
    pub id: i32,
    /// Its directory id as Kafka writes it.
    pub directory_id: String,
    /// Where its log ends; −1 if it is not known.
    pub log_end_offset: i64,
    /// When it fetched last, by the leader's clock in milliseconds; −1 if it never did.
    pub last_fetch_ms: i64,
    /// When it had last all that the leader had, likewise.
    pub last_caught_up_ms: i64,
}

/// The metadata quorum, as its leader describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuorumView {
    /// The active coordinator.
    pub leader: i32,
    /// Its epoch.
    pub epoch: i32,
    /// Up to where the log is committed; −1 if the leader does not know yet.
    pub high_watermark: i64,
    /// Who votes.
    pub voters: Vec<ReplicaView>,
    /// Who follows without a vote: brokers, and coordinators that are no voters (yet).
    pub observers: Vec<ReplicaView>,
}

/// How long ago a coordinator may have had all of the leader's log and still count as caught up, in
/// milliseconds. Followers fetch all the time; one that died stands out after this long.
pub const CAUGHT_UP_WITHIN_MS: i64 = 3_000;

impl QuorumView {
    /// What the leader answered; `None` if whoever answered knows of no leader.
    pub fn of(answer: &DescribeQuorumResponse) -> Option<Self> {
        let partition = answer.topics.first()?.partitions.first()?;
        if partition.leader_id < 0 {
            return None;
        }
        let replica = |state: &ReplicaState| ReplicaView {
            id: state.replica_id,
            directory_id: state.replica_directory_id.to_string(),
            log_end_offset: state.log_end_offset,
            last_fetch_ms: state.last_fetch_timestamp,
            last_caught_up_ms: state.last_caught_up_timestamp,
        };
        Some(Self {
            leader: partition.leader_id,
            epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.iter().map(replica).collect(),
            observers: partition.observers.iter().map(replica).collect(),
        })
    }

    /// Whether a replica has what is committed, and fetches.
    pub fn is_caught_up(&self, replica: &ReplicaView) -> bool {
        let fresh = self.now_ms() - replica.last_caught_up_ms <= CAUGHT_UP_WITHIN_MS;
        self.high_watermark >= 0
            && replica.log_end_offset >= self.high_watermark
            && replica.last_caught_up_ms >= 0
            && fresh
    }

    /// The leader's clock when it answered: it counts itself as caught up at that moment.
    pub fn now_ms(&self) -> i64 {
        let all = self.voters.iter().chain(&self.observers);
        all.map(|replica| replica.last_caught_up_ms.max(replica.last_fetch_ms))
            .max()
            .unwrap_or_default()
    }

    /// The voter with that id.
    pub fn voter(&self, id: i32) -> Option<&ReplicaView> {
        self.voters.iter().find(|voter| voter.id == id)
    }

    /// How many voters make a majority.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether a caught-up majority remains while one voter is away.
    pub fn bears_loss_of(&self, id: i32) -> bool {
        let left = self.voters.iter().filter(|voter| voter.id != id);
        left.filter(|voter| self.is_caught_up(voter)).count() >= self.majority()
    }

    /// Whether it has so few voters that it can bear the loss of none.
    pub fn can_bear_no_loss(&self) -> bool {
        self.voters.len() < 3
    }
}

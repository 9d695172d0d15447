//! Topics and their partitions.

use std::sync::Arc;

use imbl::OrdMap;
use vltava_wire::records::metadata::{PartitionChangeRecord, PartitionRecord};
use vltava_wire::{LeaderEpoch, NodeId, PartitionId, Str, Uuid};

/// A topic. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicImage {
    /// The topic's id: another topic of the same name later has another one.
    pub id: Uuid,
    /// The topic's name.
    pub name: Str,
    /// The partitions by index, which run from 0 without a gap.
    pub partitions: OrdMap<PartitionId, Arc<PartitionRegistration>>,
}

impl TopicImage {
    /// A partition.
    pub fn partition(&self, partition: PartitionId) -> Option<&Arc<PartitionRegistration>> {
        self.partitions.get(&partition)
    }
}

/// Whether a leader's log may lack acknowledged records (KIP-704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i8)]
pub enum LeaderRecoveryState {
    /// The leader came from the ISR, or has recovered since.
    #[default]
    Recovered = 0,
    /// The leader came from an unclean election.
    Recovering = 1,
}

impl LeaderRecoveryState {
    /// The state of that number, if there is one.
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }

    /// The number.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// A partition: where it lies, who leads it, and who is in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// The brokers that hold it; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// The log directory of each replica, in the order of `replicas` (KIP-858).
    pub directories: Vec<Uuid>,
    /// The replicas that are in sync.
    pub isr: Vec<NodeId>,
    /// The replicas that a reassignment takes away.
    pub removing_replicas: Vec<NodeId>,
    /// The replicas that a reassignment adds.
    pub adding_replicas: Vec<NodeId>,
    /// The replicas out of the ISR that hold all that was acknowledged (KIP-966).
    pub elr: Vec<NodeId>,
    /// The replicas that were last in the ISR or ELR, once both are empty (KIP-966).
    pub last_known_elr: Vec<NodeId>,
    /// The leader, or [`NodeId::NONE`].
    pub leader: NodeId,
    /// Whether the leader came from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// How many leaders there were.
    pub leader_epoch: LeaderEpoch,
    /// How often the partition changed in any way; AlterPartition is fenced by it (KIP-497).
    pub partition_epoch: i32,
}

impl PartitionRegistration {
    /// The leader, if there is one.
    pub fn leader(&self) -> Option<NodeId> {
        (self.leader != NodeId::NONE).then_some(self.leader)
    }

    /// The leader that is preferred when all is well: the first replica.
    pub fn preferred_leader(&self) -> Option<NodeId> {
        self.replicas.first().copied()
    }

    /// Whether its preferred leader leads it.
    pub fn has_preferred_leader(&self) -> bool {
        self.leader() == self.preferred_leader()
    }

    /// Whether the broker holds a replica.
    pub fn is_replica(&self, broker: NodeId) -> bool {
        self.replicas.contains(&broker)
    }

    /// Whether a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }

    /// The log directory of a replica; [`Uuid::UNASSIGNED_DIR`] if it is not known.
    pub fn directory(&self, broker: NodeId) -> Uuid {
        let index = self.replicas.iter().position(|replica| *replica == broker);
        index.and_then(|index| self.directories.get(index)).copied().unwrap_or_default()
    }

    /// A partition of that record; `None` for a recovery state that does not exist.
    pub fn from_record(record: &PartitionRecord) -> Option<Self> {
        Some(Self {
            replicas: nodes(&record.replicas),
            directories: directories(&record.directories, record.replicas.len()),
            isr: nodes(&record.isr),
            removing_replicas: nodes(&record.removing_replicas),
            adding_replicas: nodes(&record.adding_replicas),
            elr: nodes(record.eligible_leader_replicas.as_deref().unwrap_or_default()),
            last_known_elr: nodes(record.last_known_elr.as_deref().unwrap_or_default()),
            leader: NodeId(record.leader),
            leader_recovery_state: LeaderRecoveryState::from_code(record.leader_recovery_state)?,
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
        })
    }

    /// The partition after that change; `None` for a recovery state that does not exist.
    ///
    /// What the record leaves out stays. A leader that it names starts a new leader epoch, also if
    /// it is the present one; the partition epoch rises in any case.
    pub fn merge(&self, record: &PartitionChangeRecord) -> Option<Self> {
        let or = |change: &Option<Vec<i32>>, present: &Vec<NodeId>| {
            change.as_deref().map_or_else(|| present.clone(), nodes)
        };
        let replicas = or(&record.replicas, &self.replicas);
        let named = record.directories.as_ref().unwrap_or(&self.directories);
        let changes_leader = record.leader != PartitionChange::NO_LEADER_CHANGE;
        Some(Self {
            directories: directories(named, replicas.len()),
            replicas,
            isr: or(&record.isr, &self.isr),
            removing_replicas: or(&record.removing_replicas, &self.removing_replicas),
            adding_replicas: or(&record.adding_replicas, &self.adding_replicas),
            elr: or(&record.eligible_leader_replicas, &self.elr),
            last_known_elr: or(&record.last_known_elr, &self.last_known_elr),
            leader: if changes_leader { NodeId(record.leader) } else { self.leader },
            leader_recovery_state: match record.leader_recovery_state {
                PartitionChange::NO_RECOVERY_CHANGE => self.leader_recovery_state,
                code => LeaderRecoveryState::from_code(code)?,
            },
            leader_epoch: LeaderEpoch(self.leader_epoch.get() + i32::from(changes_leader)),
            partition_epoch: self.partition_epoch + 1,
        })
    }

    /// The record that says all of this.
    pub fn to_record(&self, topic: Uuid, partition: PartitionId) -> PartitionRecord {
        let optional = |nodes: &[NodeId]| (!nodes.is_empty()).then(|| numbers(nodes));
        PartitionRecord {
            partition_id: partition.get(),
            topic_id: topic,
            replicas: numbers(&self.replicas),
            isr: numbers(&self.isr),
            removing_replicas: numbers(&self.removing_replicas),
            adding_replicas: numbers(&self.adding_replicas),
            leader: self.leader.get(),
            leader_recovery_state: self.leader_recovery_state.code(),
            leader_epoch: self.leader_epoch.get(),
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            eligible_leader_replicas: optional(&self.elr),
            last_known_elr: optional(&self.last_known_elr),
        }
    }
}

/// The numbers by which a [`PartitionChangeRecord`] says that something stays.
pub(crate) struct PartitionChange;

impl PartitionChange {
    /// The leader stays, and so does its epoch.
    pub(crate) const NO_LEADER_CHANGE: i32 = -2;
    /// The recovery state stays.
    pub(crate) const NO_RECOVERY_CHANGE: i8 = -1;
}

fn nodes(numbers: &[i32]) -> Vec<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

fn numbers(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.get()).collect()
}

/// Directories, one a replica; records of clusters without directory ids have none.
fn directories(named: &[Uuid], replicas: usize) -> Vec<Uuid> {
    if named.len() == replicas {
        return named.to_vec();
    }
    vec![Uuid::MIGRATING_DIR; replicas]
}

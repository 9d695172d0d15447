//! One change of one partition: who leads it, and who is in sync, once something else changed.

use vltava_metadata::{LeaderRecoveryState, PartitionRegistration};
use vltava_wire::records::metadata::PartitionChangeRecord;
use vltava_wire::{NodeId, PartitionId, Uuid};

/// Who may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// The preferred leader if it is in sync; else whoever leads, or any that is in sync.
    Preferred,
    /// Whoever leads, as long as it can; else any that is in sync.
    Online,
    /// As `Online`; and if none is in sync, any replica that lives.
    Unclean,
}

/// A change that is being put together: what is to be, compared with what is.
pub(super) struct PartitionChange<'a> {
    present: &'a PartitionRegistration,
    topic: Uuid,
    partition: PartitionId,
    may_lead: &'a dyn Fn(NodeId) -> bool,
    pub(super) election: Election,
    pub(super) isr: Vec<NodeId>,
    pub(super) replicas: Vec<NodeId>,
    pub(super) removing: Vec<NodeId>,
    pub(super) adding: Vec<NodeId>,
    pub(super) recovery_state: LeaderRecoveryState,
    /// One directory a replica of `directories_of`; what is not in it has none yet.
    pub(super) directories: Vec<(NodeId, Uuid)>,
    /// Whether the ISR may become empty: when its last copy is known to be lost. Else the last
    /// member stays, to lead again once it comes back.
    may_empty_isr: bool,
    /// Who may have what was acknowledged while nobody leads (KIP-966).
    last_known: Vec<NodeId>,
}

/// Who leads after an election.
struct Elected {
    leader: NodeId,
    unclean: bool,
}

impl<'a> PartitionChange<'a> {
    /// Starts from what is. `may_lead` says which brokers live.
    pub(super) fn new(
        present: &'a PartitionRegistration,
        topic: Uuid,
        partition: PartitionId,
        may_lead: &'a dyn Fn(NodeId) -> bool,
    ) -> Self {
        Self {
            present,
            topic,
            partition,
            may_lead,
            election: Election::Online,
            isr: present.isr.clone(),
            replicas: present.replicas.clone(),
            removing: present.removing_replicas.clone(),
            adding: present.adding_replicas.clone(),
            recovery_state: present.leader_recovery_state,
            directories: present
                .replicas
                .iter()
                .copied()
                .zip(present.directories.iter().copied())
                .collect(),
            may_empty_isr: false,
            last_known: present.last_known_elr.clone(),
        }
    }

    /// Who leads before the change; nobody is [`NodeId::NONE`].
    pub(super) fn leader_before(&self) -> NodeId {
        self.present.leader
    }

    /// Takes a broker out of the ISR.
    pub(super) fn without(mut self, broker: NodeId) -> Self {
        self.isr.retain(|member| *member != broker);
        self
    }

    /// Notes that a replica's copy is gone for good. If it was the last in sync, an unclean
    /// election is left; the others then come before this one, which has nothing.
    pub(super) fn lose_copy_of(&mut self, broker: NodeId) {
        self.may_empty_isr = true;
        let present = self.present;
        let remains = present.isr.iter().any(|member| *member != broker);
        if present.leader().is_some_and(|leader| leader != broker) || remains {
            return;
        }
        let known = match present.last_known_elr.is_empty() {
            true => &present.replicas,
            false => &present.last_known_elr,
        };
        self.last_known = known.iter().copied().filter(|node| *node != broker).collect();
    }

    /// The record, or `None` if nothing changes.
    pub(super) fn build(mut self) -> Option<PartitionChangeRecord> {
        self.complete_reassignment();
        if self.isr.is_empty() && !self.may_empty_isr {
            self.isr.clone_from(&self.present.isr);
        }
        let mut record = PartitionChangeRecord {
            partition_id: self.partition.get(),
            topic_id: self.topic,
            ..PartitionChangeRecord::default()
        };
        let untouched = record.clone();
        self.elect(&mut record);
        self.bump_epoch_if_replicas_go(&mut record);
        self.name_what_differs(&mut record);
        (record != untouched).then_some(record)
    }

    /// A reassignment is done once all that is added is in sync and something in sync remains.
    fn complete_reassignment(&mut self) {
        if self.removing.is_empty() && self.adding.is_empty() {
            return;
        }
        let stays = |node: &NodeId| !self.removing.contains(node);
        let isr: Vec<NodeId> = self.isr.iter().copied().filter(stays).collect();
        let replicas: Vec<NodeId> = self.replicas.iter().copied().filter(stays).collect();
        let added = self.adding.iter().all(|node| isr.contains(node));
        if isr.is_empty() || replicas.is_empty() || !added {
            return;
        }
        self.isr = isr;
        self.replicas = replicas;
        self.removing.clear();
        self.adding.clear();
    }

    fn can_lead(&self, node: NodeId) -> bool {
        self.isr.contains(&node) && (self.may_lead)(node)
    }

    fn elected(&self) -> Elected {
        let clean = |leader| Elected { leader, unclean: false };
        let preferred = self.replicas.first().copied();
        if self.election == Election::Preferred
            && let Some(preferred) = preferred.filter(|node| self.can_lead(*node))
        {
            return clean(preferred);
        }
        if self.can_lead(self.present.leader) && self.replicas.contains(&self.present.leader) {
            return clean(self.present.leader);
        }
        if let Some(leader) = self.replicas.iter().copied().find(|node| self.can_lead(*node)) {
            return clean(leader);
        }
        if self.election == Election::Unclean {
            let known = self.replicas.iter().filter(|node| self.last_known.contains(node));
            let mut alive = known.chain(&self.replicas).filter(|node| (self.may_lead)(**node));
            if let Some(leader) = alive.next() {
                return Elected { leader: *leader, unclean: true };
            }
        }
        clean(NodeId::NONE)
    }

    fn elect(&mut self, record: &mut PartitionChangeRecord) {
        let Elected { leader, unclean } = self.elected();
        if leader != NodeId::NONE {
            self.last_known.clear();
        }
        if leader == self.present.leader {
            return;
        }
        record.leader = leader.get();
        if unclean {
            // Whatever the others hold, it is this leader's log that counts from now on.
            self.isr = vec![leader];
            self.recovery_state = LeaderRecoveryState::Recovering;
        }
    }

    /// A replica that is taken away must not go on fetching in the same leader epoch: should it be
    /// added again, it would count as in sync with what it had.
    fn bump_epoch_if_replicas_go(&self, record: &mut PartitionChangeRecord) {
        let goes = |node: &NodeId| !self.replicas.contains(node);
        let leader_stays = record.leader == PartitionChangeRecord::default().leader;
        if leader_stays && self.present.replicas.iter().any(goes) {
            record.leader = self.present.leader.get();
        }
    }

    fn name_what_differs(&self, record: &mut PartitionChangeRecord) {
        let differing = |wanted: &[NodeId], present: &[NodeId]| {
            (wanted != present).then(|| wanted.iter().map(|node| node.get()).collect())
        };
        let present = self.present;
        record.isr = differing(&self.isr, &present.isr);
        record.replicas = differing(&self.replicas, &present.replicas);
        record.removing_replicas = differing(&self.removing, &present.removing_replicas);
        record.last_known_elr = differing(&self.last_known, &present.last_known_elr);
        record.adding_replicas = differing(&self.adding, &present.adding_replicas);
        let directories: Vec<Uuid> =
            self.replicas.iter().map(|node| self.directory(*node)).collect();
        if record.replicas.is_some() || directories != present.directories {
            record.directories = Some(directories);
        }
        if self.recovery_state != present.leader_recovery_state {
            record.leader_recovery_state = self.recovery_state.code();
        }
    }

    fn directory(&self, node: NodeId) -> Uuid {
        let known = self.directories.iter().find(|(replica, _)| *replica == node);
        known.map_or(Uuid::UNASSIGNED_DIR, |(_, directory)| *directory)
    }
}

/// The leader that the change names; it may be the present one, with another epoch, or none.
pub(super) fn new_leader(record: &PartitionChangeRecord) -> Option<NodeId> {
    let is_named = record.leader != PartitionChangeRecord::default().leader;
    is_named.then_some(NodeId(record.leader))
}

/// Whether the change is an unclean election, and who leads then.
pub(super) fn unclean_leader(record: &PartitionChangeRecord) -> Option<NodeId> {
    let recovering = record.leader_recovery_state == LeaderRecoveryState::Recovering.code();
    (recovering && record.leader >= 0).then_some(NodeId(record.leader))
}

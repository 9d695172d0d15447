//! Who leads and who is in sync after brokers came or went.

use vltava_metadata::{MetadataRecord, PartitionRegistration, TopicImage};
use vltava_wire::records::metadata::BrokerRegistrationChangeRecord;
use vltava_wire::{NodeId, PartitionId, Str, Uuid};

use super::decision::Happening;
use super::partition_change::{Election, PartitionChange, new_leader, unclean_leader};
use super::{Active, Controller, Decision, FenceReason};
use vltava_quorum::Instant;

/// In a registration's change: the broker is fenced.
const FENCE: i8 = 1;
/// In a registration's change: the broker is unfenced.
const UNFENCE: i8 = -1;

/// Records with what people should hear of them.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) records: Vec<MetadataRecord>,
    pub(super) happenings: Vec<Happening>,
    /// The first partition whose leader changes, and how many do.
    leaders: Option<(Str, PartitionId, NodeId, usize)>,
}

impl Outcome {
    /// Adds the change of a partition, if it is one.
    pub(super) fn change(
        &mut self,
        topic: &TopicImage,
        partition: PartitionId,
        change: PartitionChange<'_>,
    ) {
        let before = change.leader_before();
        let Some(record) = change.build() else { return };
        if let Some(leader) = unclean_leader(&record) {
            let topic = topic.name.clone();
            self.happenings.push(Happening::UncleanElection { topic, partition, leader });
        }
        if let Some(leader) = new_leader(&record).filter(|leader| *leader != before) {
            let first = || (topic.name.clone(), partition, leader, 0);
            self.leaders.get_or_insert_with(first).3 += 1;
        }
        self.records.push(record.into());
    }

    /// The decision that these records are; each of them counts by itself.
    pub(super) fn decide<R>(self, response: R) -> Decision<R> {
        let changed = self.leaders.map(|(topic, partition, leader, count)| {
            let leader = (leader != NodeId::NONE).then_some(leader);
            Happening::LeadersChanged { topic, partition, leader, others: count - 1 }
        });
        Decision::each(self.records, response).telling(self.happenings).telling(changed)
    }
}

impl Active {
    /// Whether a replica may lead: its broker is active, and has the directory that it lies in.
    pub(super) fn may_lead(&self, replica: NodeId, directory: Uuid) -> bool {
        self.image.is_active(replica)
            && self
                .image
                .broker(replica)
                .is_some_and(|broker| broker.has_online_directory(directory))
    }

    /// The directory that a broker's new replicas lie in, as far as it is known: a broker with
    /// several chooses by itself.
    pub(super) fn default_directory(&self, broker: NodeId) -> Uuid {
        match self.image.broker(broker).map(|broker| broker.directories.as_slice()) {
            Some([only]) => *only,
            _ => Uuid::UNASSIGNED_DIR,
        }
    }

    /// How a partition of that topic is given another leader.
    pub(super) fn election(&self, topic: &str) -> Election {
        if self.unclean_election(topic) { Election::Unclean } else { Election::Online }
    }

    /// Every partition, with its topic.
    pub(super) fn partitions(
        &self,
    ) -> impl Iterator<Item = (&TopicImage, PartitionId, &PartitionRegistration)> {
        self.image.topics().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(move |(partition, registration)| (topic, *partition, &**registration))
        })
    }

    /// Takes a broker out of the ISRs (where another remains) and from the leadership of
    /// partitions.
    pub(super) fn remove_from_isrs(&self, broker: NodeId, outcome: &mut Outcome) {
        for (topic, partition, present) in self.partitions() {
            if !present.isr.contains(&broker) && present.leader != broker {
                continue;
            }
            let may_lead =
                |replica| replica != broker && self.may_lead(replica, present.directory(replica));
            let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
            change.election = self.election(&topic.name);
            outcome.change(topic, partition, change.without(broker));
        }
    }

    /// Lets a broker that came lead what nobody leads.
    pub(super) fn lead_what_is_leaderless(&self, broker: NodeId, outcome: &mut Outcome) {
        let directories = self.image.broker(broker).map(|broker| &broker.directories);
        for (topic, partition, present) in self.partitions() {
            if present.leader().is_some() || !present.is_replica(broker) {
                continue;
            }
            let may_lead = |replica: NodeId| {
                let directory = present.directory(replica);
                let has_it = |all: &Vec<Uuid>| {
                    matches!(directory, Uuid::UNASSIGNED_DIR | Uuid::MIGRATING_DIR)
                        || all.contains(&directory)
                };
                (replica == broker && directories.is_some_and(has_it))
                    || self.may_lead(replica, directory)
            };
            let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
            change.election = self.election(&topic.name);
            outcome.change(topic, partition, change);
        }
    }

    /// Fences a broker: out of the ISRs first, so that the fence is the last of the records.
    pub(super) fn fence(&self, id: NodeId, reason: FenceReason, outcome: &mut Outcome) {
        let Some(broker) = self.image.broker(id) else { return };
        self.remove_from_isrs(id, outcome);
        if broker.fenced {
            return;
        }
        let record = BrokerRegistrationChangeRecord {
            broker_id: id.get(),
            broker_epoch: broker.epoch.get(),
            fenced: FENCE,
            ..BrokerRegistrationChangeRecord::default()
        };
        outcome.records.push(record.into());
        outcome.happenings.push(Happening::Fenced { broker: id, reason });
    }

    /// Unfences a broker.
    pub(super) fn unfence(&self, id: NodeId, outcome: &mut Outcome) {
        let Some(broker) = self.image.broker(id) else { return };
        let record = BrokerRegistrationChangeRecord {
            broker_id: id.get(),
            broker_epoch: broker.epoch.get(),
            fenced: UNFENCE,
            ..BrokerRegistrationChangeRecord::default()
        };
        outcome.records.push(record.into());
        outcome.happenings.push(Happening::Unfenced { broker: id });
        self.lead_what_is_leaderless(id, outcome);
    }

    /// Has a broker hand over what it leads: nobody elects it from here on.
    pub(super) fn begin_controlled_shutdown(&self, id: NodeId, outcome: &mut Outcome) {
        let Some(broker) = self.image.broker(id) else { return };
        let record = BrokerRegistrationChangeRecord {
            broker_id: id.get(),
            broker_epoch: broker.epoch.get(),
            in_controlled_shutdown: 1,
            ..BrokerRegistrationChangeRecord::default()
        };
        outcome.records.push(record.into());
        outcome.happenings.push(Happening::ShuttingDown { broker: id });
        self.remove_from_isrs(id, outcome);
    }

    /// Whether a broker leads any partition.
    pub(super) fn leads_any(&self, broker: NodeId) -> bool {
        self.partitions().any(|(_, _, present)| present.leader == broker)
    }
}

impl Controller {
    /// The next broker that is taken for dead.
    pub(super) fn next_lost_broker(&mut self, now: Instant) -> Option<(NodeId, FenceReason)> {
        let image = &self.active.as_ref()?.image;
        self.sessions.next_lost(
            now,
            |id| image.is_unfenced(id),
            |id| image.broker(id).map(|broker| broker.epoch),
        )
    }

    /// Fences a broker that is taken for dead.
    pub(super) fn fence_lost_broker(
        &self,
        broker: NodeId,
        reason: FenceReason,
    ) -> Option<Decision<()>> {
        let mut outcome = Outcome::default();
        self.active.as_ref()?.fence(broker, reason, &mut outcome);
        Some(outcome.decide(()))
    }
}

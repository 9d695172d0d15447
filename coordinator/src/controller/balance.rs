//! Leadership goes back to preferred leaders, and partitions without a leader get one.

use vltava_metadata::BATCH_RECORDS_MAX;
use vltava_quorum::Instant;

use super::leadership::Outcome;
use super::partition_change::{Election, PartitionChange};
use super::{Active, Controller, Decision};

/// Partitions that change at once. The rest follows right after: a flood of elections would keep
/// fencing waiting.
const CHANGES_MAX: usize = BATCH_RECORDS_MAX / 10;

impl Controller {
    /// Elections that are due, at the settings' interval, if anything changed since the last ones.
    pub(super) fn balance(&mut self, now: Instant) -> Option<Decision<()>> {
        let (interval, auto) = (self.settings.balance_interval, self.settings.auto_balance);
        let active = self.active.as_mut()?;
        if !active.unbalanced || active.balance_at > now {
            return None;
        }
        let outcome = active.better_leaders(auto);
        if outcome.records.is_empty() {
            active.unbalanced = false;
            active.balance_at = now + interval;
            return None;
        }
        if outcome.records.len() < CHANGES_MAX {
            active.balance_at = now + interval;
        }
        Some(outcome.decide(()))
    }
}

impl Active {
    fn better_leaders(&self, auto: bool) -> Outcome {
        let mut outcome = Outcome::default();
        for (topic, partition, present) in self.partitions() {
            if outcome.records.len() >= CHANGES_MAX {
                break;
            }
            let may_lead = |replica| self.may_lead(replica, present.directory(replica));
            let election = match present.leader() {
                // Unclean elections may have been allowed since the last leader went.
                None => self.election(&topic.name),
                Some(_) if auto && !present.has_preferred_leader() => Election::Preferred,
                Some(_) => continue,
            };
            let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
            change.election = election;
            outcome.change(topic, partition, change);
        }
        outcome
    }
}

//! What the active coordinator decides: a pure machine over the metadata image.
//!
//! An operation reads the *speculative* image (everything that was appended) and returns a
//! [`Decision`]: records, and the answer that is given once they are committed. The driver appends
//! the records as one batch, hands them to [`Controller::appended`], and holds the answer back
//! until the high watermark has passed them. So each decision builds on all earlier ones, and
//! nobody hears of one that may yet be lost. A coordinator that loses the leadership drops the
//! speculative image; the committed one, which is read from the log, is all that is left.
//!
//! Beside the image there is soft state ([`sessions`]): who was heard from and when, and which
//! broker speaks on which connection. Standbys keep the latter too.
//!
//! *Invariant:* no `async`, no clock, no disk; randomness comes from a seed.

mod alter_configs;
mod alter_partition;
mod assign_dirs;
mod balance;
mod create_partitions;
mod create_topics;
mod decision;
mod delete_topics;
mod elect_leaders;
mod heartbeat;
mod leadership;
mod partition_change;
mod placement;
mod producer_ids;
mod random;
mod reassign;
mod register_broker;
mod register_controller;
mod sessions;
mod settings;
mod unregister_broker;
mod update_features;

use std::time::Duration;

use vltava_config::{Values, keys};
use vltava_metadata::{ApplyError, Changes, Image, MetadataRecord, ResourceType};
use vltava_net::ConnectionId;
use vltava_quorum::Instant;
use vltava_wire::records::metadata::{FeatureLevelRecord, NoOpRecord};
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId, Offset};

pub use decision::{Decision, Failure, FenceReason, Happening};
pub use settings::Settings;
pub use update_features::{FeatureUpdate, UpgradeType};

use random::Random;
use sessions::Sessions;

/// When an operation is decided, and where its first record will lie.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now, by this node's monotonic clock.
    pub now: Instant,
    /// The end of the log: the offset of the next record.
    pub next_offset: Offset,
}

/// The machine. Its methods that decide something are spread over this module's files, one an
/// operation.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    random: Random,
    sessions: Sessions,
    active: Option<Active>,
}

/// What only the active coordinator has.
#[derive(Debug)]
struct Active {
    /// Everything that was appended, committed or not.
    image: Image,
    /// The node's configuration with what was set for all brokers.
    values: Values,
    /// Whether something changed since partitions were last looked through for a better leader.
    unbalanced: bool,
    balance_at: Instant,
    /// When the last record was appended.
    appended_at: Instant,
}

impl Controller {
    /// A standby. `seed` gives topic ids and placements; two coordinators must not share it.
    pub fn new(settings: Settings, seed: u128) -> Self {
        let sessions = Sessions::new(settings.session_timeout, settings.fence_grace);
        Self { settings, random: Random::new(seed), sessions, active: None }
    }

    /// Whether this is the active coordinator.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// The speculative image, if this is the active coordinator.
    pub fn image(&self) -> Option<&Image> {
        self.active.as_ref().map(|active| &active.image)
    }

    /// The node's configuration with what was set for all brokers, if this is the active
    /// coordinator.
    pub fn values(&self) -> Option<&Values> {
        self.active.as_ref().map(|active| &active.values)
    }

    /// Becomes the active coordinator. `image` holds all that the log holds, and all of it is
    /// committed.
    ///
    /// Every broker gets a fresh session: the time that passed while there was no active
    /// coordinator is nobody's fault. Those whose connections were seen to close are suspected
    /// all the same.
    pub fn activate(&mut self, image: Image, now: Instant) {
        self.sessions.begin_term(&image, now);
        let values = self.settings.values_with(&image);
        self.active = Some(Active {
            image,
            values,
            unbalanced: true,
            balance_at: now + self.settings.balance_interval,
            appended_at: now,
        });
    }

    /// Is not the active coordinator any more. What is not committed may be lost.
    pub fn deactivate(&mut self) {
        self.active = None;
        self.sessions.end_term();
    }

    /// Takes up records that were appended to the log, the last of them at `last`.
    ///
    /// # Errors
    /// A record that does not fit: a mistake in a decision, which must not be carried on.
    pub fn appended(&mut self, records: &[MetadataRecord], now: Instant) -> Result<(), ApplyError> {
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        let mut changes = Changes::default();
        for record in records {
            active.image.apply(record, &mut changes)?;
        }
        active.appended_at = now;
        let partitions_or_brokers = !changes.partitions.is_empty() || !changes.brokers.is_empty();
        active.unbalanced |= partitions_or_brokers || !changes.configs.is_empty();
        if changes.configs.iter().any(|resource| resource.kind == ResourceType::BROKER) {
            active.values = self.settings.values_with(&active.image);
        }
        for broker in &changes.brokers {
            let registered = active.image.broker(*broker).map(|broker| broker.epoch);
            self.sessions.registered(*broker, registered, now);
        }
        Ok(())
    }

    /// Notes which broker speaks on a connection. Standbys note it too.
    pub fn spoke(&mut self, connection: ConnectionId, broker: NodeId, epoch: BrokerEpoch) {
        self.sessions.spoke(connection, broker, epoch);
    }

    /// Notes that a connection was closed.
    pub fn closed(&mut self, connection: ConnectionId, now: Instant) {
        self.sessions.closed(connection, now);
    }

    /// Notes that this process stood still for so long: what others did in that time could not be
    /// seen, so nobody is held to it.
    pub fn stalled(&mut self, pause: Duration) {
        self.sessions.shift(pause);
    }

    /// What the active coordinator has to do of its own accord now; `None` if nothing is due.
    ///
    /// The driver appends what it returns, and asks again.
    pub fn next_chore(&mut self, moment: Moment) -> Option<Decision<()>> {
        let now = moment.now;
        if self.active.as_ref()?.image.metadata_version() == 0 {
            return Some(self.found());
        }
        if let Some((broker, reason)) = self.next_lost_broker(now) {
            return self.fence_lost_broker(broker, reason);
        }
        if let Some(decision) = self.balance(now) {
            return Some(decision);
        }
        let active = self.active.as_ref()?;
        let idle = self.settings.idle_interval?;
        if active.appended_at + idle > now {
            return None;
        }
        Some(Decision::of(vec![NoOpRecord::default().into()], ()))
    }

    /// The first records of a cluster: the bootstrap snapshot is on the founders' disks alone, but
    /// what it says must be in the log for everybody.
    fn found(&self) -> Decision<()> {
        let records = self.settings.founding_features.iter().map(|(name, level)| {
            FeatureLevelRecord { name: name.clone(), feature_level: *level }.into()
        });
        Decision::of(records.collect(), ())
    }

    /// When [`next_chore`](Self::next_chore) may have something; `None` while on standby.
    pub fn next_deadline(&self) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let idle = self.settings.idle_interval.map(|idle| active.appended_at + idle);
        if active.image.metadata_version() == 0 {
            return Some(active.appended_at);
        }
        let balance = active.unbalanced.then_some(active.balance_at);
        let sessions = self.sessions.next_deadline(|id| active.image.is_unfenced(id));
        [idle, balance, sessions].into_iter().flatten().min()
    }

    /// The active state; operations are only carried out while there is one.
    fn active(&self) -> Result<&Active, Failure> {
        self.active.as_ref().ok_or_else(|| Failure::new(ErrorCode::NOT_CONTROLLER, ""))
    }

    /// Checks that a broker speaks for its present registration.
    fn check_broker_epoch(&self, id: NodeId, epoch: BrokerEpoch) -> Result<(), Failure> {
        let Some(broker) = self.active()?.image.broker(id) else {
            let message = format!("broker {id} is not registered");
            return Err(Failure::new(ErrorCode::BROKER_ID_NOT_REGISTERED, message));
        };
        if broker.epoch != epoch {
            let message =
                format!("broker {id} is registered with epoch {}, not {epoch}", broker.epoch);
            return Err(Failure::new(ErrorCode::STALE_BROKER_EPOCH, message));
        }
        Ok(())
    }
}

impl Active {
    /// What this is once records that were decided upon it are appended, for what is decided in the
    /// same breath.
    fn after(&self, records: &[MetadataRecord]) -> Self {
        let mut image = self.image.clone();
        for record in records {
            image
                .apply(record, &mut Changes::default())
                .expect("a decision fits the image that it was made on");
        }
        Self { image, values: self.values.clone(), ..*self }
    }

    /// Whether a topic lets a replica lead that is not in sync.
    fn unclean_election(&self, topic: &str) -> bool {
        let own = self.image.topic_config(topic);
        let name = vltava_config::topic::keys::UNCLEAN_LEADER_ELECTION_ENABLE.name();
        match own.get(name) {
            Some(text) => text.eq_ignore_ascii_case("true"),
            None => self.values.get(keys::UNCLEAN_LEADER_ELECTION_ENABLE),
        }
    }

    /// Whether a topic's records are on disk before they are acknowledged.
    fn flushes_before_ack(&self, topic: &str) -> bool {
        let own = self.image.topic_config(topic);
        let name = vltava_config::topic::keys::FLUSH_MESSAGES.name();
        match own.get(name) {
            Some(text) => text.trim() == "1",
            None => self.values.get(keys::LOG_FLUSH_INTERVAL_MESSAGES) == 1,
        }
    }
}

#[cfg(test)]
mod tests;

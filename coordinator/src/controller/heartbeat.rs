//! BrokerHeartbeat (63): a broker says that it lives, and what it would like to be (KIP-631).

use vltava_metadata::BrokerRegistration;
use vltava_quorum::Instant;
use vltava_wire::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};
use vltava_wire::records::metadata::BrokerRegistrationChangeRecord;
use vltava_wire::{BrokerEpoch, NodeId, Offset, Uuid};

use super::leadership::Outcome;
use super::partition_change::PartitionChange;
use super::{Active, Controller, Decision, Failure, FenceReason, Moment};

/// What a broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    ShuttingDown,
    /// It may stop now.
    Down,
}

impl Controller {
    /// Carries a heartbeat out.
    ///
    /// # Errors
    /// NOT_CONTROLLER; BROKER_ID_NOT_REGISTERED or STALE_BROKER_EPOCH for a registration that is
    /// not the present one.
    pub fn heartbeat(
        &mut self,
        request: &BrokerHeartbeatRequest,
        moment: Moment,
    ) -> Result<Decision<BrokerHeartbeatResponse>, Failure> {
        let (id, epoch) = (NodeId(request.broker_id), BrokerEpoch(request.broker_epoch));
        self.check_broker_epoch(id, epoch)?;
        let metadata_offset = Offset(request.current_metadata_offset);
        let first = self.sessions.touch(id, metadata_offset, moment.now);
        let active = self.active()?;
        let broker = active.image.broker(id).expect("the epoch of a registered broker was checked");
        // What failed comes first: who may lead is decided upon the directories that are left.
        let mut outcome = Outcome::default();
        active.take_directories_offline(broker, &request.offline_log_dirs, &mut outcome);
        let after = (!outcome.records.is_empty()).then(|| active.after(&outcome.records));
        let active = after.as_ref().unwrap_or(active);
        let present = State::of(broker);
        let next = self.next_state(active, broker, present, request);
        if present != next {
            match next {
                State::Fenced | State::Down => {
                    active.fence(id, FenceReason::Asked, &mut outcome);
                }
                State::Unfenced => active.unfence(id, &mut outcome),
                State::ShuttingDown => active.begin_controlled_shutdown(id, &mut outcome),
            }
        } else if first && present == State::Unfenced {
            // It was thought to live, but nobody knew; what waited for it need not wait longer.
            active.lead_what_is_leaderless(id, &mut outcome);
        }
        let response = BrokerHeartbeatResponse {
            is_caught_up: request.current_metadata_offset >= broker.epoch.get(),
            is_fenced: matches!(next, State::Fenced | State::Down),
            should_shut_down: next == State::Down,
            ..BrokerHeartbeatResponse::default()
        };
        if next == State::ShuttingDown {
            self.note_shutdown(id, present, &outcome, moment);
        }
        if next == State::Unfenced {
            self.sessions.keep_in_sync(id, false);
        }
        Ok(outcome.decide(response))
    }

    /// A broker may stop once all others know of its last change; each heartbeat that still
    /// changes something moves that mark.
    fn note_shutdown(&mut self, id: NodeId, present: State, outcome: &Outcome, moment: Moment) {
        let changes = !outcome.records.is_empty() || present != State::ShuttingDown;
        if changes || self.sessions.shutdown_offset(id).is_none() {
            let records = i64::try_from(outcome.records.len()).unwrap_or(i64::MAX);
            let last = Offset(moment.next_offset.get().saturating_add(records - 1));
            self.sessions.set_shutdown_offset(id, last);
        }
    }

    fn next_state(
        &self,
        active: &Active,
        broker: &BrokerRegistration,
        present: State,
        request: &BrokerHeartbeatRequest,
    ) -> State {
        match present {
            State::Fenced if request.want_shut_down => State::Down,
            State::Fenced if request.want_fence => State::Fenced,
            State::Fenced if request.current_metadata_offset >= broker.epoch.get() => {
                State::Unfenced
            }
            State::Fenced => State::Fenced,
            State::Unfenced if request.want_fence && request.want_shut_down => State::Down,
            State::Unfenced if request.want_fence => State::Fenced,
            State::Unfenced if request.want_shut_down => State::ShuttingDown,
            State::Unfenced => State::Unfenced,
            State::ShuttingDown if active.leads_any(broker.id) => State::ShuttingDown,
            State::ShuttingDown => match self.sessions.shutdown_offset(broker.id) {
                Some(offset) if self.others_know(active, broker.id, offset) => State::Down,
                _ => State::ShuttingDown,
            },
            State::Down => State::Down,
        }
    }

    /// Whether all other active brokers have applied the metadata log up to that offset.
    fn others_know(&self, active: &Active, broker: NodeId, offset: Offset) -> bool {
        active
            .image
            .brokers()
            .filter(|other| other.id != broker && active.image.is_active(other.id))
            .all(|other| self.sessions.metadata_offset(other.id) >= offset)
    }

    /// Whether a broker was heard from of late.
    pub(super) fn is_alive(&self, broker: NodeId, now: Instant) -> bool {
        self.sessions.is_alive(broker, now)
    }
}

impl State {
    fn of(broker: &BrokerRegistration) -> Self {
        match broker {
            broker if broker.fenced => Self::Fenced,
            broker if broker.in_controlled_shutdown => Self::ShuttingDown,
            _ => Self::Unfenced,
        }
    }
}

impl Active {
    /// Log directories of a broker failed (KIP-858): what lies in them is out of sync, and cannot
    /// be led from there.
    pub(super) fn take_directories_offline(
        &self,
        broker: &BrokerRegistration,
        offline: &[Uuid],
        outcome: &mut Outcome,
    ) {
        let online: Vec<Uuid> =
            broker.directories.iter().copied().filter(|id| !offline.contains(id)).collect();
        if online.len() == broker.directories.len() || online.is_empty() {
            // Nothing new; or nothing left, and the broker stops by itself.
            return;
        }
        let lost = |directory: Uuid| {
            directory != Uuid::UNASSIGNED_DIR
                && directory != Uuid::MIGRATING_DIR
                && !online.contains(&directory)
        };
        for (topic, partition, present) in self.partitions() {
            if !present.is_replica(broker.id) || !lost(present.directory(broker.id)) {
                continue;
            }
            let may_lead = |replica| {
                replica != broker.id && self.may_lead(replica, present.directory(replica))
            };
            let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
            change.election = self.election(&topic.name);
            outcome.change(topic, partition, change.without(broker.id));
        }
        let record = BrokerRegistrationChangeRecord {
            broker_id: broker.id.get(),
            broker_epoch: broker.epoch.get(),
            log_dirs: online,
            ..BrokerRegistrationChangeRecord::default()
        };
        outcome.records.push(record.into());
    }
}

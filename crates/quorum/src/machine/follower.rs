//! Following a leader: how one is learnt of, and when it is given up (KIP-595).

use vltava_wire::{ErrorCode, LeaderEpoch, NodeId};

use super::core::{Core, EPOCH_MAX, InFlight};
use super::membership::Membership;
use super::snapshot::SnapshotFetch;
use super::{AnswerKind, Machine, Role, earliest, planted};
use crate::event::{RequestId, Token};
use crate::instant::Instant;
use crate::message::{BeginQuorumEpochRequest, EndQuorumEpochRequest, SnapshotId};
use crate::voter_set::Endpoint;

/// Where fetching from the leader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetching {
    /// The next fetch goes out at this time, or once what was appended is flushed.
    Due(Instant),
    InFlight(InFlight),
}

/// A node that fetches from the leader.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) leader: NodeId,
    pub(super) fetching: Fetching,
    /// Whether the leader has answered, and gave no reason for doubt since. While it is so, this
    /// node refuses pre-votes.
    pub(super) heard: bool,
    /// Whether the leader gave reason for doubt since it answered last.
    pub(super) suspected: bool,
    /// When the leader answered last, or this node began to follow it.
    pub(super) heard_at: Instant,
    /// When the leader is given up.
    pub(super) give_up_at: Instant,
    /// Fetches that failed in a row.
    pub(super) failures: u32,
    /// The snapshot that is being fetched.
    pub(super) snapshot: Option<SnapshotFetch>,
    /// The snapshot that the driver puts in place.
    pub(super) installing: Option<SnapshotId>,
    pub(super) membership: Membership,
}

impl Follower {
    /// Whether this node knows its leader to live.
    pub(super) fn hears_leader(&self) -> bool {
        self.heard
    }

    /// The leader answered.
    pub(super) fn hear(&mut self, core: &mut Core, now: Instant) {
        self.heard = true;
        self.heard_at = now;
        self.suspected = false;
        self.failures = 0;
        self.give_up_at = now + core.fetch_wait();
        core.failed_rounds = 0;
    }

    /// Whether all that the next fetch would acknowledge is on disk.
    pub(super) fn has_flushed(&self, core: &Core) -> bool {
        let flushed = core.log.flushed() == core.log.end();
        flushed || planted!(core, AcknowledgeBeforeFlush)
    }

    /// The earliest time at which the next fetch may go out: at once if all is flushed. While a
    /// slow disk keeps it waiting, it asks now and then nevertheless, from where it has flushed, so
    /// that neither it gives up the leader nor the leader gives up itself.
    pub(super) fn fetch_from(&self, core: &Core) -> Option<Instant> {
        if self.installing.is_some() {
            return None;
        }
        let patience = self.heard_at + core.config.fetch_timeout / 2;
        Some(if self.has_flushed(core) { Instant::START } else { patience })
    }

    pub(super) fn next_deadline(&self, core: &Core) -> Option<Instant> {
        let fetch_at = match self.fetching {
            Fetching::Due(at) => self.fetch_from(core).map(|from| from.max(at)),
            Fetching::InFlight(in_flight) => Some(in_flight.deadline),
        };
        earliest([fetch_at, Some(self.give_up_at), self.membership.next_deadline(core)])
    }
}

impl Machine {
    /// Follows the leader of an epoch; waits if nobody said where it listens.
    pub(super) fn become_follower(
        &mut self,
        epoch: LeaderEpoch,
        leader: NodeId,
        endpoint: Option<Endpoint>,
        now: Instant,
    ) {
        let epoch_known = epoch == self.core.state.epoch;
        if epoch_known && matches!(self.role, Role::Unattached { .. }) {
            self.core.learn_leader(leader, endpoint.clone());
            if self.core.destination(leader).is_none() {
                // What is heard time and again of a leader that cannot be reached must not put
                // off the election.
                return;
            }
        }
        self.leave_role(now);
        self.core.enter_epoch(epoch);
        self.core.learn_leader(leader, endpoint);
        if self.core.destination(leader).is_none() {
            let election_at = now + self.core.election_wait();
            self.role = Role::Unattached { election_at };
            return;
        }
        #[cfg(feature = "planted")]
        if planted!(self.core, TruncateToHighWatermark) {
            self.core.truncate_to_high_watermark();
        }
        // What the last leader had it append may still wait for its flush.
        self.core.want_flush();
        self.role = Role::Follower(Follower {
            leader,
            fetching: Fetching::Due(now),
            heard: false,
            suspected: false,
            heard_at: now,
            give_up_at: now + self.core.fetch_wait(),
            failures: 0,
            snapshot: None,
            installing: None,
            membership: Membership::new(now),
        });
    }

    /// Gives the leader up at `until`, unless it answers before.
    pub(super) fn suspect_until(&mut self, until: Instant) {
        if let Role::Follower(follower) = &mut self.role {
            follower.heard = false;
            follower.suspected = true;
            follower.give_up_at = until;
        }
    }

    /// Has reason to think that the leader died. Votes are asked for after a short random wait, in
    /// which a leader that lives can answer the next fetch.
    pub(super) fn suspect(&mut self, now: Instant) {
        let wait = self.core.short_wait();
        let Role::Follower(follower) = &mut self.role else { return };
        if !self.core.is_electable() {
            follower.give_up_at = now;
        } else if !follower.suspected {
            follower.heard = false;
            follower.suspected = true;
            follower.give_up_at = follower.give_up_at.min(now + wait);
        }
    }

    pub(super) fn on_connection_lost(&mut self, peer: NodeId, now: Instant) {
        let retry_at = now + self.core.config.retry_backoff;
        let Role::Follower(follower) = &mut self.role else { return };
        if follower.leader == peer {
            // The fetch that is under way may have been lost with it.
            follower.fetching = Fetching::Due(retry_at);
            self.suspect(now);
        }
    }

    /// A fetch, or what else a follower asks its leader, will not be answered.
    pub(super) fn on_fetch_failed(&mut self, id: RequestId, now: Instant) {
        let Role::Follower(follower) = &mut self.role else { return };
        follower.membership.answered(id);
        if !matches!(follower.fetching, Fetching::InFlight(in_flight) if in_flight.is(id)) {
            return;
        }
        let wait = self.core.retry_wait(follower.failures);
        follower.failures = follower.failures.saturating_add(1);
        follower.fetching = Fetching::Due(now + wait);
        self.suspect(now);
    }

    /// A leader makes itself known.
    pub(super) fn on_begin_epoch(
        &mut self,
        token: Token,
        request: BeginQuorumEpochRequest,
        now: Instant,
    ) {
        let endpoint = self.own_listener(&request.endpoints);
        let error = self.meet_leader(request.leader, request.epoch, endpoint, now);
        let mistaken = request.voter != self.core.config.local;
        let error = if error.is_ok() && mistaken { ErrorCode::INVALID_VOTER_KEY } else { error };
        self.core.answer(token, AnswerKind::Begin, error);
    }

    /// The leader resigns: the first of its preferred candidates stands at once, the others a
    /// little later.
    pub(super) fn on_end_epoch(
        &mut self,
        token: Token,
        request: &EndQuorumEpochRequest,
        now: Instant,
    ) {
        let endpoint = self.own_listener(&request.endpoints);
        let error = self.meet_leader(request.leader, request.epoch, endpoint, now);
        if error.is_ok() {
            let local = self.core.config.local;
            let mut preferred = request.preferred_candidates.iter();
            let stand_at = match preferred.position(|candidate| *candidate == local) {
                Some(0) => now,
                _ => now + self.core.short_wait(),
            };
            self.suspect_until(stand_at);
        }
        self.core.answer(token, AnswerKind::End, error);
    }

    fn own_listener(&self, endpoints: &[Endpoint]) -> Option<Endpoint> {
        let name = self.core.config.listener_name.as_str();
        endpoints.iter().find(|told| told.name == *name).or(endpoints.first()).cloned()
    }

    /// Takes note of who says that it leads, or led.
    fn meet_leader(
        &mut self,
        leader: NodeId,
        epoch: LeaderEpoch,
        endpoint: Option<Endpoint>,
        now: Instant,
    ) -> ErrorCode {
        let known = self.core.state;
        if epoch < known.epoch {
            return ErrorCode::FENCED_LEADER_EPOCH;
        }
        if leader == self.core.config.local.id || epoch > EPOCH_MAX {
            return ErrorCode::INVALID_REQUEST;
        }
        if epoch == known.epoch && known.leader.is_some_and(|known| known != leader) {
            return ErrorCode::INVALID_REQUEST;
        }
        let follows = matches!(&self.role, Role::Follower(follower) if follower.leader == leader);
        if epoch > known.epoch || !follows {
            self.become_follower(epoch, leader, endpoint, now);
        } else if endpoint.is_some() {
            self.core.leader_endpoint = endpoint;
        }
        ErrorCode::NONE
    }

    pub(super) fn poll_follower(&mut self, now: Instant) {
        let Role::Follower(follower) = &mut self.role else { return };
        if now >= follower.give_up_at {
            if self.core.may_stand() {
                self.become_prospective(now);
            } else {
                self.become_unattached(self.core.state.epoch, now);
            }
            return;
        }
        self.poll_fetch(now);
        self.poll_membership(now);
    }
}

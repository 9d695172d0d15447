//! What a follower asks its leader about its own place among the voters: new endpoints
//! (UpdateRaftVoter, KIP-853), and to be added if it may vote and does not yet (KIP-1186).

use super::core::{Core, InFlight};
use super::{Machine, Role};
use crate::event::RequestId;
use crate::instant::Instant;
use crate::message::{AddVoterRequest, RemoveVoterRequest, Request, UpdateVoterRequest};
use crate::voter_set::Voter;

/// Where asking the leader for a change stands.
#[derive(Debug)]
pub(super) struct Membership {
    in_flight: Option<InFlight>,
    next_at: Instant,
    /// Whether the leader had nothing new at the last fetch, so that the voters are its own.
    pub(super) caught_up: bool,
}

impl Membership {
    pub(super) fn new(now: Instant) -> Self {
        Self { in_flight: None, next_at: now, caught_up: false }
    }

    pub(super) fn answered(&mut self, id: RequestId) {
        if self.in_flight.is_some_and(|in_flight| in_flight.is(id)) {
            self.in_flight = None;
        }
    }

    pub(super) fn next_deadline(&self, core: &Core) -> Option<Instant> {
        if let Some(in_flight) = self.in_flight {
            return Some(in_flight.deadline);
        }
        (self.caught_up && core.wanted_change().is_some()).then_some(self.next_at)
    }
}

impl Core {
    /// How the voters should change for this node's sake.
    fn wanted_change(&self) -> Option<Request> {
        let config = &self.config;
        let local = Voter::new(config.local, config.endpoints.clone());
        let voters = self.log.voters();
        if !config.can_vote || config.endpoints.is_empty() || voters.is_empty() {
            return None;
        }
        match voters.get(config.local.id) {
            Some(voter) if voter.key == config.local => {
                let moved = voter.endpoints != config.endpoints;
                let epoch = self.state.epoch;
                moved.then_some(Request::UpdateVoter(UpdateVoterRequest { epoch, voter: local }))
            }
            Some(lost) if config.auto_join => {
                Some(Request::RemoveVoter(RemoveVoterRequest { voter: lost.key }))
            }
            None if config.auto_join => Some(Request::AddVoter(AddVoterRequest {
                voter: local,
                timeout_ms: config.request_timeout.as_millis() as u32,
                ack_when_committed: false,
            })),
            _ => None,
        }
    }
}

impl Machine {
    pub(super) fn poll_membership(&mut self, now: Instant) {
        let Role::Follower(follower) = &mut self.role else { return };
        let membership = &mut follower.membership;
        if membership.in_flight.is_some_and(|in_flight| now >= in_flight.deadline) {
            membership.in_flight = None;
        }
        let idle = membership.in_flight.is_none() && now >= membership.next_at;
        if !idle || !membership.caught_up {
            return;
        }
        let Some(request) = self.core.wanted_change() else { return };
        let Some(to) = self.core.destination(follower.leader) else { return };
        membership.next_at = now + self.core.config.fetch_timeout;
        let patience = self.core.config.request_timeout;
        follower.membership.in_flight = Some(self.core.send(to, request, patience, now));
    }

    pub(super) fn on_membership_answered(&mut self, id: RequestId) {
        if let Role::Follower(follower) = &mut self.role {
            follower.membership.answered(id);
        }
    }
}

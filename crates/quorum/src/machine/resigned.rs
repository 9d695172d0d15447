//! A leader that gives way: it tells the voters, those with the longest logs to stand first
//! (EndQuorumEpoch, KIP-595), and leads no more in its epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use vltava_wire::LeaderEpoch;

use super::core::{Core, InFlight, Running};
use super::{Machine, Role, earliest};
use crate::event::RequestId;
use crate::instant::Instant;
use crate::message::{EndQuorumEpochRequest, Request};
use crate::voter_set::ReplicaKey;

/// How far telling one voter has come.
#[derive(Clone, Copy, Debug)]
enum Notice {
    Due(Instant),
    Sent(InFlight),
    Done,
}

/// A leader that resigned in this epoch.
#[derive(Debug)]
pub(super) struct Resigned {
    notices: BTreeMap<ReplicaKey, Notice>,
    preferred_candidates: Vec<ReplicaKey>,
    /// When it takes part again, or has stopped.
    until: Instant,
}

impl Resigned {
    pub(super) fn failed(&mut self, id: RequestId, retry_at: Instant) {
        if let Some(notice) = self.sent(id) {
            *notice = Notice::Due(retry_at);
        }
    }

    fn sent(&mut self, id: RequestId) -> Option<&mut Notice> {
        let mut notices = self.notices.values_mut();
        notices.find(|notice| matches!(notice, Notice::Sent(in_flight) if in_flight.is(id)))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let notices = self.notices.values().map(|notice| match notice {
            Notice::Due(at) => Some(*at),
            Notice::Sent(in_flight) => Some(in_flight.deadline),
            Notice::Done => None,
        });
        earliest(notices.chain([Some(self.until)]))
    }

    fn tell(&mut self, core: &mut Core, now: Instant) {
        for (voter, notice) in &mut self.notices {
            if matches!(notice, Notice::Sent(in_flight) if now >= in_flight.deadline) {
                *notice = Notice::Due(now);
            }
            if !matches!(notice, Notice::Due(at) if *at <= now) {
                continue;
            }
            let Some(to) = core.destination(voter.id) else {
                *notice = Notice::Done;
                continue;
            };
            let request = Request::EndQuorumEpoch(EndQuorumEpochRequest {
                leader: core.config.local.id,
                epoch: core.state.epoch,
                preferred_candidates: self.preferred_candidates.clone(),
                endpoints: core.config.endpoints.clone(),
            });
            *notice = Notice::Sent(core.send(to, request, Duration::ZERO, now));
        }
    }
}

impl Machine {
    pub(super) fn on_resign(&mut self, epoch: LeaderEpoch, now: Instant) {
        if epoch == self.core.state.epoch && matches!(self.role, Role::Leader(_)) {
            self.resign(now);
        }
    }

    /// Gives way to the voter with the longest log.
    pub(super) fn resign(&mut self, now: Instant) {
        let Role::Leader(leader) = &self.role else { return };
        let preferred_candidates = leader.successors(&self.core);
        self.become_resigned(preferred_candidates, now);
    }

    /// Leads no more, and tells those voters so.
    pub(super) fn become_resigned(&mut self, preferred: Vec<ReplicaKey>, now: Instant) {
        self.leave_role(now);
        self.role = Role::Resigned(Resigned {
            notices: preferred.iter().map(|voter| (*voter, Notice::Due(now))).collect(),
            preferred_candidates: preferred,
            until: now + self.core.election_wait(),
        });
    }

    pub(super) fn on_end_answered(&mut self, id: RequestId) {
        let Role::Resigned(resigned) = &mut self.role else { return };
        if let Some(notice) = resigned.sent(id) {
            *notice = Notice::Done;
        }
    }

    pub(super) fn poll_resigned(&mut self, now: Instant) {
        let Role::Resigned(resigned) = &mut self.role else { return };
        let told = resigned.notices.values().all(|notice| matches!(notice, Notice::Done));
        let stopping = self.core.running == Running::Stopping;
        if stopping && (told || now >= resigned.until) {
            self.core.stopped();
        } else if now >= resigned.until {
            let epoch = self.core.state.epoch;
            self.become_unattached(epoch, now);
        } else {
            resigned.tell(&mut self.core, now);
        }
    }
}

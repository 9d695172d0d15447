//! Asking for votes, and giving them (KIP-595, KIP-853, KIP-996).
//!
//! *Invariants:* a vote is given only to the first who asks in an epoch, only to one whose log is
//! no shorter than this node's, and only by a node that the request names by id *and* directory
//! id: a node that came back with an empty disk is somebody else, and cannot help to elect a
//! leader that lacks what it once acknowledged. Votes are counted among the voters of the
//! candidate's own log.

use std::collections::BTreeMap;
use std::time::Duration;

use vltava_wire::{ErrorCode, LeaderEpoch};

use super::core::{Core, EPOCH_MAX, InFlight};
use super::{AnswerKind, Machine, Role, earliest, planted};
use crate::effect::QuorumState;
use crate::event::{RequestId, Token};
use crate::instant::Instant;
use crate::message::{Request, Response, VoteRequest, VoteResponse};
use crate::voter_set::ReplicaKey;

/// Where one voter's vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ballot {
    /// To be asked for at this time.
    Due(Instant),
    Asked(InFlight),
    Granted,
    Refused,
}

/// A round of votes or pre-votes.
#[derive(Debug)]
pub(super) struct Election {
    ballots: BTreeMap<ReplicaKey, Ballot>,
    /// When the round is lost for want of answers.
    deadline: Instant,
    /// When to ask anew, once the round is lost.
    lost_until: Option<Instant>,
}

impl Election {
    fn new(core: &mut Core, now: Instant) -> Self {
        let local = core.config.local;
        let mut ballots: BTreeMap<_, _> =
            core.log.voters().keys().map(|key| (key, Ballot::Due(now))).collect();
        if let Some(own) = ballots.get_mut(&local) {
            *own = Ballot::Granted;
        }
        Self { ballots, deadline: now + core.election_wait(), lost_until: None }
    }

    /// A round that is lost from the start: a pause before the next one.
    fn pause(until: Instant) -> Self {
        Self { ballots: BTreeMap::new(), deadline: until, lost_until: Some(until) }
    }

    pub(super) fn failed(&mut self, id: RequestId, retry_at: Instant) {
        if let Some(ballot) = self.asked(id) {
            *ballot = Ballot::Due(retry_at);
        }
    }

    fn asked(&mut self, id: RequestId) -> Option<&mut Ballot> {
        self.ballots
            .values_mut()
            .find(|ballot| matches!(ballot, Ballot::Asked(in_flight) if in_flight.is(id)))
    }

    fn granted(&self) -> Vec<ReplicaKey> {
        let granted = self.ballots.iter().filter(|(_, ballot)| **ballot == Ballot::Granted);
        granted.map(|(key, _)| *key).collect()
    }

    fn is_won(&self, majority: usize) -> bool {
        self.lost_until.is_none() && self.granted().len() >= majority
    }

    fn is_lost(&self, majority: usize, now: Instant) -> bool {
        let open = self.ballots.values().filter(|ballot| **ballot != Ballot::Refused).count();
        open < majority || now >= self.deadline
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.lost_until.is_some() {
            return self.lost_until;
        }
        let ballots = self.ballots.values().map(|ballot| match ballot {
            Ballot::Due(at) => Some(*at),
            Ballot::Asked(in_flight) => Some(in_flight.deadline),
            Ballot::Granted | Ballot::Refused => None,
        });
        earliest(ballots.chain([Some(self.deadline)]))
    }

    /// Asks all who are to be asked by now.
    fn ask(&mut self, core: &mut Core, pre_vote: bool, now: Instant) {
        for (voter, ballot) in &mut self.ballots {
            if matches!(ballot, Ballot::Asked(in_flight) if now >= in_flight.deadline) {
                *ballot = Ballot::Due(now);
            }
            if !matches!(ballot, Ballot::Due(at) if *at <= now) {
                continue;
            }
            let Some(to) = core.destination(voter.id) else {
                *ballot = Ballot::Due(now + core.config.election_timeout);
                continue;
            };
            let request = Request::Vote(VoteRequest {
                voter: *voter,
                candidate: core.config.local,
                epoch: core.state.epoch,
                last_epoch: core.log.last_epoch(),
                end_offset: core.log.end(),
                pre_vote,
            });
            *ballot = Ballot::Asked(core.send(to, request, Duration::ZERO, now));
        }
    }
}

impl Machine {
    /// Answers whether this node would vote, or does vote, for the one that asks.
    pub(super) fn on_vote(&mut self, token: Token, request: &VoteRequest, now: Instant) {
        if !self.is_addressee(request) {
            self.core.answer(token, AnswerKind::Vote, ErrorCode::INVALID_VOTER_KEY);
            return;
        }
        if request.epoch > EPOCH_MAX {
            self.core.answer(token, AnswerKind::Vote, ErrorCode::INVALID_REQUEST);
            return;
        }
        if request.epoch < self.core.state.epoch {
            self.core.answer(token, AnswerKind::Vote, ErrorCode::FENCED_LEADER_EPOCH);
            return;
        }
        if request.epoch > self.core.state.epoch {
            self.become_unattached(request.epoch, now);
        }
        let log = &self.core.log;
        let ours = (log.last_epoch(), log.end());
        let up_to_date = (request.last_epoch, request.end_offset) >= ours
            || planted!(self.core, VoteForShorterLog);
        let granted = up_to_date && self.may_vote_for(request);
        if granted && !request.pre_vote {
            self.core.state.voted = Some(request.candidate);
            self.become_unattached(request.epoch, now);
        }
        let response =
            VoteResponse { error: ErrorCode::NONE, leader: self.core.leader_info(), granted };
        self.core.respond(token, Response::Vote(response));
    }

    /// Whether the request means this node, in this directory.
    ///
    /// A node that does not know itself to be a voter may still be asked: the candidate's log can
    /// hold a newer voter set. What counts is that the candidate names it by its directory.
    fn is_addressee(&self, request: &VoteRequest) -> bool {
        let local = self.core.config.local;
        let same_node = request.voter.id == local.id;
        if planted!(self.core, IgnoreDirectoryId) && same_node {
            return true;
        }
        #[cfg(feature = "planted")]
        if planted!(self.core, EmptyDiskVotes) && same_node && !self.core.is_voter() {
            return true;
        }
        self.core.config.can_vote && request.voter == local
    }

    fn may_vote_for(&self, request: &VoteRequest) -> bool {
        if request.pre_vote {
            return match &self.role {
                Role::Leader(_) => false,
                Role::Follower(follower) => {
                    !follower.hears_leader() || planted!(self.core, GrantPreVoteAlways)
                }
                _ => true,
            };
        }
        let QuorumState { leader, voted, .. } = self.core.state;
        let free = voted.is_none_or(|voted| voted == request.candidate);
        leader.is_none() && (free || planted!(self.core, VoteTwice))
    }

    /// Asks for pre-votes in the epoch that this node is in.
    pub(super) fn become_prospective(&mut self, now: Instant) {
        if planted!(self.core, SkipPreVote) {
            self.become_candidate(now);
            return;
        }
        self.leave_role(now);
        self.core.discovery_later(now);
        self.role = Role::Prospective(Election::new(&mut self.core, now));
    }

    fn become_candidate(&mut self, now: Instant) {
        let present = self.core.state.epoch;
        if present >= EPOCH_MAX {
            // To stand in an epoch twice could take back a vote that was given in it.
            self.lose_round(true, now);
            return;
        }
        self.leave_role(now);
        self.core.enter_epoch(LeaderEpoch(present.get() + 1));
        self.core.state.voted = Some(self.core.config.local);
        self.role = Role::Candidate(Election::new(&mut self.core, now));
    }

    pub(super) fn poll_election(&mut self, now: Instant) {
        let (election, pre_vote) = match &mut self.role {
            Role::Prospective(election) => (election, true),
            Role::Candidate(election) => (election, false),
            _ => return,
        };
        if !self.core.may_stand() {
            self.become_unattached(self.core.state.epoch, now);
            return;
        }
        if let Some(until) = election.lost_until {
            if now >= until {
                self.become_prospective(now);
            } else {
                self.core.poll_discovery(now);
            }
            return;
        }
        let majority = self.core.log.voters().majority();
        if election.is_won(majority) {
            let granted = election.granted();
            if pre_vote { self.become_candidate(now) } else { self.become_leader(now, granted) }
        } else if election.is_lost(majority, now) {
            self.lose_round(pre_vote, now);
        } else {
            election.ask(&mut self.core, pre_vote, now);
            if pre_vote {
                self.core.poll_discovery(now);
            }
        }
    }

    /// Waits before the next round. A node whose epoch has a leader goes back to fetching from it
    /// meanwhile: it may be well, and only the connection was lost.
    fn lose_round(&mut self, pre_vote: bool, now: Instant) {
        self.core.failed_rounds = self.core.failed_rounds.saturating_add(1);
        let until = now + self.core.round_wait();
        let epoch = self.core.state.epoch;
        let leader = self.core.state.leader.filter(|_| pre_vote && !self.core.led_before());
        if let Some(leader) = leader {
            let endpoint = self.core.leader_endpoint.clone();
            self.become_follower(epoch, leader, endpoint, now);
            self.suspect_until(until);
        } else {
            self.leave_role(now);
            self.core.discovery_later(now);
            self.role = Role::Prospective(Election::pause(until));
        }
    }

    /// Counts an answer to a request for a vote.
    pub(super) fn on_ballot(&mut self, id: RequestId, response: &VoteResponse, now: Instant) {
        let retry_at = now + self.core.config.election_jitter.1;
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else {
            return;
        };
        let Some(ballot) = election.asked(id) else { return };
        *ballot = match response.error {
            ErrorCode::NONE if response.granted => Ballot::Granted,
            ErrorCode::NONE | ErrorCode::INVALID_VOTER_KEY | ErrorCode::FENCED_LEADER_EPOCH => {
                Ballot::Refused
            }
            _ => Ballot::Due(retry_at),
        };
    }
}

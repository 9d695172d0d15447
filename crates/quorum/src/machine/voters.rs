//! Changing the voters: one at a time, each a record in the log that counts as soon as it is
//! appended (KIP-853).
//!
//! *Invariants:* a change begins only if the last one is committed and a record of this epoch is
//! too, so that any two voter sets that can elect at one time share a majority; a new voter has
//! caught up before it counts.

use std::time::Duration;

use vltava_wire::{ErrorCode, Offset};

use super::core::Core;
use super::leader::Leader;
use super::{AnswerKind, Machine, Role, planted};
use crate::event::Token;
use crate::instant::Instant;
use crate::message::{AddVoterRequest, ControlRecord, RemoveVoterRequest, UpdateVoterRequest};
use crate::voter_set::{VOTERS_MAX, Voter, VoterSet};

/// The version of `kraft.version` from which voters have directory ids.
const KRAFT_VERSION: i16 = 1;

/// How far a change has come.
#[derive(Debug)]
enum Step {
    /// The voter to be is still behind.
    CatchUp { voter: Voter, ack_when_committed: bool },
    /// The record at this offset is not committed yet.
    Commit { offset: Offset },
}

/// A change of the voters that somebody waits for.
#[derive(Debug)]
pub(super) struct VoterChange {
    /// Whom to answer, unless the sender is gone.
    token: Option<Token>,
    kind: AnswerKind,
    step: Step,
    until: Instant,
}

impl VoterChange {
    pub(super) fn deadline(&self) -> Instant {
        self.until
    }

    pub(super) fn forget(&mut self, token: Token) {
        if self.token == Some(token) {
            self.token = None;
        }
    }

    pub(super) fn answer(self, core: &mut Core, error: ErrorCode) {
        if let Some(token) = self.token {
            core.answer(token, self.kind, error);
        }
    }
}

impl Core {
    /// The records that a leader writes after its LeaderChange: the founding voters, which until
    /// then are in the bootstrap snapshot alone, and its own endpoints if they changed.
    pub(super) fn founding_records(&self) -> Vec<ControlRecord> {
        let local = Voter::new(self.config.local, self.config.endpoints.clone());
        let voters = self.log.voters();
        let known = voters.get(local.key.id);
        let listens = !local.endpoints.is_empty();
        let moved = listens && known.is_some_and(|known| known.endpoints != local.endpoints);
        let founding = self.log.voters_offset().is_none_or(|offset| offset < Offset::ZERO);
        let voters = if moved { voters.with(local) } else { voters.clone() };
        match (founding, moved) {
            (true, _) => {
                vec![ControlRecord::KRaftVersion(KRAFT_VERSION), ControlRecord::Voters(voters)]
            }
            (false, true) => vec![ControlRecord::Voters(voters)],
            (false, false) => Vec::new(),
        }
    }
}

impl Leader {
    /// Whether a change of the voters may begin.
    fn check_change(&self, core: &Core) -> Result<(), ErrorCode> {
        let committed = core.log.voters_offset() < core.high_watermark;
        let settled = self.change.is_none() && committed && self.is_established(core);
        if settled || planted!(core, OverlappingChanges) {
            Ok(())
        } else {
            Err(ErrorCode::REQUEST_TIMED_OUT)
        }
    }

    fn change_voters(
        &mut self,
        core: &mut Core,
        token: Token,
        kind: AnswerKind,
        voters: VoterSet,
        now: Instant,
    ) {
        core.append_control(vec![ControlRecord::Voters(voters)]);
        let offset = core.log.end() + -1;
        let until = now + core.config.request_timeout;
        let step = Step::Commit { offset };
        self.change = Some(VoterChange { token: Some(token), kind, step, until });
    }

    /// Takes the change that is under way as far as it goes.
    pub(super) fn poll_change(&mut self, core: &mut Core, now: Instant) {
        let Some(mut change) = self.change.take() else { return };
        match &change.step {
            Step::Commit { offset } if Some(*offset) < core.high_watermark => {
                change.answer(core, ErrorCode::NONE);
                return;
            }
            Step::CatchUp { voter, ack_when_committed } => {
                let within = core.config.fetch_timeout;
                let replica = self.knows(voter);
                if replica.is_some_and(|replica| replica.is_caught_up(within, now)) {
                    let voters = core.log.voters().with(voter.clone());
                    let ack_now = !ack_when_committed;
                    core.append_control(vec![ControlRecord::Voters(voters)]);
                    change.step = Step::Commit { offset: core.log.end() + -1 };
                    if ack_now && let Some(token) = change.token.take() {
                        core.answer(token, change.kind, ErrorCode::NONE);
                    }
                }
            }
            Step::Commit { .. } => {}
        }
        if now >= change.until {
            change.answer(core, ErrorCode::REQUEST_TIMED_OUT);
        } else {
            self.change = Some(change);
        }
    }
}

impl Machine {
    pub(super) fn on_add_voter(&mut self, token: Token, request: AddVoterRequest, now: Instant) {
        let kind = AnswerKind::Add;
        let Role::Leader(leader) = &mut self.role else {
            self.core.answer(token, kind, ErrorCode::NOT_LEADER_OR_FOLLOWER);
            return;
        };
        let voters = self.core.log.voters();
        let known = voters.get(request.voter.key.id).is_some();
        let sound = !request.voter.key.directory_id.is_zero()
            && request.voter.key.id.get() >= 0
            && request.voter.is_sound()
            && voters.len() < VOTERS_MAX;
        let checked = match leader.check_change(&self.core) {
            _ if !sound => Err(ErrorCode::INVALID_REQUEST),
            Ok(()) if known => Err(ErrorCode::DUPLICATE_VOTER),
            checked => checked,
        };
        if let Err(error) = checked {
            self.core.answer(token, kind, error);
            return;
        }
        // Whatever the request says: no other change begins meanwhile, and answers to what came
        // over the same connection wait behind this one.
        let patience = Duration::from_millis(u64::from(request.timeout_ms));
        let patience = patience.min(self.core.config.request_timeout);
        let AddVoterRequest { voter, ack_when_committed, .. } = request;
        let step = Step::CatchUp { voter, ack_when_committed };
        let until = now + patience;
        leader.change = Some(VoterChange { token: Some(token), kind, step, until });
    }

    pub(super) fn on_remove_voter(
        &mut self,
        token: Token,
        request: &RemoveVoterRequest,
        now: Instant,
    ) {
        let kind = AnswerKind::Remove;
        let Role::Leader(leader) = &mut self.role else {
            self.core.answer(token, kind, ErrorCode::NOT_LEADER_OR_FOLLOWER);
            return;
        };
        let voters = self.core.log.voters();
        let checked = match leader.check_change(&self.core) {
            Ok(()) if !voters.contains(request.voter) => Err(ErrorCode::VOTER_NOT_FOUND),
            Ok(()) if voters.len() == 1 => Err(ErrorCode::INVALID_REQUEST),
            checked => checked,
        };
        match checked {
            Ok(()) => {
                let voters = voters.without(request.voter.id);
                leader.change_voters(&mut self.core, token, kind, voters, now);
            }
            Err(error) => self.core.answer(token, kind, error),
        }
    }

    pub(super) fn on_update_voter(
        &mut self,
        token: Token,
        request: UpdateVoterRequest,
        now: Instant,
    ) {
        let kind = AnswerKind::Update;
        let checked = self.check_leader_request(request.epoch);
        let (Ok(()), Role::Leader(leader)) = (checked, &mut self.role) else {
            let error = checked.err().unwrap_or(ErrorCode::NOT_LEADER_OR_FOLLOWER);
            self.core.answer(token, kind, error);
            return;
        };
        let voters = self.core.log.voters();
        let key = request.voter.key;
        let checked = match leader.check_change(&self.core) {
            _ if !request.voter.is_sound() => Err(ErrorCode::INVALID_REQUEST),
            Ok(()) if !voters.contains(key) => Err(ErrorCode::VOTER_NOT_FOUND),
            checked => checked,
        };
        match checked {
            Ok(()) if voters.get(key.id) == Some(&request.voter) => {
                self.core.answer(token, kind, ErrorCode::NONE);
            }
            Ok(()) => {
                let voters = voters.with(request.voter);
                leader.change_voters(&mut self.core, token, kind, voters, now);
            }
            Err(error) => self.core.answer(token, kind, error),
        }
    }
}

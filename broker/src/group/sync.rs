//! SyncGroup and Heartbeat: members get their assignments, and stay alive.

use std::collections::HashMap;

use bytes::Bytes;
use vltava_wire::messages::SyncGroupResponse;
use vltava_wire::{ErrorCode, Str};

use super::calls::{HeartbeatCall, SyncCall};
use super::desk::{Desk, Reply, Then, Token};
use super::state::{Group, GroupState, sync_error};

impl Group {
    /// Gives a member its assignment, now or once the leader has brought it.
    pub(super) fn sync(&mut self, token: Token, call: &SyncCall, desk: &mut Desk) {
        let outcome = match self.validate_sync(call) {
            Ok(()) => match self.state {
                GroupState::CompletingRebalance => return self.sync_completing(token, call, desk),
                GroupState::Stable => {
                    self.note_sync(&call.member_id);
                    Ok(self.synced(&call.member_id))
                }
                GroupState::PreparingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
                GroupState::Empty | GroupState::Dead => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            },
            Err(code) => Err(code),
        };
        desk.reply(token, Reply::Sync(outcome.unwrap_or_else(sync_error)));
    }

    fn validate_sync(&self, call: &SyncCall) -> Result<(), ErrorCode> {
        self.validate_member(&call.member_id, call.instance_id.as_ref())?;
        if call.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |theirs: &Option<Str>, ours: &Option<Str>| {
            theirs.as_ref().zip(ours.as_ref()).is_some_and(|(theirs, ours)| theirs != ours)
        };
        if differs(&call.protocol_type, &self.protocol_type)
            || differs(&call.protocol, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    fn synced(&self, member_id: &str) -> SyncGroupResponse {
        let member = self.members.get(member_id);
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: member.map(|member| member.assignment.clone()).unwrap_or_default(),
            ..Default::default()
        }
    }

    /// A member has asked for its assignment: it is not waited for any more.
    fn note_sync(&mut self, member_id: &str) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            self.sync_deadline.clear();
        }
    }

    fn sync_completing(&mut self, token: Token, call: &SyncCall, desk: &mut Desk) {
        let again = sync_error(ErrorCode::REBALANCE_IN_PROGRESS);
        self.answer_sync(&call.member_id, again, desk);
        if let Some(member) = self.members.get_mut(&call.member_id) {
            member.awaiting_sync = Some(token);
        }
        self.note_sync(&call.member_id);
        if !self.is_leader(&call.member_id) {
            return;
        }
        tracing::info!(
            group = %self.id, generation = self.generation, member = %call.member_id,
            members = self.members.len(), "assignment received"
        );
        let given: HashMap<&Str, &Bytes> =
            call.assignments.iter().map(|(member, assignment)| (member, assignment)).collect();
        let assignment =
            |id: &Str| given.get(id).map(|bytes| Bytes::copy_from_slice(bytes)).unwrap_or_default();
        let assignments: Vec<_> =
            self.members.keys().map(|id| (id.clone(), assignment(id))).collect();
        let record = self.to_record(|member| assignment(&member.id));
        let then =
            Then::Assignment { group: self.id.clone(), generation: self.generation, assignments };
        desk.append(vec![record], then, None);
    }

    /// The assignments of a generation are stored: everybody may have theirs.
    pub(super) fn assignment_stored(
        &mut self,
        generation: i32,
        assignments: Vec<(Str, Bytes)>,
        desk: &mut Desk,
    ) {
        if !self.is(GroupState::CompletingRebalance) || self.generation != generation {
            return;
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.transition(GroupState::Stable, desk);
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.synced(&id);
            if self.answer_sync(&id, response, desk) {
                self.renew_session(&id, desk);
            }
        }
    }

    /// The assignments of a generation could not be stored: everybody is to join again.
    pub(super) fn assignment_lost(&mut self, generation: i32, code: ErrorCode, desk: &mut Desk) {
        if !self.is(GroupState::CompletingRebalance) || self.generation != generation {
            return;
        }
        self.withdraw_assignment(code, desk);
        self.rebalance_or_complete("the assignment could not be stored", desk);
    }

    /// A member is alive; it learns whether it should join again.
    pub(super) fn heartbeat(
        &mut self,
        call: &HeartbeatCall,
        desk: &mut Desk,
    ) -> Result<(), ErrorCode> {
        self.validate_member(&call.member_id, call.instance_id.as_ref())?;
        if call.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            GroupState::PreparingRebalance => {
                self.renew_session(&call.member_id, desk);
                Err(ErrorCode::REBALANCE_IN_PROGRESS)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.renew_session(&call.member_id, desk);
                Ok(())
            }
        }
    }
}

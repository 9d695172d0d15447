//! LeaveGroup: members leave by their own or an operator's will.

use vltava_wire::messages::leave_group::{LeaveGroupResponse, MemberResponse};
use vltava_wire::{ErrorCode, Str};

use super::calls::{LeaveCall, Leaver};
use super::desk::{Desk, Reply, Token};
use super::state::{Group, GroupState};

/// What one who is to leave is told.
pub(super) fn told(leaver: &Leaver, code: ErrorCode) -> MemberResponse {
    MemberResponse {
        member_id: leaver.member_id.clone(),
        group_instance_id: leaver.instance_id.clone(),
        error_code: code,
    }
}

/// The answer where there is no such group: no member is known.
pub(super) fn unknown(call: &LeaveCall) -> LeaveGroupResponse {
    let unknown = |leaver| told(leaver, ErrorCode::UNKNOWN_MEMBER_ID);
    LeaveGroupResponse { members: call.members.iter().map(unknown).collect(), ..Default::default() }
}

impl Group {
    /// Removes members, and rebalances the group if any did leave.
    pub(super) fn leave(&mut self, token: Token, call: &LeaveCall, desk: &mut Desk) {
        let mut response = LeaveGroupResponse::default();
        for leaver in &call.members {
            let code = match self.leaver_id(leaver) {
                Ok(id) => {
                    let reason = leaver.reason.as_deref().unwrap_or("not provided");
                    tracing::info!(group = %self.id, member = %id, reason, "member left");
                    self.remove(&id, desk);
                    ErrorCode::NONE
                }
                Err(code) => code,
            };
            response.members.push(told(leaver, code));
        }
        let left = response.members.iter().any(|member| member.error_code.is_ok());
        let ticket = match self.state {
            _ if !left => None,
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.rebalance_or_complete("explicit LeaveGroup", desk)
            }
            GroupState::PreparingRebalance => self.complete_if_all_joined(desk),
            GroupState::Empty | GroupState::Dead => None,
        };
        let reply = Reply::Leave(response);
        match ticket {
            Some(ticket) => desk.reply_after(ticket, token, reply),
            None => desk.reply(token, reply),
        }
    }

    /// The id of the member that is to leave; an operator names static members by their own name.
    fn leaver_id(&self, leaver: &Leaver) -> Result<Str, ErrorCode> {
        if leaver.member_id.is_empty() {
            let owner = leaver.instance_id.as_ref().and_then(|name| self.static_members.get(name));
            return owner.cloned().ok_or(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if !self.pending_join.contains_key(&leaver.member_id) {
            self.validate_member(&leaver.member_id, leaver.instance_id.as_ref())?;
        }
        Ok(leaver.member_id.clone())
    }
}

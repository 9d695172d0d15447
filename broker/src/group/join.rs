//! JoinGroup: a member enters a group, or comes back to it.

use vltava_wire::{ErrorCode, Str};

use super::calls::JoinCall;
use super::config::{PENDING_MEMBERS_MAX, PROTOCOL_BYTES_MAX, PROTOCOLS_BYTES_MAX, PROTOCOLS_MAX};
use super::desk::{Desk, Reply, StaticRejoin, Then, Token};
use super::member::{Member, detached};
use super::state::{Group, GroupState, join_error};
use super::timer::{Deadline, Due};

/// The first version whose new members must come back with the id that they are given.
pub(super) const MEMBER_ID_REQUIRED_SINCE: i16 = 4;

/// The first version that can tell a leader to leave the assignment as it is.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

/// Checks what does not depend on the group.
pub(super) fn validate(call: &JoinCall, desk: &Desk) -> Result<(), ErrorCode> {
    let config = &desk.config;
    let session = config.min_session_timeout_ms..=config.max_session_timeout_ms;
    if !session.contains(&call.session_timeout_ms) {
        return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    let sizes = call.protocols.iter().map(|(name, data)| name.len() + data.len());
    if call.protocols.len() > PROTOCOLS_MAX
        || sizes.clone().sum::<usize>() > PROTOCOLS_BYTES_MAX
        || sizes.max() > Some(PROTOCOL_BYTES_MAX)
    {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    Ok(())
}

fn refuse(token: Token, member_id: &str, code: ErrorCode, desk: &mut Desk) {
    desk.reply(token, Reply::Join(join_error(member_id, code)));
}

fn reason(call: &JoinCall) -> &str {
    call.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("not provided")
}

/// A new member's id: the static member's own name, or the client's, and something unique.
fn member_id(call: &JoinCall) -> Str {
    let name = call.instance_id.as_ref().unwrap_or(&call.client_id);
    // The version and variant of a random UUID, as Java's has them.
    let bits = (call.random & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let (a, b, c) = (&hex[..8], &hex[8..12], &hex[12..16]);
    let (d, e) = (&hex[16..20], &hex[20..]);
    Str::from(format!("{name}-{a}-{b}-{c}-{d}-{e}"))
}

impl Group {
    /// Lets a member in, or has it wait for the others.
    pub(super) fn join(&mut self, token: Token, call: &JoinCall, desk: &mut Desk) {
        if !self.has_room_for(&call.member_id, desk) {
            self.remove(&call.member_id, desk);
            refuse(token, "", ErrorCode::GROUP_MAX_SIZE_REACHED, desk);
            // The others may have waited for this one alone.
            self.complete_if_all_joined(desk);
            return;
        }
        if !self.supports(&call.protocol_type, &call.protocols) {
            refuse(token, &call.member_id, ErrorCode::INCONSISTENT_GROUP_PROTOCOL, desk);
            return;
        }
        match (call.member_id.is_empty(), &call.instance_id) {
            (true, Some(instance)) => self.join_static(token, call, instance, desk),
            (true, None) => self.join_dynamic(token, call, desk),
            (false, _) => self.join_again(token, call, desk),
        }
    }

    /// Whether the group may grow by this one, counting those only who are there.
    fn has_room_for(&self, member_id: &str, desk: &Desk) -> bool {
        let max = usize::try_from(desk.config.max_size).unwrap_or(0);
        let member = self.members.get(member_id);
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(|member| member.awaiting_join.is_some())
                    || self.awaiting_join < max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.members.len() < max
            }
        }
    }

    fn join_dynamic(&mut self, token: Token, call: &JoinCall, desk: &mut Desk) {
        let id = member_id(call);
        if call.version < MEMBER_ID_REQUIRED_SINCE {
            return self.enter(token, id, call, desk);
        }
        if self.pending_join.len() >= PENDING_MEMBERS_MAX {
            return refuse(token, "", ErrorCode::GROUP_MAX_SIZE_REACHED, desk);
        }
        tracing::debug!(group = %self.id, member = %id, "new member is to rejoin with its id");
        let mut deadline = Deadline::default();
        let due = || Due::Member { group: self.id.clone(), member: id.clone() };
        deadline.set(desk.now.after(call.session_timeout_ms), &mut desk.timers, due);
        self.pending_join.insert(id.clone(), deadline);
        refuse(token, &id, ErrorCode::MEMBER_ID_REQUIRED, desk);
    }

    fn join_static(&mut self, token: Token, call: &JoinCall, instance: &Str, desk: &mut Desk) {
        let id = member_id(call);
        match self.static_members.get(instance).cloned() {
            Some(old) => self.come_back_static(token, call, (old, id), desk),
            None => self.enter(token, id, call, desk),
        }
    }

    /// Adds a member, which rebalances the group.
    fn enter(&mut self, token: Token, id: Str, call: &JoinCall, desk: &mut Desk) {
        if self.is(GroupState::PreparingRebalance) && self.previous == GroupState::Empty {
            self.new_member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(call.protocol_type.detach());
        }
        let mut member = Member::joining(id.clone(), call);
        member.awaiting_join = Some(token);
        self.add(member);
        // Its client may have gone before the group answers; but the group may take long, too.
        self.watch(&id, desk.config.new_member_join_timeout_ms, desk);
        let reason = format!("new member {id} joins; client reason: {}", reason(call));
        self.rebalance_or_complete(&reason, desk);
    }

    fn join_again(&mut self, token: Token, call: &JoinCall, desk: &mut Desk) {
        let id = &call.member_id;
        let is_static = call.instance_id.is_some();
        if self.pending_join.contains_key(id) && !is_static {
            return self.enter(token, id.detach(), call, desk);
        }
        if let Err(code) = self.validate_member(id, call.instance_id.as_ref()) {
            let mut response = join_error(id, code);
            response.protocol_name = None;
            return desk.reply(token, Reply::Join(response));
        }
        let same = self.members.get(id).is_some_and(|member| member.protocols == call.protocols);
        match self.state {
            GroupState::CompletingRebalance if same => {
                // It did not get the answer to its last JoinGroup.
                let response = self.joined(id, self.is_leader(id));
                desk.reply(token, Reply::Join(response));
            }
            GroupState::Stable if same && !self.is_leader(id) => {
                let response = self.joined(id, false);
                desk.reply(token, Reply::Join(response));
            }
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => self.come_back(token, call, desk),
            GroupState::Empty | GroupState::Dead => {
                refuse(token, id, ErrorCode::UNKNOWN_MEMBER_ID, desk);
            }
        }
    }

    fn come_back(&mut self, token: Token, call: &JoinCall, desk: &mut Desk) {
        let protocols = detached(&call.protocols);
        let (rebalance, session) = (call.rebalance_timeout_ms, call.session_timeout_ms);
        self.update(&call.member_id, protocols, rebalance, session, Some(token), desk);
        let (state, id) = (self.state, &call.member_id);
        let reason = format!("member {id} rejoins in {state}; client reason: {}", reason(call));
        self.rebalance_or_complete(&reason, desk);
    }

    /// A static member has restarted, and lost its id but not its place. If the group is stable
    /// and would choose the same protocol, nobody else need notice.
    fn come_back_static(
        &mut self,
        token: Token,
        call: &JoinCall,
        (old_id, new_id): (Str, Str),
        desk: &mut Desk,
    ) {
        let old_leader = self.leader_or_empty();
        let instance = call.instance_id.as_ref().map(Str::detach).unwrap_or_default();
        self.replace_static(&instance, &old_id, &new_id, desk);
        self.renew_session(&new_id, desk);
        let member = &self.members[&new_id];
        let undo = StaticRejoin {
            group: self.id.clone(),
            instance_id: instance,
            token,
            version: call.version,
            old_id,
            new_id: new_id.clone(),
            old_leader,
            old_protocols: member.protocols.clone(),
            old_rebalance_timeout_ms: member.rebalance_timeout_ms,
            old_session_timeout_ms: member.session_timeout_ms,
        };
        let protocols = detached(&call.protocols);
        let (rebalance, session) = (call.rebalance_timeout_ms, call.session_timeout_ms);
        self.update(&new_id, protocols, rebalance, session, Some(token), desk);
        match self.state {
            GroupState::Stable if self.select_protocol() == self.protocol => {
                let record = self.to_record(|member| member.assignment.clone());
                desk.append(vec![record], Then::StaticRejoin(Box::new(undo)), None);
            }
            GroupState::Stable | GroupState::CompletingRebalance => {
                let reason = format!("static member {new_id} is back: {}", reason(call));
                self.prepare_rebalance(&reason, desk);
            }
            _ => {
                self.complete_if_all_joined(desk);
            }
        }
    }

    /// The new id of a static member is stored: it may go on with the assignment that it had.
    pub(super) fn static_rejoin_stored(&mut self, rejoin: &StaticRejoin, desk: &mut Desk) {
        let id = &rejoin.new_id;
        if !self.waits_with(id, rejoin.token) {
            return;
        }
        let mut response = self.joined(id, false);
        if rejoin.version >= SKIP_ASSIGNMENT_SINCE {
            let leads = self.is_leader(id) && !self.is(GroupState::PreparingRebalance);
            response = self.joined(id, leads);
            response.skip_assignment = leads;
        } else {
            // A client that cannot skip the assignment must not believe that it leads.
            response.leader = rejoin.old_leader.clone();
        }
        self.answer_join(id, response, desk);
    }

    /// The new id of a static member could not be stored: the old one holds.
    pub(super) fn undo_static_rejoin(
        &mut self,
        rejoin: StaticRejoin,
        code: ErrorCode,
        desk: &mut Desk,
    ) {
        let StaticRejoin { instance_id, old_id, new_id, token, .. } = &rejoin;
        if !self.waits_with(new_id, *token) {
            return;
        }
        let mut response = self.joined(&Str::default(), false);
        response.leader = rejoin.old_leader.clone();
        response.error_code = code;
        self.answer_join(new_id, response, desk);
        let (rebalance, session) = (rejoin.old_rebalance_timeout_ms, rejoin.old_session_timeout_ms);
        self.update(new_id, rejoin.old_protocols.clone(), rebalance, session, None, desk);
        self.replace_static(instance_id, new_id, old_id, desk);
        self.renew_session(old_id, desk);
    }

    fn waits_with(&self, member_id: &str, token: Token) -> bool {
        let member = self.members.get(member_id);
        member.is_some_and(|member| member.awaiting_join == Some(token))
    }
}

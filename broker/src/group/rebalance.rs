//! The join phase: how it begins, how it ends, and who is left behind.

use vltava_wire::{ErrorCode, Str};

use super::desk::{Desk, Then, Ticket};
use super::state::{Group, GroupState, InitialDelay, sync_error};
use super::timer::Due;

impl Group {
    /// Begins a join phase, or ends the present one if nobody is missing.
    pub(super) fn rebalance_or_complete(
        &mut self,
        reason: &str,
        desk: &mut Desk,
    ) -> Option<Ticket> {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance | GroupState::Empty => {
                self.prepare_rebalance(reason, desk)
            }
            GroupState::PreparingRebalance | GroupState::Dead => self.complete_if_all_joined(desk),
        }
    }

    /// Begins a join phase. That of an empty group waits a while for more members.
    pub(super) fn prepare_rebalance(&mut self, reason: &str, desk: &mut Desk) -> Option<Ticket> {
        if self.is(GroupState::CompletingRebalance) {
            self.withdraw_assignment(ErrorCode::REBALANCE_IN_PROGRESS, desk);
        }
        self.pending_sync.clear();
        self.sync_deadline.clear();
        tracing::info!(
            group = %self.id, state = %self.state, generation = self.generation, reason,
            "preparing to rebalance"
        );
        let initial = self.is(GroupState::Empty);
        self.transition(GroupState::PreparingRebalance, desk);
        if initial {
            let delay_ms = desk.config.initial_rebalance_delay_ms;
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.initial_delay = Some(InitialDelay { delay_ms, remaining_ms });
            self.new_member_added = false;
            self.schedule_join(delay_ms, desk);
            return None;
        }
        self.initial_delay = None;
        if self.all_joined() {
            return self.complete_join(desk);
        }
        self.schedule_join(self.rebalance_timeout_ms(), desk);
        None
    }

    fn schedule_join(&mut self, ms: i32, desk: &mut Desk) {
        let due = || Due::Join(self.id.clone());
        self.join_deadline.set(desk.now.after(ms), &mut desk.timers, due);
    }

    /// Ends the join phase if nobody is missing. The first one of a group ends by its delay only.
    pub(super) fn complete_if_all_joined(&mut self, desk: &mut Desk) -> Option<Ticket> {
        let waiting_for_more = self.previous == GroupState::Empty;
        if !self.is(GroupState::PreparingRebalance) || waiting_for_more || !self.all_joined() {
            return None;
        }
        self.complete_join(desk)
    }

    /// The time of a join phase is over.
    pub(super) fn on_join_due(&mut self, entry: u64, desk: &mut Desk) {
        let due = || Due::Join(self.id.clone());
        if !self.join_deadline.reached(entry, desk.now.mono, &mut desk.timers, due) {
            return;
        }
        if !self.is(GroupState::PreparingRebalance) {
            return;
        }
        match self.initial_delay {
            Some(delay) if self.new_member_added && delay.remaining_ms > 0 => {
                self.new_member_added = false;
                let delay_ms = desk.config.initial_rebalance_delay_ms.min(delay.remaining_ms);
                let remaining_ms = (delay.remaining_ms - delay.delay_ms).max(0);
                self.initial_delay = Some(InitialDelay { delay_ms, remaining_ms });
                self.schedule_join(delay_ms, desk);
            }
            _ => {
                self.complete_join(desk);
            }
        }
    }

    /// Ends the join phase: those who have not come back are out, except static members, and all
    /// others learn of the new generation.
    pub(super) fn complete_join(&mut self, desk: &mut Desk) -> Option<Ticket> {
        self.join_deadline.clear();
        let missing = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none());
        let missing: Vec<Str> = missing.map(|member| member.id.clone()).collect();
        if !missing.is_empty() {
            tracing::info!(group = %self.id, ?missing, "removed members who did not rejoin");
            missing.iter().for_each(|member| self.remove(member, desk));
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members are left, and none of them has come back: try again.
            tracing::warn!(group = %self.id, "nobody rejoined; waiting for static members");
            self.schedule_join(self.rebalance_timeout_ms(), desk);
            return None;
        }
        self.initial_delay = None;
        self.next_generation(desk);
        if self.is(GroupState::Empty) {
            tracing::info!(group = %self.id, generation = self.generation, "group is empty");
            let record = self.to_record(|_| bytes::Bytes::new());
            return Some(desk.append(vec![record], Then::Nothing, None));
        }
        tracing::info!(
            group = %self.id, generation = self.generation, members = self.members.len(),
            "stabilized group"
        );
        self.announce_generation(desk);
        None
    }

    /// Answers all who wait with a JoinGroup, and waits for their SyncGroups.
    fn announce_generation(&mut self, desk: &mut Desk) {
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined(&id, self.is_leader(&id));
            self.answer_join(&id, response, desk);
            self.renew_session(&id, desk);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.pending_sync.insert(id);
        }
        let at = desk.now.after(self.rebalance_timeout_ms());
        let due = || Due::Sync(self.id.clone());
        self.sync_deadline.set(at, &mut desk.timers, due);
    }

    /// Makes one who has joined the leader, if the leader has not; says whether there is one.
    fn elect_joined_leader(&mut self) -> bool {
        let joined =
            |id: &Str| self.members.get(id).is_some_and(|member| member.awaiting_join.is_some());
        match &self.leader {
            None => false,
            Some(leader) if joined(leader) => true,
            Some(leader) => {
                let found = self.members.keys().find(|id| joined(id)).cloned();
                let Some(found) = found else { return false };
                tracing::info!(group = %self.id, old = %leader, new = %found, "leader replaced");
                self.leader = Some(found);
                true
            }
        }
    }

    fn next_generation(&mut self, desk: &mut Desk) {
        // A generation counts up for ever; Kafka's wraps as Java's integers do.
        self.generation = self.generation.wrapping_add(1);
        self.protocol = self.select_protocol();
        self.subscribed = self.compute_subscribed();
        let next = match self.members.is_empty() {
            true => GroupState::Empty,
            false => GroupState::CompletingRebalance,
        };
        self.transition(next, desk);
        self.pending_sync.clear();
    }

    /// Takes back all assignments and tells those who wait for one.
    pub(super) fn withdraw_assignment(&mut self, code: ErrorCode, desk: &mut Desk) {
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = bytes::Bytes::new();
            }
            if self.answer_sync(&id, sync_error(code), desk) {
                self.renew_session(&id, desk);
            }
        }
    }

    /// A member has not been heard of for its session timeout, or one that was given an id has
    /// not come back.
    pub(super) fn on_member_due(&mut self, member_id: &Str, entry: u64, desk: &mut Desk) {
        let group = self.id.clone();
        let due = || Due::Member { group, member: member_id.clone() };
        if let Some(deadline) = self.pending_join.get_mut(member_id) {
            if deadline.reached(entry, desk.now.mono, &mut desk.timers, due) {
                tracing::info!(group = %self.id, member = %member_id, "pending member expired");
                self.remove(member_id, desk);
                self.complete_if_all_joined(desk);
            }
            return;
        }
        let Some(member) = self.members.get_mut(member_id) else { return };
        let passed = member.session.reached(entry, desk.now.mono, &mut desk.timers, due);
        if passed && !member.waits() {
            tracing::info!(group = %self.id, member = %member_id, "member failed");
            self.remove(member_id, desk);
            self.rebalance_or_complete("a member's session expired", desk);
        }
    }

    /// Members who have not asked for their assignment in time are out.
    pub(super) fn on_sync_due(&mut self, entry: u64, desk: &mut Desk) {
        let due = || Due::Sync(self.id.clone());
        if !self.sync_deadline.reached(entry, desk.now.mono, &mut desk.timers, due) {
            return;
        }
        let expecting = matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable);
        if !expecting || self.pending_sync.is_empty() {
            return;
        }
        let missing: Vec<Str> = self.pending_sync.iter().cloned().collect();
        tracing::info!(group = %self.id, ?missing, "removed members who did not sync");
        missing.iter().for_each(|member| self.remove(member, desk));
        self.prepare_rebalance("members did not sync in time", desk);
    }
}

//! Requests of the classic protocol to groups of the new one, and the moments in which a group
//! changes its kind.

use std::sync::Arc;

use vltava_wire::{ErrorCode, Str};

use super::calls::{HeartbeatCall, JoinCall, LeaveCall, SyncCall};
use super::consumer::{ConsumerGroup, Edit, Refusal};
use super::desk::{Reply, Then, Token};
use super::machine::Shard;
use super::membership::Undo;
use super::record::Record;
use super::state::{Group, join_error, sync_error};

impl Shard {
    /// Whether there is such a group of the new protocol, with members.
    pub(super) fn has_consumers(&self, group: &Str) -> bool {
        self.consumers.get(group).is_some_and(|group| !group.members.is_empty())
    }

    /// JoinGroup to a group of the new protocol that has members.
    pub(super) fn join_consumers(&mut self, token: Token, call: &JoinCall) {
        let (mut undo, mut edit) = (Undo::new(&call.group_id), Edit::default());
        let image = Arc::clone(&self.image);
        let Some(group) = self.consumers.get_mut(&call.group_id) else { return };
        let epoch = group.epoch;
        match group.join_classic(call, &image, &mut self.desk, &mut edit) {
            Ok(joined) => {
                if let Some(rebalances) = joined.downgrade {
                    let reason = rebalances.then_some("a static member replaced another");
                    self.downgrade(&[], epoch, reason, &mut undo, &mut edit);
                }
                self.store(undo, edit, Some((token, Reply::Join(joined.response))));
            }
            Err(Refusal { code, message }) => {
                tracing::info!(group = %call.group_id, %code, message, "JoinGroup refused");
                self.take_back(Undo { changes: edit.undo, ..undo }, code);
                self.desk.reply(token, Reply::Join(join_error(&call.member_id, code)));
            }
        }
    }

    /// SyncGroup to a group that is not classic.
    pub(super) fn sync_consumers(&mut self, token: Token, call: &SyncCall) {
        let image = Arc::clone(&self.image);
        let found = self.consumers.get_mut(&call.group_id);
        let outcome = match found.filter(|group| !group.members.is_empty()) {
            Some(group) => group.sync_classic(call, &image, &mut self.desk),
            None => Err(Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, "")),
        };
        match outcome {
            Ok(response) => self.reply_when_stored(&call.group_id, token, Reply::Sync(response)),
            Err(refusal) => self.desk.reply(token, Reply::Sync(sync_error(refusal.code))),
        }
    }

    /// Heartbeat to a group that is not classic.
    pub(super) fn heartbeat_consumers(&mut self, token: Token, call: &HeartbeatCall) {
        let outcome = match self.consumers.get_mut(&call.group_id) {
            Some(group) => group.heartbeat_classic(call, &mut self.desk),
            None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        };
        let code = outcome.err().unwrap_or(ErrorCode::NONE);
        self.reply_when_stored(&call.group_id, token, Reply::Heartbeat(code));
    }

    /// LeaveGroup to a group of the new protocol.
    pub(super) fn leave_consumers(&mut self, token: Token, call: &LeaveCall) {
        let Some(group) = self.consumers.get(&call.group_id) else { return };
        let (response, ids) = group.leavers(call);
        let (mut undo, mut edit) = (Undo::new(&call.group_id), Edit::default());
        if !ids.is_empty() {
            self.fence(&ids, &mut undo, &mut edit);
        }
        self.store(undo, edit, Some((token, Reply::Leave(response))));
    }

    fn reply_when_stored(&mut self, group: &Str, token: Token, reply: Reply) {
        self.store(Undo::new(group), Edit::default(), Some((token, reply)));
    }

    /// Removes members. If all others speak the classic protocol, the group becomes a classic one.
    pub(super) fn fence(&mut self, ids: &[Str], undo: &mut Undo, edit: &mut Edit) {
        let image = Arc::clone(&self.image);
        let Some(group) = self.consumers.get_mut(&undo.group) else { return };
        if group.downgrades_without(ids, &self.desk.config) {
            let epoch = group.epoch;
            self.downgrade(ids, epoch, Some("the last consumer has left"), undo, edit);
        } else {
            group.remove_members(ids, &image, &mut self.desk, edit);
        }
    }

    /// Makes a classic group of one of the new protocol; it rebalances if there is a reason.
    fn downgrade(
        &mut self,
        leaving: &[Str],
        generation: i32,
        reason: Option<&str>,
        undo: &mut Undo,
        edit: &mut Edit,
    ) {
        let Some(consumers) = self.consumers.remove(&undo.group) else { return };
        let mut group = consumers.downgrade(leaving, generation, &self.image, &mut self.desk);
        if reason.is_some() {
            // Whoever loads the group before it has rebalanced knows by that what it owes.
            group.state_since = None;
        }
        edit.records.extend(consumers.tombstones());
        edit.records.push(group.to_record(|member| member.assignment.clone()));
        if let Some(reason) = reason {
            group.prepare_rebalance(reason, &mut self.desk);
        }
        undo.founded = true;
        undo.dissolved = Some(Box::new(consumers));
        self.groups.insert(undo.group.clone(), group);
    }

    /// Makes a group of the new protocol of a classic one with members. Those who wait are told
    /// to join again.
    pub(super) fn upgrade(&mut self, undo: &mut Undo, edit: &mut Edit) -> Result<(), Refusal> {
        let Some(classic) = self.groups.get(&undo.group) else { return Ok(()) };
        let mut group = classic.upgrade(&self.image, &self.desk.config, edit)?;
        group.start_clocks(&mut self.desk);
        self.consumers.insert(undo.group.clone(), group);
        undo.created = true;
        undo.replaced = self.groups.remove(&undo.group).map(Box::new);
        if let Some(classic) = &mut undo.replaced {
            classic.send_away(ErrorCode::REBALANCE_IN_PROGRESS, &mut self.desk);
        }
        Ok(())
    }

    /// A member joins a group of the classic protocol that is to be made; one of the new protocol
    /// that has no members gives way to it.
    pub(super) fn found_classic(&mut self, token: Token, call: &JoinCall) {
        let mut undo = Undo::new(&call.group_id);
        let mut group = Group::new(undo.group.clone(), self.desk.now.wall);
        let replaced = self.consumers.remove(&undo.group);
        let mut records: Vec<Record> =
            replaced.as_ref().map(ConsumerGroup::tombstones).unwrap_or_default();
        // The group is stored as it is found: empty. Its members are, once they are assigned.
        records.push(group.to_record(|_| bytes::Bytes::new()));
        group.join(token, call, &mut self.desk);
        self.groups.insert(undo.group.clone(), group);
        undo.founded = true;
        undo.dissolved = replaced.map(Box::new);
        self.desk.append(records, Then::Members(Box::new(undo)), None);
    }
}

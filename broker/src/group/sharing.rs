//! Share groups beside the others: how requests become records, and what follows from what the
//! share coordinator has done.

use std::sync::Arc;

use vltava_config::Values;
use vltava_wire::messages::ShareGroupHeartbeatResponse;
use vltava_wire::{ErrorCode, Str};

use super::calls::ShareHeartbeatCall;
use super::config::ShareTerms;
use super::consumer::Refusal;
use super::desk::{Reply, Then, Token};
use super::machine::Shard;
use super::record::{self, Record};
use super::share::{self, Change, Edit, JOIN_EPOCH, ShareGroup, ShareOutcome, ShareTask};
use super::timer::Due;

/// What to do if the records of a change to a share group cannot be stored.
#[derive(Debug)]
pub(super) struct ShareUndo {
    pub(super) group: Str,
    pub(super) changes: Vec<Change>,
    /// Whether the group was made.
    pub(super) created: bool,
}

/// What came of a task about a group's share-partitions: the epoch of the state that follows.
pub type TaskReply = Result<i32, (ErrorCode, Option<Str>)>;

fn refused(refusal: Refusal) -> ShareGroupHeartbeatResponse {
    ShareGroupHeartbeatResponse {
        error_code: refusal.code,
        error_message: Some(Str::from(refusal.message)),
        ..Default::default()
    }
}

impl Shard {
    /// What a share group is told and held to: what it sets itself, above the brokers' values.
    fn share_terms(&self, group: &Str) -> ShareTerms {
        let values: &Values = &self.desk.config.values;
        let settings = crate::share::group_settings(values, &self.image, group);
        ShareTerms {
            session_timeout_ms: settings.session_timeout_ms,
            heartbeat_interval_ms: settings.heartbeat_interval_ms,
        }
    }

    /// ShareGroupHeartbeat.
    pub(super) fn share_heartbeat(&mut self, token: Token, call: &ShareHeartbeatCall) {
        let mut edit = Edit::default();
        let mut undo = None;
        let terms = self.share_terms(&call.request.group_id);
        let answer = share::validate(&call.request)
            .and_then(|()| self.find_or_found_share(call))
            .and_then(|found| {
                undo = Some(found);
                let id = &call.request.group_id;
                let group = self.shares.get_mut(id).expect("the group was just found");
                let image = Arc::clone(&self.image);
                group.answer(call, terms, &image, &mut self.desk, &mut edit)
            });
        match (answer, undo) {
            (Ok(response), Some(undo)) => {
                self.store_share(undo, edit, Some((token, Reply::ShareHeartbeat(response))));
            }
            (Err(refusal), undo) => {
                if let Some(undo) = undo {
                    self.take_back_share(ShareUndo { changes: edit.undo, ..undo });
                }
                self.desk.reply(token, Reply::ShareHeartbeat(refused(refusal)));
            }
            (Ok(_), None) => unreachable!("an answer comes from a group that was found"),
        }
    }

    fn find_or_found_share(&mut self, call: &ShareHeartbeatCall) -> Result<ShareUndo, Refusal> {
        self.share_group(&call.request.group_id, call.request.member_epoch == JOIN_EPOCH)
    }

    /// The share group of that id, which is made if there is no group and it may be `founded`.
    fn share_group(&mut self, id: &Str, founded: bool) -> Result<ShareUndo, Refusal> {
        let mut undo = ShareUndo { group: id.detach(), changes: Vec::new(), created: false };
        if self.shares.contains_key(id) {
            return Ok(undo);
        }
        let is_other = self.groups.contains_key(id) || self.consumers.contains_key(id);
        if is_other || !founded {
            let message = self.no_share_group(id);
            return Err(Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
        }
        if !self.has_room() {
            let message = "This coordinator has no room for more groups.";
            return Err(Refusal::new(ErrorCode::COORDINATOR_NOT_AVAILABLE, message));
        }
        undo.created = true;
        self.shares.insert(undo.group.clone(), ShareGroup::new(undo.group.clone()));
        Ok(undo)
    }

    /// Writes what was changed; where nothing was, the answer still waits for what it may have
    /// seen and is not committed yet.
    fn store_share(&mut self, undo: ShareUndo, edit: Edit, reply: Option<(Token, Reply)>) {
        if let Some(group) = self.shares.get_mut(&undo.group) {
            group.drop_clocks();
        }
        let Edit { records, undo: changes } = edit;
        if !records.is_empty() {
            let undo = Box::new(ShareUndo { changes, ..undo });
            self.desk.append(records, Then::Shares(undo), reply);
        } else if let Some((token, reply)) = reply {
            match self.desk.pending.is_empty() {
                true => self.desk.reply(token, reply),
                false => {
                    self.desk.wait(Then::Barrier, Some((token, reply)));
                }
            }
        }
    }

    /// The log refused what was changed, or it was not to be: it never happened.
    pub(super) fn take_back_share(&mut self, undo: ShareUndo) {
        let ShareUndo { group: id, changes, created } = undo;
        if created {
            self.shares.remove(&id);
            return;
        }
        let timeout = self.share_terms(&id).session_timeout_ms;
        if let Some(group) = self.shares.get_mut(&id) {
            Edit::take_back(changes, group);
            // Topics may have been looked at, which has not happened either.
            group.metadata_stale = true;
            group.start_missing_clocks(timeout, &mut self.desk);
        }
    }

    /// The clocks of all members start, as after loading.
    pub(super) fn start_share_clocks(&mut self) {
        let ids: Vec<Str> = self.shares.keys().cloned().collect();
        for id in ids {
            let timeout = self.share_terms(&id).session_timeout_ms;
            if let Some(group) = self.shares.get_mut(&id) {
                group.start_missing_clocks(timeout, &mut self.desk);
            }
        }
    }

    /// A member of a share group was not heard of in time. Says whether that was written down.
    pub(super) fn share_member_due(&mut self, group: &Str, entry: u64, due: &Due) -> bool {
        let image = Arc::clone(&self.image);
        let Some(found) = self.shares.get_mut(group) else { return false };
        if !found.is_overdue(due, entry, &mut self.desk) {
            return false;
        }
        let Due::Member { member, .. } = due else { return false };
        tracing::info!(%group, %member, "member of the share group is fenced");
        let mut edit = Edit::default();
        found.remove_member(member, &image, &mut edit);
        self.store_share(unchanged(group), edit, None);
        true
    }

    /// The share coordinator has done what a group wanted of it.
    pub(super) fn note_share_outcome(&mut self, outcome: &ShareOutcome) {
        let image = Arc::clone(&self.image);
        let Some(group) = self.shares.get_mut(&outcome.group) else { return };
        let mut edit = Edit::default();
        group.note_outcome(outcome, &image, &mut edit);
        self.store_share(unchanged(&outcome.group), edit, None);
    }

    /// A person wants share-partitions to begin elsewhere, or topics to be forgotten. As in Kafka
    /// one says where a group begins before it has ever had a member.
    pub(super) fn begin_share_task(&mut self, token: Token, id: &Str, task: &ShareTask) {
        let image = Arc::clone(&self.image);
        let founded = matches!(task, ShareTask::Alter(topics) if !topics.is_empty());
        let mut edit = Edit::default();
        let begun = self.share_group(id, founded).and_then(|undo| {
            let group = self.shares.get_mut(id).expect("the group was just found");
            Ok((undo, group.begin_task(task, &image, &mut edit)?))
        });
        match begun {
            Ok((undo, epoch)) => {
                let reply = Reply::ShareTask(Ok(epoch));
                self.store_share(undo, edit, Some((token, reply)));
            }
            // Only one that was there before refuses.
            Err(refusal) => {
                let refused = Err((refusal.code, Some(Str::from(refusal.message))));
                self.desk.reply(token, Reply::ShareTask(refused));
            }
        }
    }

    /// The records that take back a group without members, of whatever kind it is.
    pub(super) fn tombstones_of(&self, id: &Str) -> Vec<Record> {
        match (self.consumers.get(id), self.shares.get(id)) {
            (Some(consumer), _) => consumer.tombstones(),
            (None, Some(share)) => share.tombstones(),
            (None, None) => vec![record::group_metadata(id, None)],
        }
    }

    /// Topics do not exist any more.
    pub(super) fn forget_share_topics(&mut self, topics: &[Str]) {
        let ids: Vec<Str> = self.shares.keys().cloned().collect();
        for id in ids {
            let mut edit = Edit::default();
            if let Some(group) = self.shares.get_mut(&id) {
                group.forget_topics(topics, &mut edit);
            }
            if !edit.records.is_empty() {
                self.store_share(unchanged(&id), edit, None);
            }
        }
    }
}

/// A group that was there before, and stays.
fn unchanged(group: &Str) -> ShareUndo {
    ShareUndo { group: group.clone(), changes: Vec::new(), created: false }
}

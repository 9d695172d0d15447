//! Groups of both protocols side by side: which one an id belongs to, and how requests of the
//! new protocol become records.

use std::sync::Arc;

use vltava_metadata::Image;
use vltava_wire::messages::ConsumerGroupHeartbeatResponse;
use vltava_wire::{ErrorCode, Str};

use super::calls::ConsumerHeartbeatCall;
use super::config::OwnConfig;
use super::consumer::{
    self, Change, ConsumerGroup, Edit, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Refusal,
};
use super::desk::{Reply, Then, Token};
use super::machine::Shard;
use super::record;
use super::state::{Group, GroupState};
use super::timer::Due;

/// What to do if the records of a change to a group cannot be stored.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) group: Str,
    pub(super) changes: Vec<Change>,
    /// Whether the group was made.
    pub(super) created: bool,
    /// The classic group that gave way to it, or became it.
    pub(super) replaced: Option<Box<Group>>,
    /// Whether a classic group was made.
    pub(super) founded: bool,
    /// The group itself, that gave way to a classic one, or became it.
    pub(super) dissolved: Option<Box<ConsumerGroup>>,
}

impl Undo {
    /// Of a group that was there before, and of which nothing has changed yet.
    pub(super) fn new(group: &Str) -> Self {
        Self {
            group: group.detach(),
            changes: Vec::new(),
            created: false,
            replaced: None,
            founded: false,
            dissolved: None,
        }
    }
}

fn refused(refusal: Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: refusal.code,
        error_message: Some(Str::from(refusal.message)),
        ..Default::default()
    }
}

impl Shard {
    /// The cluster's topics are others by now: groups look at theirs with the next heartbeat.
    pub(super) fn note_image(&mut self, image: Arc<Image>, topics_changed: bool) {
        if !image.has_configs_of(&self.image) {
            self.desk.own = OwnConfig::of_all(&image, &self.desk.config.consumer);
        }
        self.image = image;
        if topics_changed {
            self.consumers.values_mut().for_each(|group| group.metadata_stale = true);
            self.shares.values_mut().for_each(|group| group.metadata_stale = true);
        }
    }

    /// ConsumerGroupHeartbeat.
    pub(super) fn consumer_heartbeat(&mut self, token: Token, call: &ConsumerHeartbeatCall) {
        let mut edit = Edit::default();
        let mut undo = None;
        let known = self.consumers.get(&call.request.group_id);
        let answer = consumer::validate(call, known, &self.desk.config.consumer)
            .and_then(|()| self.find_or_found(call, &mut edit))
            .and_then(|found| self.answer(call, undo.insert(found), &mut edit));
        match (answer, undo) {
            (Ok(response), Some(undo)) => {
                self.store(undo, edit, Some((token, Reply::ConsumerHeartbeat(response))));
            }
            (Err(refusal), undo) => {
                if let Some(undo) = undo {
                    self.take_back(Undo { changes: edit.undo, ..undo }, refusal.code);
                }
                self.desk.reply(token, Reply::ConsumerHeartbeat(refused(refusal)));
            }
            (Ok(_), None) => unreachable!("an answer comes from a group that was found"),
        }
    }

    /// Answers a heartbeat to a group that is there, whatever it is about.
    fn answer(
        &mut self,
        call: &ConsumerHeartbeatCall,
        undo: &mut Undo,
        edit: &mut Edit,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let group = self.consumers.get_mut(&undo.group).expect("the group was just found");
        if !matches!(call.request.member_epoch, LEAVE_EPOCH | LEAVE_STATIC_EPOCH) {
            let image = Arc::clone(&self.image);
            return group.heartbeat(call, &image, &mut self.desk, edit);
        }
        let (response, gone) = group.leave(&call.request, &mut self.desk, edit)?;
        if let Some(id) = gone {
            self.fence(&[id], undo, edit);
        }
        Ok(response)
    }

    /// Finds the group, or makes it for a member that joins. A classic group without members
    /// gives way, and one with members becomes the new one.
    fn find_or_found(
        &mut self,
        call: &ConsumerHeartbeatCall,
        edit: &mut Edit,
    ) -> Result<Undo, Refusal> {
        let id = &call.request.group_id;
        let joins = call.request.member_epoch == JOIN_EPOCH;
        let mut undo = Undo::new(id);
        if self.consumers.contains_key(id) {
            return Ok(undo);
        }
        let classic = self.groups.get(id).map(|group| group.state);
        let not_found = |message| Err(Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
        if self.shares.contains_key(id) {
            return not_found(format!("Group {id} is not a consumer group."));
        }
        match classic {
            None if !joins => return not_found(format!("Consumer group {id} not found.")),
            Some(_) if !joins => return not_found(format!("Group {id} is not a consumer group.")),
            None if !self.has_room() => {
                let message = "This coordinator has no room for more groups.";
                return Err(Refusal::new(ErrorCode::COORDINATOR_NOT_AVAILABLE, message));
            }
            None => {}
            Some(GroupState::Empty) => {
                edit.records.push(record::group_metadata(&undo.group, None));
                undo.replaced = self.groups.remove(id).map(Box::new);
            }
            Some(_) => {
                self.upgrade(&mut undo, edit)?;
                return Ok(undo);
            }
        }
        undo.created = true;
        self.consumers.insert(undo.group.clone(), ConsumerGroup::new(undo.group.clone()));
        Ok(undo)
    }

    /// Writes what was changed; where nothing was, the answer still waits for what it may have
    /// seen and is not committed yet.
    pub(super) fn store(&mut self, undo: Undo, edit: Edit, reply: Option<(Token, Reply)>) {
        if let Some(group) = self.consumers.get_mut(&undo.group) {
            group.drop_clocks();
        }
        let Edit { records, undo: changes } = edit;
        if !records.is_empty() {
            let undo = Box::new(Undo { changes, ..undo });
            self.desk.append(records, Then::Members(undo), reply);
        } else if let Some((token, reply)) = reply {
            match self.desk.pending.is_empty() {
                true => self.desk.reply(token, reply),
                false => {
                    self.desk.wait(Then::Barrier, Some((token, reply)));
                }
            }
        }
    }

    /// The log refused what was changed, or it was not to be, for that reason: it never happened.
    pub(super) fn take_back(&mut self, undo: Undo, code: ErrorCode) {
        let Undo { group: id, changes, created, replaced, founded, dissolved } = undo;
        if founded && let Some(mut classic) = self.groups.remove(&id) {
            classic.send_away(code, &mut self.desk);
        }
        if let Some(group) = dissolved {
            self.consumers.insert(id.clone(), *group);
        }
        if created {
            self.consumers.remove(&id);
        } else if let Some(group) = self.consumers.get_mut(&id) {
            Edit::take_back(changes, group);
            // Topics may have been looked at, which has not happened either.
            group.metadata_stale = true;
            group.start_missing_clocks(&mut self.desk);
        }
        if let Some(mut group) = replaced {
            let members: Vec<Str> = group.members.keys().cloned().collect();
            members.iter().for_each(|member| group.renew_session(member, &mut self.desk));
            self.groups.insert(id, *group);
        }
    }

    /// A member of the group was not heard of, or has not given up what it had to, in time. Says
    /// whether that was written down.
    pub(super) fn consumer_member_due(&mut self, group: &Str, entry: u64, due: &Due) -> bool {
        let Some(found) = self.consumers.get_mut(group) else { return false };
        if !found.is_overdue(due, entry, &mut self.desk) {
            return false;
        }
        let Some((_, member)) = due.of_member() else { return false };
        tracing::info!(%group, %member, ?due, "member is fenced");
        let (mut undo, mut edit) = (Undo::new(group), Edit::default());
        self.fence(std::slice::from_ref(member), &mut undo, &mut edit);
        self.store(undo, edit, None);
        true
    }
}

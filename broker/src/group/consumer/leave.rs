//! Members leave by their own will, or because nothing is heard of them.

use vltava_metadata::Image;
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use vltava_wire::{ErrorCode, Str};

use super::{Change, ConsumerGroup, Current, Edit, LEAVE_STATIC_EPOCH, Partitions, Refusal};
use crate::group::desk::Desk;
use crate::group::record::Record;

impl ConsumerGroup {
    /// A member leaves for good, or, being static, for a while: the answer, and who is to go.
    pub(in crate::group) fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        desk: &mut Desk,
        edit: &mut Edit,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Option<Str>), Refusal> {
        let id = match &request.instance_id {
            None => {
                self.known_member(&request.member_id)?;
                request.member_id.clone()
            }
            Some(instance) => self.static_member(instance, &request.member_id)?,
        };
        let away = request.member_epoch == LEAVE_STATIC_EPOCH;
        let stays = away && request.instance_id.is_some();
        if stays {
            self.go_away(&id, desk, edit);
        }
        tracing::info!(group = %self.id, member = %id, epoch = request.member_epoch, "member left");
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        };
        Ok((response, (!stays).then_some(id)))
    }

    /// A static member's place stays as it is for its session timeout.
    fn go_away(&mut self, id: &Str, desk: &mut Desk, edit: &mut Edit) {
        let current = &self.members[id].current;
        let away = Current {
            epoch: LEAVE_STATIC_EPOCH,
            // Whoever was to give partitions up has: its client is gone.
            revoking: Partitions::new(),
            ..current.clone()
        };
        edit.change(self, Change::Current(id.clone(), Some(away)));
        self.watch_revocation(id, desk);
    }

    /// Removes members; what they had is there for others in the group's next epoch.
    pub(in crate::group) fn remove_members(
        &mut self,
        ids: &[Str],
        image: &Image,
        desk: &mut Desk,
        edit: &mut Edit,
    ) {
        for id in ids {
            self.erase_member(id, edit);
        }
        self.update_regexes(image, desk.now, edit);
        let (epoch, hash) = (self.epoch.wrapping_add(1), self.compute_hash(image));
        edit.change(self, Change::Group(Some((epoch, hash))));
    }

    /// Takes back all that is stored of a member.
    pub(super) fn erase_member(&mut self, id: &Str, edit: &mut Edit) {
        edit.change(self, Change::Current(id.clone(), None));
        edit.change(self, Change::Target(id.clone(), None));
        edit.change(self, Change::Member(id.clone(), None));
    }

    /// The records that take back the group, with the members that it has.
    pub(in crate::group) fn tombstones(&self) -> Vec<Record> {
        let currents = self.members.keys().map(|member| Change::Current(member.clone(), None));
        let targets = self.targets.keys().map(|member| Change::Target(member.clone(), None));
        let members = self.members.keys().map(|member| Change::Member(member.clone(), None));
        let regexes = self.regexes.keys().map(|regex| Change::Regex(regex.clone(), None));
        currents
            .chain(targets)
            .chain([Change::TargetEpoch(None)])
            .chain(members)
            .chain(regexes)
            .chain([Change::Group(None)])
            .map(|change| change.to_record(&self.id))
            .collect()
    }

    /// Checks that there is such a member.
    pub(super) fn known_member(&self, member_id: &str) -> Result<(), Refusal> {
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => {
                let message = format!("Member {member_id} is not a member of group {}.", self.id);
                Err(Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, message))
            }
        }
    }

    /// The id of a static member, if it is the one that asks.
    pub(super) fn static_member(&self, instance: &Str, member_id: &str) -> Result<Str, Refusal> {
        let Some(owner) = self.static_members.get(instance) else {
            let message = format!("Instance id {instance} is unknown.");
            return Err(Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, message));
        };
        if *owner != *member_id {
            let message = format!(
                "Static member {member_id} with instance id {instance} was fenced by member \
                 {owner}."
            );
            return Err(Refusal::new(ErrorCode::FENCED_INSTANCE_ID, message));
        }
        Ok(owner.clone())
    }
}

//! Snapshots: a leader lends its own, a follower whose records are gone fetches one, piece after
//! piece, and starts anew from it (KIP-630).

use vltava_wire::ErrorCode;

use super::core::Core;
use super::follower::Fetching;
use super::{AnswerKind, Machine, Role};
use crate::effect::Effect;
use crate::event::{RequestId, Token};
use crate::instant::Instant;
use crate::message::{FetchSnapshotRequest, FetchSnapshotResponse, SnapshotId};
use crate::voter_set::VoterSet;

/// How far fetching a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SnapshotFetch {
    id: SnapshotId,
    /// The byte that comes next.
    position: u64,
}

impl SnapshotFetch {
    pub(super) fn new(id: SnapshotId) -> Self {
        Self { id, position: 0 }
    }

    pub(super) fn request(&self, core: &Core) -> FetchSnapshotRequest {
        FetchSnapshotRequest {
            replica: core.config.local,
            epoch: core.state.epoch,
            snapshot_id: self.id,
            position: self.position,
            max_bytes: core.config.fetch_max_bytes,
        }
    }
}

impl Machine {
    /// Lends a part of a snapshot.
    pub(super) fn on_fetch_snapshot(
        &mut self,
        token: Token,
        request: &FetchSnapshotRequest,
        now: Instant,
    ) {
        if let Err(error) = self.check_leader_request(request.epoch) {
            self.core.answer(token, AnswerKind::FetchSnapshot, error);
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        leader.touch(&self.core, request.replica, now);
        let response = FetchSnapshotResponse {
            leader: self.core.leader_info(),
            snapshot_id: request.snapshot_id,
            position: request.position,
            ..FetchSnapshotResponse::default()
        };
        let max_bytes = request.max_bytes;
        self.core.reply(Effect::RespondSnapshot { token, response, max_bytes });
    }

    /// Takes in a part of a snapshot.
    pub(super) fn on_snapshot_fetched(
        &mut self,
        id: RequestId,
        response: FetchSnapshotResponse,
        now: Instant,
    ) {
        if !self.claim_fetch(id, now) {
            return;
        }
        let fits = response.error.is_ok() && response.leader.epoch == self.core.state.epoch;
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(mut fetch) = follower.snapshot.filter(|fetch| {
            fits && fetch.id == response.snapshot_id && fetch.position == response.position
        }) else {
            // Gone, or not what was asked for: the next fetch tells which snapshot is needed now.
            follower.snapshot = None;
            self.fetch_refused(response.error, now);
            return;
        };
        follower.hear(&mut self.core, now);
        let received = response.bytes.len() as u64;
        let position = fetch.position;
        fetch.position += received;
        if fetch.position > response.size || (received == 0 && fetch.position < response.size) {
            follower.snapshot = None;
            self.fetch_refused(ErrorCode::POSITION_OUT_OF_RANGE, now);
            return;
        }
        follower.snapshot = Some(fetch);
        self.core.write(Effect::WriteSnapshot { id: fetch.id, position, bytes: response.bytes });
        if fetch.position == response.size {
            follower.snapshot = None;
            follower.installing = Some(fetch.id);
            self.core.write(Effect::InstallSnapshot { id: fetch.id });
        }
    }

    /// The snapshot is in place of the log.
    pub(super) fn on_snapshot_installed(&mut self, id: SnapshotId, voters: VoterSet) {
        let Role::Follower(follower) = &mut self.role else { return };
        if follower.installing != Some(id) {
            return;
        }
        follower.installing = None;
        self.core.log.install(id, voters);
        // The driver has applied the snapshot; only what comes after it is left to commit.
        self.core.high_watermark = self.core.high_watermark.max(Some(id.end_offset));
    }

    /// The snapshot is unreadable; the log is as it was.
    pub(super) fn on_snapshot_rejected(&mut self, id: SnapshotId, now: Instant) {
        let Role::Follower(follower) = &mut self.role else { return };
        if follower.installing == Some(id) {
            follower.installing = None;
            follower.fetching = Fetching::Due(now + self.core.config.election_timeout);
        }
    }
}

//! What the metadata log makes of a replica: leader, follower, or nothing any more.

use std::sync::Arc;
use std::time::Instant;

use vltava_log::{Log, LogError};
use vltava_metadata::PartitionRegistration;
use vltava_wire::{LeaderEpoch, NodeId, Offset};

use super::failure::PartitionError;
use super::moving::Leftover;
use super::replica::{Leading, Partition, Role, State, Storage};
use super::settings::Settings;
use super::surroundings::News;
use super::waiter::Mark;
use crate::replication::isr::{Committed, Event, Isr, Outcome, Proposal};
use crate::replication::truncate::{EpochEnd, truncation};

/// From where a follower fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchFrom {
    /// The log's end.
    pub offset: Offset,
    /// The epoch of the last record; −1 if there is none.
    pub last_epoch: LeaderEpoch,
    /// The log's first offset.
    pub log_start: Offset,
    /// The high watermark as it is known here.
    pub high_watermark: Offset,
    /// Whether all that is in the log may be acknowledged: it is as durable as the topic wants.
    pub is_durable: bool,
}

impl Partition {
    /// Takes over what the metadata log says of a partition that this broker leads.
    pub fn lead(&self, registration: &PartitionRegistration, now: Instant) {
        let mut state = self.state();
        let epoch = registration.leader_epoch;
        let committed = Committed {
            isr: registration.isr.clone(),
            partition_epoch: registration.partition_epoch,
        };
        let log = state.leader_log();
        match &mut state.role {
            Role::Leader(leading) if leading.epoch == epoch => {
                leading.isr.on(Event::Committed(committed), log, now);
                leading.isr.assign(&registration.replicas, now);
            }
            _ => self.begin_to_lead(&mut state, registration, committed, now),
        }
        self.advance_high_watermark(&mut state, now);
        // Who waits may have waited for replicas that do not count any more.
        let high_watermark = state.high_watermark;
        self.reached(&mut state, Mark::HighWatermark, high_watermark);
        // Replicas may have come, gone or died: who waits for them looks again.
        self.reached(&mut state, Mark::LowWatermark, Offset(i64::MAX - 1));
    }

    fn begin_to_lead(
        &self,
        state: &mut State,
        registration: &PartitionRegistration,
        committed: Committed,
        now: Instant,
    ) {
        let epoch = registration.leader_epoch;
        let end = state.leader_log().end;
        if let Ok(log) = state.log() {
            let begun = log.begin_leader_epoch(epoch);
            let is_dirty = log.flushed_offset() < end;
            // A failure is logged where it is noted; the role is taken all the same, offline.
            let begun = self.noting(state, begun);
            if begun.is_ok() && is_dirty {
                self.queue_flush(state);
            }
        }
        let isr = Isr::new(
            self.around.me,
            epoch,
            end,
            self.around.replica_lag_max,
            &registration.replicas,
            committed,
            now,
        );
        let low_watermark = Offset::ZERO;
        state.role = Role::Leader(Leading { epoch, epoch_start: end, isr, low_watermark });
        self.waiters.wake_all();
    }

    /// Takes over what the metadata log says of a partition that this broker follows. Says
    /// whether leader or epoch changed, so that the fetch must begin anew.
    pub fn follow(&self, registration: &PartitionRegistration) -> bool {
        let mut state = self.state();
        let (leader, epoch) = (registration.leader, registration.leader_epoch);
        if self.check_follows(&state, leader, epoch).is_ok() {
            return false;
        }
        state.role = Role::Follower { leader, epoch };
        self.drop_empty_epochs(&mut state);
        self.waiters.wake_all();
        true
    }

    /// Forgets epochs that this broker led without appending: the new leader may not know them,
    /// and its records of older epochs must be accepted.
    fn drop_empty_epochs(&self, state: &mut State) {
        let Ok(log) = state.log() else { return };
        let end = log.log_end_offset();
        if log.epochs().last().is_some_and(|last| last.start_offset >= end) {
            let lower = &mut |offset| self.dir().lower_recovery_point(&self.name, offset);
            let truncated = log.truncate_to(end, lower);
            // A failure is logged, and takes the log offline, where it is noted.
            let _ = self.noting(state, truncated);
        }
    }

    /// Changes the settings.
    pub fn configure(&self, settings: Settings) {
        let mut state = self.state();
        state.settings = settings;
        if let Ok(log) = state.log() {
            log.set_config(settings.log);
        }
        self.after_append(&mut state);
    }

    /// What was proposed to the coordinator and is not answered yet.
    pub fn proposal(&self) -> Option<Proposal> {
        self.state().leading().ok()?.0.isr.proposal()
    }

    /// Takes the coordinator's answer to a proposal made in that leader epoch.
    pub fn answer_proposal(&self, leader_epoch: LeaderEpoch, outcome: Outcome, now: Instant) {
        let mut state = self.state();
        let log = state.leader_log();
        let Ok((leading, _)) = state.leading() else { return };
        if leading.epoch != leader_epoch {
            return;
        }
        let proposal = leading.isr.on(Event::Answered(outcome), log, now);
        if proposal.is_some() {
            self.around.tell(News::Proposal(self.this()));
        }
        self.advance_high_watermark(&mut state, now);
        let high_watermark = state.high_watermark;
        self.reached(&mut state, Mark::HighWatermark, high_watermark);
    }

    /// Whether this broker leads it, and in which epoch.
    pub fn led_epoch(&self) -> Option<LeaderEpoch> {
        match &self.state().role {
            Role::Leader(leading) => Some(leading.epoch),
            _ => None,
        }
    }

    /// The leader that it follows, if it follows one.
    pub fn followed(&self) -> Option<NodeId> {
        match &self.state().role {
            Role::Follower { leader, .. } if *leader != NodeId::NONE => Some(*leader),
            _ => None,
        }
    }

    /// The leader epoch; −1 while it is not known.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.state().epoch()
    }

    /// How many replicas there are and how many are in sync, if this broker leads.
    pub fn in_sync(&self) -> Option<(usize, usize)> {
        match &self.state().role {
            Role::Leader(leading) => Some((leading.isr.replicas(), leading.isr.members().len())),
            _ => None,
        }
    }

    /// Whether a follower is to get nothing for the moment: it is not in sync, its replica is
    /// throttled, and throttled followers have had what they may have.
    pub fn holds_back(&self, follower: NodeId, now: Instant) -> bool {
        let leads_it_out_of_sync = || match &self.state().role {
            Role::Leader(leading) => !leading.isr.members().contains(&follower),
            _ => false,
        };
        self.throttled.as_leader()
            && self.around.throttles.leader.is_exceeded(now)
            && leads_it_out_of_sync()
    }

    /// Counts what goes out to a follower, if the replica is throttled.
    pub fn note_served(&self, bytes: usize, now: Instant) {
        if self.throttled.as_leader() {
            self.around.throttles.leader.record(bytes, now);
        }
    }

    /// Whether this replica is to fetch nothing for the moment, if it is not in sync.
    pub fn is_held_back(&self, now: Instant) -> bool {
        self.throttled.as_follower() && self.around.throttles.follower.is_exceeded(now)
    }

    /// Whether all that the leader has committed is here; only looked up for a replica that is
    /// throttled.
    pub fn is_level_with(&self, committed: Offset) -> bool {
        !self.throttled.as_follower()
            || self.position().is_some_and(|position| position.log_end >= committed)
    }

    /// Counts what was fetched, if the replica is throttled.
    pub fn note_fetched(&self, bytes: usize, now: Instant) {
        if self.throttled.as_follower() {
            self.around.throttles.follower.record(bytes, now);
        }
    }

    /// From where a follower of that leader, in that epoch, is to fetch.
    ///
    /// # Errors
    /// `NotFollower` if the role has changed; `Offline`.
    pub fn fetch_from(
        &self,
        leader: NodeId,
        epoch: LeaderEpoch,
    ) -> Result<FetchFrom, PartitionError> {
        let mut state = self.state();
        self.check_follows(&state, leader, epoch)?;
        let (is_durable, high_watermark) = (state.durable(), state.high_watermark);
        let log = state.log()?;
        let (start, offset) = (log.log_start_offset(), log.log_end_offset());
        let last = if offset > start { log.epoch_at(offset + -1) } else { None };
        Ok(FetchFrom {
            offset,
            last_epoch: last.unwrap_or(LeaderEpoch::UNKNOWN),
            log_start: start,
            high_watermark,
            is_durable: is_durable == Some(offset),
        })
    }

    /// Cuts the log where it differs from the leader's, which says where its largest epoch not
    /// above ours ends. Syncs: call it where that does not stall others.
    ///
    /// # Errors
    /// `NotFollower` if the role has changed; a failure of the log.
    pub fn truncate_by_epoch(
        &self,
        leader: NodeId,
        epoch: LeaderEpoch,
        theirs: EpochEnd,
    ) -> Result<Offset, PartitionError> {
        let mut state = self.state();
        self.check_follows(&state, leader, epoch)?;
        let high_watermark = state.high_watermark;
        let log = state.log()?;
        let own = log.end_offset_for_epoch(theirs.epoch);
        let own = own.map(|(epoch, end)| EpochEnd { epoch, end });
        let end = log.log_end_offset();
        let to = truncation(theirs, own, end).max(log.log_start_offset());
        if to < high_watermark {
            tracing::error!(
                partition = %self.name, %to, %high_watermark,
                "the leader lacks records that were committed: an unclean election, or lost disks"
            );
        }
        tracing::info!(partition = %self.name, %to, from = %end, "cut as the leader's log says");
        self.cleaning.disturb();
        let lower = &mut |offset| self.dir().lower_recovery_point(&self.name, offset);
        let truncated = log.truncate_to(to, lower);
        self.noting(&mut state, truncated)?;
        state.note_truncation(to);
        Ok(to)
    }

    /// Gives up all records and begins at the leader's first offset, as the leader has none of
    /// ours any more. Syncs: call it where that does not stall others.
    ///
    /// # Errors
    /// `NotFollower` if the role has changed; a failure of the log.
    pub fn restart_at(
        &self,
        leader: NodeId,
        epoch: LeaderEpoch,
        offset: Offset,
    ) -> Result<(), PartitionError> {
        let mut state = self.state();
        self.check_follows(&state, leader, epoch)?;
        let log = state.log()?;
        tracing::warn!(
            partition = %self.name, from = %log.log_end_offset(), to = %offset,
            "all records are given up: the leader's log starts beyond them"
        );
        self.cleaning.disturb();
        let lower = &mut |offset| self.dir().lower_recovery_point(&self.name, offset);
        let truncated = log.truncate_fully_and_start_at(offset, lower);
        self.noting(&mut state, truncated)?;
        state.note_truncation(offset);
        state.high_watermark = offset;
        Ok(())
    }

    /// Looks again at how far records are committed, as these brokers are not what they were.
    pub fn recheck_followers(&self, changed: &[NodeId]) {
        let mut state = self.state();
        let Role::Leader(leading) = &state.role else { return };
        if changed.iter().any(|node| leading.isr.is_replica(*node)) {
            self.advance_high_watermark(&mut state, Instant::now());
            // Who waits for all that live to have deleted records looks again, too.
            self.reached(&mut state, Mark::LowWatermark, Offset(i64::MAX - 1));
        }
    }

    /// Takes the replica out of use, as its directory has failed.
    pub fn fail(&self, reason: &str) {
        let mut state = self.state();
        self.set_offline(&mut state, reason.into());
    }

    /// Ends the replica and hands its log out; whoever waits is told that it is gone.
    pub fn retire(&self) -> Option<Log> {
        self.moves.close();
        self.end_move(Leftover::Removed);
        self.cleaning.end();
        let mut state = self.state();
        let gone: Arc<str> = "the replica is not on this broker any more".into();
        state.role = Role::Unassigned;
        let storage = std::mem::replace(&mut state.storage, Storage::Offline(gone));
        self.waiters.wake_all();
        match storage {
            Storage::Online(log) => Some(*log),
            Storage::Offline(_) => None,
        }
    }

    /// Replaces the log of a replica that is offline by another one.
    pub fn replace_log(&self, log: Log) {
        self.cleaning.forget_failure();
        let mut state = self.state();
        state.note_truncation(log.log_end_offset());
        state.high_watermark = log.log_start_offset();
        state.may_reopen = false;
        state.storage = Storage::Online(Box::new(log));
    }

    /// Deletes segments that retention gives up. Syncs: call it where that does not stall others.
    ///
    /// # Errors
    /// The log has failed.
    pub fn apply_retention(&self, now_ms: i64) -> Result<vltava_log::Retention, PartitionError> {
        let mut state = self.state();
        let high_watermark = state.high_watermark;
        let log = state.log()?;
        log.expire_producers(now_ms);
        let deleted: Result<_, LogError> = log.delete_old_segments(now_ms, high_watermark);
        self.noting(&mut state, deleted)
    }
}

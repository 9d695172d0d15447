//! Appending: as the leader, for producers and for the broker itself; as a follower, what the
//! leader sent. And waiting until what was appended is safe.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use vltava_log::{AppendInfo, AppendOptions, AppendOrigin, Log, Verification};
use vltava_wire::batch::BatchHeader;
use vltava_wire::{LeaderEpoch, NodeId, Offset};

use super::failure::PartitionError;
use super::replica::{Partition, Role, State};
use super::settings::FlushPolicy;
use super::surroundings::wall_clock_ms;
use super::waiter::{Mark, Wake};

/// An append of so many bytes takes long enough to be done away from the threads that serve
/// sockets: about 100 µs of checking and copying.
pub const LARGE_APPEND_BYTES: usize = 512 << 10;

/// What a thread keeps of the memory that it patches batches in: a producer's usual largest batch
/// fits. New memory for each batch costs more than the copy.
const SCRATCH_KEPT: usize = 1 << 20 | 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a producer wants to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nothing (0).
    None,
    /// The leader's own disk (1).
    Leader,
    /// All replicas that are in sync (−1).
    All,
}

impl Acks {
    /// What the wire's number means; `None` for one that means nothing.
    pub const fn from_wire(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::All),
            _ => None,
        }
    }
}

/// How a leader is to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderAppend {
    /// What will be waited for: with [`Acks::All`], enough replicas must be in sync.
    pub acks: Acks,
    /// Who appends.
    pub origin: AppendOrigin,
    /// What is shown for a transaction's first batch.
    pub verification: Verification,
    /// The epoch that this broker must lead in; −1 for any.
    pub leader_epoch: LeaderEpoch,
}

/// A batch in the leader's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where, and when.
    pub info: AppendInfo,
    /// The epoch that it was appended in.
    pub leader_epoch: LeaderEpoch,
}

impl Appended {
    /// The offset after its last record: what marks must reach.
    pub fn end(&self) -> Offset {
        self.info.last_offset.next()
    }
}

/// What a follower got from its leader for one partition.
#[derive(Clone, Debug)]
pub struct FromLeader {
    /// The leader.
    pub leader: NodeId,
    /// The epoch that was fetched in.
    pub leader_epoch: LeaderEpoch,
    /// The offset that was asked for: where the log must still end.
    pub fetch_offset: Offset,
    /// Whole batches, the last one perhaps cut off.
    pub records: Bytes,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The leader's first offset.
    pub log_start: Offset,
}

/// Where the leader's first batch begins, if an empty log starts inside of it: records were deleted
/// (DeleteRecords) up to an offset in the middle of the batch.
fn begins_inside_batch(log: &Log, records: &[u8]) -> Option<Offset> {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let first = BatchHeader::parse(records).ok()?;
    let holds = first.base_offset < end && first.last_offset() >= end;
    (start == end && holds).then_some(first.base_offset)
}

impl Partition {
    /// Appends batches as the leader, and patches their offsets and epoch in place. Returns
    /// without waiting for disks or replicas.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append(
        &self,
        batches: &mut [u8],
        how: LeaderAppend,
    ) -> Result<Appended, PartitionError> {
        if !self.dir().has_room(batches.len()) {
            return Err(PartitionError::DiskFull);
        }
        let now_ms = wall_clock_ms();
        let mut state = self.state();
        let min_in_sync = state.min_in_sync();
        let (leading, log) = state.leading()?;
        let leader_epoch = leading.epoch;
        if how.leader_epoch != LeaderEpoch::UNKNOWN && how.leader_epoch != leader_epoch {
            return Err(PartitionError::NotLeader);
        }
        let in_sync = leading.isr.members().len();
        if how.acks == Acks::All && in_sync < min_in_sync {
            return Err(PartitionError::NotEnoughReplicas { in_sync, min_in_sync });
        }
        let LeaderAppend { origin, verification, .. } = how;
        let options = AppendOptions { leader_epoch, origin, verification, now_ms };
        let appended = log.append_as_leader(batches, options);
        let info = self.noting_full(&mut state, appended)?;
        if !info.is_duplicate {
            state.note_append(info.base_offset, info.bytes);
            self.after_append(&mut state);
        }
        Ok(Appended { info, leader_epoch })
    }

    /// As [`append`](Self::append), for batches in memory that is not to be changed, as a
    /// request's frame is.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append_copy(
        &self,
        batches: &[u8],
        how: LeaderAppend,
    ) -> Result<Appended, PartitionError> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(batches);
            let appended = self.append(scratch, how);
            if scratch.capacity() > SCRATCH_KEPT {
                *scratch = Vec::new();
            }
            appended
        })
    }

    fn noting_full<T>(
        &self,
        state: &mut State,
        result: Result<T, vltava_log::AppendError>,
    ) -> Result<T, PartitionError> {
        let result = self.noting(state, result);
        if matches!(result, Err(PartitionError::DiskFull)) {
            self.dir().note_full();
        }
        result
    }

    /// Whether an append of so many bytes may take as long as the disk takes: it is large, or the
    /// log begins a new segment with it.
    pub fn may_stall(&self, bytes: usize) -> bool {
        let fits = |state: &mut State| state.log().is_ok_and(|log| log.fits_segment(bytes));
        bytes >= LARGE_APPEND_BYTES || !fits(&mut self.state())
    }

    /// Waits until what was appended is committed: on all replicas that are in sync, as durably
    /// as the topic wants it.
    ///
    /// # Errors
    /// `NotLeader` if this broker lost the leadership before it learned of it;
    /// `NotEnoughReplicasAfterAppend`; `Offline`.
    pub async fn committed(
        self: Arc<Self>,
        end: Offset,
        leader_epoch: LeaderEpoch,
    ) -> Result<(), PartitionError> {
        self.wait(Mark::HighWatermark, end, |state| {
            let min_in_sync = state.min_in_sync();
            let reached = state.high_watermark >= end;
            let (leading, log) = state.leading()?;
            if leading.epoch != leader_epoch && log.epoch_at(end + -1) != Some(leader_epoch) {
                return Err(PartitionError::NotLeader);
            }
            if reached && leading.isr.maximal_len() < min_in_sync {
                return Err(PartitionError::NotEnoughReplicasAfterAppend);
            }
            Ok(reached.then_some(()))
        })
        .await
    }

    /// Waits until what was appended is as durable here as the topic wants it.
    ///
    /// # Errors
    /// `Offline` if the log failed meanwhile; `NotLeader` if what was appended was cut off.
    pub async fn durable_here(self: Arc<Self>, end: Offset) -> Result<(), PartitionError> {
        self.wait(Mark::Flushed, end, |state| {
            let flush = state.settings.flush;
            let log = state.log()?;
            if log.log_end_offset() < end {
                return Err(PartitionError::NotLeader);
            }
            let reached = flush != FlushPolicy::Each || log.flushed_offset() >= end;
            Ok(reached.then_some(()))
        })
        .await
    }

    /// Waits until `check` gives a value or an error; it is asked again whenever `mark` reaches
    /// `offset` and when the role changes.
    pub(super) async fn wait<T>(
        &self,
        mark: Mark,
        offset: Offset,
        mut check: impl FnMut(&mut State) -> Result<Option<T>, PartitionError>,
    ) -> Result<T, PartitionError> {
        let wake = Wake::default();
        loop {
            let _place = self.waiters.register(mark, offset, &wake);
            if let Some(value) = check(&mut self.state())? {
                return Ok(value);
            }
            wake.notified().await;
        }
    }

    /// Appends what the leader sent, and takes over its high watermark and log start. What was
    /// appended is not durable yet: see [`flush_now`](Self::flush_now).
    ///
    /// # Errors
    /// `NotFollower` if the role or the log has changed since the fetch; nothing was appended.
    pub fn append_from_leader(&self, from: &FromLeader) -> Result<(), PartitionError> {
        if !from.records.is_empty() && !self.dir().has_room(from.records.len()) {
            return Err(PartitionError::DiskFull);
        }
        let mut state = self.state();
        self.check_follows(&state, from.leader, from.leader_epoch)?;
        let log = state.log()?;
        if log.log_end_offset() != from.fetch_offset {
            return Err(PartitionError::NotFollower);
        }
        if let Some(base) = begins_inside_batch(log, &from.records) {
            self.restart_with_batch(&mut state, base)?;
        }
        if !from.records.is_empty() {
            let log = state.log()?;
            let appended =
                log.append_as_follower(&from.records, from.leader_epoch, wall_clock_ms());
            let info = self.noting_full(&mut state, appended)?;
            if let Some(info) = info {
                state.note_append(info.base_offset, info.bytes);
                self.after_append(&mut state);
            }
        }
        let log = state.log()?;
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let high_watermark = from.high_watermark.min(end);
        if from.log_start > start && from.log_start <= high_watermark {
            let advanced = log.advance_log_start_offset(from.log_start);
            self.noting(&mut state, advanced)?;
        }
        self.raise_high_watermark(&mut state, high_watermark);
        Ok(())
    }

    /// Begins an empty log anew where the first batch from the leader begins. Its own first offset
    /// lies inside that batch; what is before it goes once the batch was appended.
    fn restart_with_batch(&self, state: &mut State, base: Offset) -> Result<(), PartitionError> {
        tracing::info!(partition = %self.name, %base, "begins with the batch that it starts in");
        let lower = &mut |offset| self.dir().lower_recovery_point(&self.name, offset);
        let restarted = state.log()?.truncate_fully_and_start_at(base, lower);
        self.noting(state, restarted)?;
        state.note_truncation(base);
        state.high_watermark = base;
        Ok(())
    }

    pub(super) fn check_follows(
        &self,
        state: &State,
        leader: NodeId,
        epoch: LeaderEpoch,
    ) -> Result<(), PartitionError> {
        match &state.role {
            Role::Follower { leader: own, epoch: own_epoch }
                if *own == leader && *own_epoch == epoch =>
            {
                Ok(())
            }
            _ => Err(PartitionError::NotFollower),
        }
    }

    /// Has what was appended so far synced, if the topic wants that before it is acknowledged;
    /// `None` if there is nothing to wait for, else the offset to wait for with
    /// [`durable_here`](Self::durable_here).
    pub fn flush_now(&self) -> Option<Offset> {
        let mut state = self.state();
        if state.settings.flush != FlushPolicy::Each {
            return None;
        }
        let log = state.log().ok()?;
        let end = log.log_end_offset();
        if log.flushed_offset() >= end {
            return None;
        }
        self.queue_flush(&mut state);
        Some(end)
    }

    /// Looks whether the time since followers last fetched changes who is in sync.
    pub fn check_isr(&self, now: Instant) {
        let mut state = self.state();
        let log = state.leader_log();
        let Ok((leading, _)) = state.leading() else { return };
        let proposal = leading.isr.on(crate::replication::isr::Event::Check, log, now);
        self.advance_high_watermark(&mut state, now);
        if proposal.is_some() {
            self.around.tell(super::surroundings::News::Proposal(self.this()));
        }
    }
}

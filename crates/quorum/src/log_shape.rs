//! The shape of a node's copy of the log: where it starts and ends, what of it is on disk, which
//! epoch wrote which part, and who voted at which offset. The records themselves are the driver's.
//!
//! *Invariants:* `start ≤ flushed ≤ end`; epochs and their starts only grow along the log; a voter
//! set counts from the moment its record is appended, and no more once it is truncated (KIP-853).

use vltava_wire::{LeaderEpoch, Offset};

use crate::event::FlushPoint;
use crate::message::{BatchShape, EpochEndOffset, SnapshotId};
use crate::voter_set::VoterSet;

/// Where the records of an epoch start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EpochStart {
    epoch: LeaderEpoch,
    start: Offset,
}

/// How the end of another replica's log lies to this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// It is a prefix of this log.
    Valid,
    /// It holds records that this log lacks: it must truncate to this end of this epoch.
    Diverging(EpochEndOffset),
    /// The records after it are gone: it needs this snapshot.
    Snapshot(SnapshotId),
}

/// The batch does not follow on the log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch of epoch {epoch} at {base_offset} does not follow epoch {last_epoch} at {end}")]
pub struct NotContiguous {
    /// The epoch of the batch.
    pub epoch: LeaderEpoch,
    /// The first offset of the batch.
    pub base_offset: Offset,
    /// The epoch of the last record in the log.
    pub last_epoch: LeaderEpoch,
    /// The end of the log.
    pub end: Offset,
}

/// The shape of a log; see the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogShape {
    /// The snapshot that covers all below the log's start. A log that starts at 0 has one only if
    /// it was founded with a bootstrap snapshot.
    earliest_snapshot: Option<SnapshotId>,
    latest_snapshot: Option<SnapshotId>,
    end: Offset,
    flushed: Offset,
    epochs: Vec<EpochStart>,
    /// Voter sets by the offset of their record; that of a snapshot counts as the record just
    /// before the snapshot's end.
    voters: Vec<(Offset, VoterSet)>,
    cuts: u64,
}

impl LogShape {
    /// The log of a node that knows nothing: no records, no voters.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The log that starts at a snapshot, still without records after it.
    pub fn from_snapshot(id: SnapshotId, voters: VoterSet) -> Self {
        Self {
            earliest_snapshot: Some(id),
            latest_snapshot: Some(id),
            end: id.end_offset,
            flushed: id.end_offset,
            epochs: Vec::new(),
            voters: vec![(id.end_offset + -1, voters)],
            cuts: 0,
        }
    }

    /// Adds a batch that was found in the log when the node started.
    ///
    /// Found does not mean durable: a process that was killed leaves in the page cache what no
    /// sync covered. The machine has all of it flushed before it acknowledges any.
    ///
    /// Many batches of one epoch may be given as one; a voter set must come with the right
    /// `last_offset`, though.
    ///
    /// # Errors
    /// If the batch does not follow on the end of the log.
    pub fn restore(&mut self, batch: &BatchShape) -> Result<(), NotContiguous> {
        self.append(batch)
    }

    /// Notes a later snapshot than the one that the log starts at.
    pub fn restore_snapshot(&mut self, id: SnapshotId) {
        self.snapshot_taken(id);
    }

    /// Whether a snapshot on disk holds what this log lacks: the log lost records that were not
    /// on disk yet, or the node crashed while it put the snapshot in the log's place. The log is
    /// then dropped, and starts anew from the snapshot.
    pub fn is_behind(&self, snapshot: SnapshotId) -> bool {
        (snapshot.epoch, snapshot.end_offset) > (self.last_epoch(), self.end)
    }

    /// The first offset that is still in the log.
    pub fn start(&self) -> Offset {
        self.earliest_snapshot.map_or(Offset::ZERO, |id| id.end_offset)
    }

    /// The offset after the last record.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The offset after the last record that is on disk for sure.
    pub fn flushed(&self) -> Offset {
        self.flushed
    }

    /// The epoch of the last record, be it in the log or in the snapshot before it.
    pub fn last_epoch(&self) -> LeaderEpoch {
        let in_log = self.epochs.last().map(|entry| entry.epoch);
        in_log.or(self.earliest_snapshot.map(|id| id.epoch)).unwrap_or_default()
    }

    /// The snapshot that holds the most.
    pub fn latest_snapshot(&self) -> Option<SnapshotId> {
        self.latest_snapshot
    }

    /// The voters as of the end of the log, committed or not; empty if none are known.
    pub fn voters(&self) -> &VoterSet {
        static NONE: VoterSet = VoterSet::none();
        self.voters.last().map_or(&NONE, |(_, set)| set)
    }

    /// The offset of the record that set [`Self::voters`]; −1 for the bootstrap snapshot.
    pub fn voters_offset(&self) -> Option<Offset> {
        self.voters.last().map(|(offset, _)| *offset)
    }

    /// The voters as of all records below `end`, for a snapshot that ends there.
    pub fn voters_at(&self, end: Offset) -> Option<&VoterSet> {
        self.voters.iter().rev().find(|(offset, _)| *offset < end).map(|(_, set)| set)
    }

    /// The voter sets that may count, the latest first: back to the one that is committed, if all
    /// below `committed` is.
    pub(crate) fn voters_until(&self, committed: Offset) -> impl Iterator<Item = &VoterSet> {
        let settled = self.voters.iter().rposition(|(offset, _)| *offset < committed);
        self.voters[settled.unwrap_or(0)..].iter().rev().map(|(_, set)| set)
    }

    /// The epoch of the record at `offset`, if it is in the log.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let inside = self.start() <= offset && offset < self.end;
        let mut before = self.epochs.iter().rev().skip_while(|entry| entry.start > offset);
        before.next().map(|entry| entry.epoch).filter(|_| inside)
    }

    /// The epoch of the last record before `end`, in the log or in the snapshot that it starts at.
    pub fn epoch_before(&self, end: Offset) -> LeaderEpoch {
        let last = self.epoch_at(end + -1);
        last.or(self.earliest_snapshot.map(|id| id.epoch)).unwrap_or_default()
    }

    /// The largest epoch of at most `epoch` that this log knows, and where it ends.
    pub(crate) fn end_of_epoch(&self, epoch: LeaderEpoch) -> EpochEndOffset {
        let after = self.epochs.partition_point(|entry| entry.epoch <= epoch);
        let Some(index) = after.checked_sub(1) else {
            let SnapshotId { end_offset, epoch } = self.earliest_snapshot.unwrap_or_default();
            return EpochEndOffset { epoch, end_offset };
        };
        let end_offset = self.epochs.get(after).map_or(self.end, |next| next.start);
        EpochEndOffset { epoch: self.epochs[index].epoch, end_offset }
    }

    /// How a log that ends at `offset`, with a last record of `epoch`, lies to this one (KIP-595).
    pub(crate) fn locate(&self, offset: Offset, epoch: LeaderEpoch) -> Position {
        if self.start() == Offset::ZERO && offset == Offset::ZERO && epoch == LeaderEpoch(0) {
            return Position::Valid;
        }
        let gone = self.earliest_snapshot.is_some_and(|earliest| {
            offset < earliest.end_offset
                || (offset == earliest.end_offset && epoch != earliest.epoch)
                || epoch < earliest.epoch
        });
        if let (true, Some(latest)) = (gone, self.latest_snapshot) {
            return Position::Snapshot(latest);
        }
        let end = self.end_of_epoch(epoch);
        if end.epoch != epoch || end.end_offset < offset {
            return Position::Diverging(end);
        }
        Position::Valid
    }

    /// Where to truncate so as to agree with a leader whose log has this end of this epoch.
    pub(crate) fn agreed_end(&self, leader: EpochEndOffset) -> Offset {
        let local = self.end_of_epoch(leader.epoch);
        if local.epoch == leader.epoch {
            local.end_offset.min(leader.end_offset)
        } else {
            local.end_offset
        }
    }

    pub(crate) fn append(&mut self, batch: &BatchShape) -> Result<(), NotContiguous> {
        let last_epoch = self.last_epoch();
        let follows = batch.base_offset == self.end && batch.last_offset >= batch.base_offset;
        if !follows || batch.epoch < last_epoch {
            let BatchShape { epoch, base_offset, .. } = *batch;
            return Err(NotContiguous { epoch, base_offset, last_epoch, end: self.end });
        }
        if self.epochs.last().is_none_or(|entry| entry.epoch < batch.epoch) {
            self.epochs.push(EpochStart { epoch: batch.epoch, start: batch.base_offset });
        }
        if let Some(voters) = &batch.voters {
            self.voters.push((batch.last_offset, voters.clone()));
        }
        self.end = batch.last_offset.next();
        Ok(())
    }

    /// Appends all of `batches`, or none.
    pub(crate) fn append_all(&mut self, batches: &[BatchShape]) -> Result<(), NotContiguous> {
        let (mut end, mut last_epoch) = (self.end, self.last_epoch());
        for batch in batches {
            let BatchShape { epoch, base_offset, last_offset, .. } = *batch;
            if base_offset != end || last_offset < base_offset || epoch < last_epoch {
                return Err(NotContiguous { epoch, base_offset, last_epoch, end });
            }
            (end, last_epoch) = (last_offset.next(), epoch);
        }
        batches.iter().try_for_each(|batch| self.append(batch))
    }

    pub(crate) fn flush_point(&self) -> FlushPoint {
        FlushPoint { up_to: self.end, cuts: self.cuts }
    }

    /// Notes a flush; one that was ordered before a cut is ignored.
    pub(crate) fn flushed_to(&mut self, point: FlushPoint) {
        if point.cuts == self.cuts {
            self.flushed = self.flushed.max(point.up_to).min(self.end);
        }
    }

    /// Takes all that was found for durable, for the planted bug that does so.
    #[cfg(feature = "planted")]
    pub(crate) fn trust_all(&mut self) {
        self.flushed = self.end;
    }

    /// As [`Self::flushed_to`], for the planted bug that trusts a flush from before a cut.
    #[cfg(feature = "planted")]
    pub(crate) fn flushed_whenever(&mut self, point: FlushPoint) {
        self.flushed = self.flushed.max(point.up_to).min(self.end);
    }

    pub(crate) fn truncate(&mut self, to: Offset) {
        self.epochs.retain(|entry| entry.start < to);
        self.voters.retain(|(offset, _)| *offset < to);
        self.end = self.end.min(to);
        self.flushed = self.flushed.min(to);
        self.cuts += 1;
    }

    /// As [`Self::truncate`], for the planted bug that keeps voters whose record is gone.
    #[cfg(feature = "planted")]
    pub(crate) fn truncate_keeping_voters(&mut self, to: Offset) {
        let voters = self.voters.clone();
        self.truncate(to);
        self.voters = voters;
    }

    pub(crate) fn snapshot_taken(&mut self, id: SnapshotId) {
        self.latest_snapshot = self.latest_snapshot.max(Some(id));
    }

    /// Forgets what a snapshot covers.
    pub(crate) fn move_start(&mut self, snapshot: SnapshotId) {
        let start = snapshot.end_offset;
        let past = self.epochs.iter().skip(1).take_while(|next| next.start <= start).count();
        self.epochs.drain(..past);
        if self.end == start {
            self.epochs.clear();
        }
        if let Some(first) = self.epochs.first_mut() {
            first.start = first.start.max(start);
        }
        let before = self.voters.partition_point(|(offset, _)| *offset < start);
        self.voters.drain(..before.saturating_sub(1));
        self.earliest_snapshot = Some(snapshot);
        self.latest_snapshot = self.latest_snapshot.max(Some(snapshot));
        // What a snapshot on disk covers needs no flush.
        self.flushed = self.flushed.max(start);
    }

    /// Starts anew at the end of a snapshot.
    pub(crate) fn install(&mut self, id: SnapshotId, voters: VoterSet) {
        *self = Self { cuts: self.cuts + 1, ..Self::from_snapshot(id, voters) };
    }
}

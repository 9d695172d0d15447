//! What must hold, whatever happens: checked after each step.
//!
//! The oracle sees all nodes and all time. It keeps the one history of committed records, who led
//! which epoch, and who voted for whom.

use std::collections::BTreeMap;

use vltava_wire::Offset;

use super::disk::{Disk, digest};
use crate::effect::Effect;
use crate::machine::Machine;
use crate::message::{ControlRecord, SnapshotId, VoteRequest};
use crate::voter_set::ReplicaKey;

/// Something that must never happen did.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// What is known of the whole.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// Epoch and payload of every committed record.
    committed: Vec<(i32, u64)>,
    /// In which epoch each of them was committed, as far as the first node knew that learnt of it.
    committed_in: Vec<i32>,
    /// The digest of the first so many committed records.
    digests: Vec<u64>,
    leaders: BTreeMap<i32, (ReplicaKey, u64)>,
    votes: BTreeMap<(ReplicaKey, i32), ReplicaKey>,
    /// The highest epoch that a replica let others see.
    shown: BTreeMap<ReplicaKey, i32>,
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Self {
            committed: Vec::new(),
            committed_in: Vec::new(),
            digests: vec![0],
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            shown: BTreeMap::new(),
        }
    }

    /// How many records are committed.
    pub(crate) fn committed(&self) -> i64 {
        self.committed.len() as i64
    }

    /// Whether this is the committed record at `offset`.
    pub(crate) fn is_committed(&self, offset: i64, record: (i32, u64)) -> bool {
        self.committed.get(offset as usize) == Some(&record)
    }

    /// A replica let others see that it is in this epoch; it can never be in an older one again.
    pub(crate) fn shows_epoch(&mut self, key: ReplicaKey, epoch: i32) -> Checked {
        let shown = self.shown.entry(key).or_insert(epoch);
        if epoch < *shown {
            return Err(format!("{key} went back from epoch {shown} to {epoch}"));
        }
        *shown = epoch;
        Ok(())
    }

    /// A node became leader: alone in its epoch, and with all in its log that was committed in
    /// epochs before. (The last vote may reach it late, when a later epoch has begun.)
    pub(crate) fn leads(&mut self, machine: &Machine, incarnation: u64, disk: &Disk) -> Checked {
        let epoch = machine.leader().epoch.get();
        let leader = (machine.local(), incarnation);
        if let Some((other, _)) = self.leaders.insert(epoch, leader) {
            return Err(format!("epoch {epoch} has two leaders, {other} and {}", leader.0));
        }
        let before = self.committed_in.partition_point(|committed_in| *committed_in < epoch);
        let start = machine.log().start().get() as usize;
        for offset in start.min(before)..before {
            if disk.image().record(offset as i64) != Some(self.committed[offset]) {
                return Err(format!("{} leads epoch {epoch} without record {offset}", leader.0));
            }
        }
        Ok(())
    }

    /// A replica gave its vote: to one candidate an epoch, and only if it was the one asked.
    pub(crate) fn votes(&mut self, voter: ReplicaKey, request: &VoteRequest) -> Checked {
        let VoteRequest { voter: asked, candidate, epoch, pre_vote, .. } = request;
        if *asked != voter {
            return Err(format!("{voter} gave the vote that {asked} was asked for"));
        }
        if *pre_vote {
            return Ok(());
        }
        let given = *self.votes.entry((voter, epoch.get())).or_insert(*candidate);
        if given != *candidate {
            return Err(format!("{voter} voted for {given} and for {candidate} in epoch {epoch}"));
        }
        Ok(())
    }

    /// A node applies the committed record at `offset`: the same one as everybody.
    pub(crate) fn applies(
        &mut self,
        machine: &Machine,
        offset: i64,
        record: (i32, u64),
    ) -> Checked {
        let key = machine.local();
        match self.committed.get(offset as usize) {
            Some(committed) if *committed == record => Ok(()),
            Some(committed) => Err(format!(
                "{key} commits {record:x?} at {offset}, where {committed:x?} was committed"
            )),
            None => {
                let last = *self.digests.last().expect("the digest of no records is there");
                self.committed.push(record);
                self.committed_in.push(machine.quorum_state().epoch.get());
                self.digests.push(digest(last, record.0, record.1));
                Ok(())
            }
        }
    }

    /// A node applied the first `applied` records: its state is that of everybody.
    pub(crate) fn is_at(&self, key: ReplicaKey, applied: i64, state: u64) -> Checked {
        match self.digests.get(applied as usize) {
            Some(expected) if *expected == state => Ok(()),
            Some(_) => Err(format!("{key} has another state than others after {applied} records")),
            None => Err(format!("{key} applied {applied} records, more than are committed")),
        }
    }

    /// The leader commits up to `end` for the first time: a majority of its voters has it on disk,
    /// and the last record is of its own epoch.
    pub(crate) fn commits<'a>(
        &self,
        machine: &Machine,
        end: Offset,
        disks: impl Fn(ReplicaKey) -> Option<&'a Disk>,
    ) -> Checked {
        let epoch = machine.log().epoch_before(end);
        if epoch != machine.leader().epoch {
            return Err(format!(
                "{} leads epoch {} and commits up to {end}, of epoch {epoch}, by count",
                machine.local(),
                machine.leader().epoch
            ));
        }
        let voters = machine.voters();
        let holds = |key: &ReplicaKey| {
            disks(*key).is_some_and(|disk| disk.holds_durably(end.get(), epoch.get()))
        };
        let holding = voters.keys().filter(holds).count();
        if holding < voters.majority() {
            return Err(format!(
                "{} commits up to {end}, which {holding} of {} voters have on disk",
                machine.local(),
                voters.len()
            ));
        }
        Ok(())
    }

    /// A replica cuts its log: of what is committed, it loses nothing that it has.
    pub(crate) fn truncates(&self, key: ReplicaKey, disk: &Disk, to: Offset) -> Checked {
        let end = disk.image().end().min(self.committed());
        for offset in to.get()..end {
            if disk.image().record(offset) == Some(self.committed[offset as usize]) {
                return Err(format!("{key} cuts off record {offset}, which is committed"));
            }
        }
        Ok(())
    }

    /// A replica puts a snapshot in place of its log: it covers committed records alone.
    pub(crate) fn installs(&self, key: ReplicaKey, id: SnapshotId, state: u64) -> Checked {
        self.is_at(key, id.end_offset.get(), state)
    }

    /// A leader writes a change of the voters while it runs: the last one is committed, and so is
    /// a record of its own epoch.
    pub(crate) fn changes_voters(&self, before: &VotersBefore, effect: &Effect) -> Checked {
        let Effect::AppendControl { records, base_offset, .. } = effect else { return Ok(()) };
        let first = records.first();
        if !matches!(first, Some(ControlRecord::Voters(_))) {
            return Ok(());
        }
        if !before.settled {
            return Err(format!(
                "the voters change at {base_offset} before the last change is done"
            ));
        }
        Ok(())
    }
}

/// Whether the voters could be changed before a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VotersBefore {
    /// The last change, and a record of the leader's epoch, are committed.
    pub(crate) settled: bool,
}

impl VotersBefore {
    pub(crate) fn of(machine: &Machine) -> Self {
        let Some(committed) = machine.high_watermark() else { return Self { settled: false } };
        let voters = machine.log().voters_offset().is_none_or(|offset| offset < committed);
        let own = machine.log().epoch_before(committed) == machine.leader().epoch;
        Self { settled: voters && own }
    }
}

//! A node's disk: what was synced survives a crash, of the rest an arbitrary part, in order.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use vltava_wire::{LeaderEpoch, NodeId, Offset, Uuid};

use super::dice::Dice;
use crate::effect::QuorumState;
use crate::log_shape::LogShape;
use crate::message::{BatchShape, Records, SnapshotId};
use crate::voter_set::{DirectoryId, Endpoint, ReplicaKey, Voter, VoterSet};

/// Bytes that a record takes in a fetch.
const RECORD_BYTES: usize = 8;

/// The state that records are applied to: a digest of all of them.
pub(crate) fn digest(before: u64, epoch: i32, payload: u64) -> u64 {
    let mixed = before.rotate_left(5) ^ payload ^ ((epoch as u64) << 48);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

/// A record batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) epoch: i32,
    pub(crate) payloads: Vec<u64>,
    pub(crate) voters: Option<VoterSet>,
}

impl Batch {
    pub(crate) fn end(&self) -> i64 {
        self.base_offset + self.payloads.len() as i64
    }

    pub(crate) fn shape(&self) -> BatchShape {
        BatchShape {
            base_offset: Offset(self.base_offset),
            last_offset: Offset(self.end() - 1),
            epoch: LeaderEpoch(self.epoch),
            voters: self.voters.clone(),
        }
    }
}

/// The content of the log's files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    start: i64,
    batches: Vec<Rc<Batch>>,
}

impl Image {
    pub(crate) fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| batch.end())
    }

    /// Epoch and payload of a record.
    pub(crate) fn record(&self, offset: i64) -> Option<(i32, u64)> {
        let after = self.batches.partition_point(|batch| batch.base_offset <= offset);
        let batch = &self.batches[after.checked_sub(1)?];
        let payload = batch.payloads.get((offset - batch.base_offset) as usize)?;
        Some((batch.epoch, *payload))
    }

    pub(crate) fn last_voters(&self) -> Option<&VoterSet> {
        self.batches.iter().rev().find_map(|batch| batch.voters.as_ref())
    }

    fn apply(&mut self, write: &Write) {
        match write {
            // What a snapshot has meanwhile taken the place of is not written any more.
            Write::Append(batch) if batch.base_offset == self.end() => {
                self.batches.push(Rc::clone(batch));
            }
            Write::Append(_) => {}
            Write::Truncate(to) => self.truncate(*to),
        }
    }

    fn truncate(&mut self, to: i64) {
        self.batches.retain(|batch| batch.base_offset < to);
        if let Some(last) = self.batches.last_mut()
            && last.end() > to
        {
            let kept = (to - last.base_offset) as usize;
            Rc::make_mut(last).payloads.truncate(kept);
        }
    }

    fn move_start(&mut self, start: i64) {
        if self.end() <= start {
            self.batches.clear();
        }
        self.batches.retain(|batch| batch.end() > start);
        self.start = start;
    }
}

/// A change of the log's files.
#[derive(Clone, Debug)]
enum Write {
    Append(Rc<Batch>),
    Truncate(i64),
}

/// The content of a snapshot: the digest of all records that it covers, and the voters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    pub(crate) digest: u64,
    pub(crate) voters: VoterSet,
}

impl SnapshotFile {
    /// As it is sent to others.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.digest.to_le_bytes().to_vec();
        for voter in self.voters.iter() {
            let port = voter.endpoints.first().map_or(0, |endpoint| endpoint.port);
            bytes.extend(voter.key.id.get().to_le_bytes());
            bytes.extend(voter.key.directory_id.0.to_le_bytes());
            bytes.extend(port.to_le_bytes());
        }
        bytes
    }

    /// As it was received; `None` if it is torn.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (digest, mut rest) = bytes.split_first_chunk::<8>()?;
        let mut voters = Vec::new();
        while !rest.is_empty() {
            let (id, after) = rest.split_first_chunk::<4>()?;
            let (directory_id, after) = after.split_first_chunk::<16>()?;
            let (port, after) = after.split_first_chunk::<2>()?;
            let id = NodeId(i32::from_le_bytes(*id));
            let key = ReplicaKey::new(id, Uuid(u128::from_le_bytes(*directory_id)));
            voters.push(Voter::new(key, vec![endpoint(id, u16::from_le_bytes(*port))]));
            rest = after;
        }
        Some(Self { digest: u64::from_le_bytes(*digest), voters: VoterSet::new(voters) })
    }
}

/// Where a node listens.
pub(crate) fn endpoint(id: NodeId, port: u16) -> Endpoint {
    Endpoint { name: "CONTROLLER".into(), host: format!("node-{id}").into(), port }
}

/// A node's disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) directory_id: DirectoryId,
    pub(crate) quorum_state: QuorumState,
    pub(crate) snapshots: BTreeMap<SnapshotId, SnapshotFile>,
    partial: Option<(SnapshotId, Vec<u8>)>,
    /// What a power cut leaves at the least.
    synced: Image,
    /// What was written since, in order.
    unsynced: Vec<Write>,
    /// What the process reads.
    image: Image,
}

impl Disk {
    pub(crate) fn new(directory_id: DirectoryId) -> Self {
        Self {
            directory_id,
            quorum_state: QuorumState::default(),
            snapshots: BTreeMap::new(),
            partial: None,
            synced: Image::default(),
            unsynced: Vec::new(),
            image: Image::default(),
        }
    }

    /// The disk of a voter that founds the quorum.
    pub(crate) fn founding(directory_id: DirectoryId, voters: VoterSet) -> Self {
        let mut disk = Self::new(directory_id);
        disk.snapshots.insert(SnapshotId::default(), SnapshotFile { digest: 0, voters });
        disk
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// Whether a power cut would leave the record before `end`, of this epoch, or a snapshot of it.
    pub(crate) fn holds_durably(&self, end: i64, epoch: i32) -> bool {
        let in_snapshot = self.snapshots.keys().any(|id| id.end_offset.get() >= end);
        in_snapshot || self.synced.record(end - 1).is_some_and(|(found, _)| found == epoch)
    }

    fn write(&mut self, write: Write) {
        self.image.apply(&write);
        self.unsynced.push(write);
    }

    pub(crate) fn append(&mut self, batch: Batch) {
        self.write(Write::Append(Rc::new(batch)));
    }

    pub(crate) fn truncate(&mut self, to: i64) {
        self.write(Write::Truncate(to));
    }

    /// How many writes a sync that starts now will cover.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// A sync that covers the first `writes` of the unsynced writes is done.
    pub(crate) fn sync(&mut self, writes: usize) {
        for write in self.unsynced.drain(..writes.min(self.unsynced.len())) {
            self.synced.apply(&write);
        }
    }

    /// The process was killed: the page cache stays.
    pub(crate) fn kill(&mut self) {
        self.partial = None;
    }

    /// The power was cut: of what was not synced, a part of arbitrary length is left.
    pub(crate) fn cut_power(&mut self, dice: &mut Dice) {
        self.partial = None;
        let survive = dice.below(self.unsynced.len() as u64 + 1) as usize;
        self.sync(survive);
        self.unsynced.clear();
        self.image = self.synced.clone();
    }

    /// Batches from `from` on, at least one if there is any, else as many as `max_bytes` hold.
    pub(crate) fn read(&self, from: i64, max_bytes: usize) -> Records {
        let first = self.image.batches.partition_point(|batch| batch.end() <= from);
        let mut bytes = Vec::new();
        let mut batches = Vec::new();
        for batch in &self.image.batches[first..] {
            let size = batch.payloads.len() * RECORD_BYTES;
            if !batches.is_empty() && bytes.len() + size > max_bytes {
                break;
            }
            bytes.extend(batch.payloads.iter().flat_map(|payload| payload.to_le_bytes()));
            batches.push(batch.shape());
        }
        Records { bytes: Bytes::from(bytes), batches }
    }

    pub(crate) fn append_fetched(&mut self, records: &Records) {
        let mut payloads = records
            .bytes
            .chunks_exact(RECORD_BYTES)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("chunks of eight bytes")));
        for shape in &records.batches {
            let count = shape.last_offset - shape.base_offset + 1;
            self.append(Batch {
                base_offset: shape.base_offset.get(),
                epoch: shape.epoch.get(),
                payloads: payloads.by_ref().take(count as usize).collect(),
                voters: shape.voters.clone(),
            });
        }
    }

    pub(crate) fn write_snapshot(&mut self, id: SnapshotId, position: u64, bytes: &[u8]) {
        if position == 0 {
            self.partial = Some((id, Vec::new()));
        }
        if let Some((_, file)) = self.partial.as_mut().filter(|(partial, _)| *partial == id) {
            file.extend(bytes);
        }
    }

    /// Makes the fetched snapshot durable under its name; `None` if it is torn.
    pub(crate) fn finish_snapshot(&mut self, id: SnapshotId) -> Option<SnapshotFile> {
        let (partial, bytes) = self.partial.take()?;
        let file = SnapshotFile::from_bytes(&bytes).filter(|_| partial == id)?;
        self.snapshots.insert(id, file.clone());
        Some(file)
    }

    /// Drops the log, which starts anew at the end of a snapshot that is on this disk.
    pub(crate) fn start_at(&mut self, id: SnapshotId) {
        self.unsynced.clear();
        self.synced = Image { start: id.end_offset.get(), batches: Vec::new() };
        self.image = self.synced.clone();
        self.snapshots.retain(|held, _| *held >= id);
    }

    /// Deletes what the snapshot covers.
    pub(crate) fn move_start(&mut self, id: SnapshotId) {
        self.image.move_start(id.end_offset.get());
        self.synced.move_start(id.end_offset.get());
        self.snapshots.retain(|held, _| *held >= id);
    }

    /// What a process that starts finds; drops the log if the latest snapshot is ahead of it.
    pub(crate) fn recover(&mut self) -> LogShape {
        let start = self.image.start;
        let mut snapshots = self.snapshots.iter();
        let earliest = snapshots.find(|(id, _)| id.end_offset.get() == start);
        let mut shape = earliest.map_or_else(LogShape::empty, |(id, file)| {
            LogShape::from_snapshot(*id, file.voters.clone())
        });
        self.restore(&mut shape);
        let latest = self.snapshots.last_key_value();
        let Some((latest, voters)) = latest.map(|(id, file)| (*id, file.voters.clone())) else {
            return shape;
        };
        if shape.is_behind(latest) {
            self.start_at(latest);
            return LogShape::from_snapshot(latest, voters);
        }
        shape.restore_snapshot(latest);
        shape
    }

    fn restore(&mut self, shape: &mut LogShape) {
        for batch in &self.image.batches {
            shape.restore(&batch.shape()).expect("a log's batches follow one another");
        }
    }

    /// The voter sets of snapshots, by the offset from which they count at the latest.
    pub(crate) fn voters_in_snapshots(&self) -> impl Iterator<Item = (i64, &VoterSet)> {
        self.snapshots.iter().map(|(id, file)| (id.end_offset.get() - 1, &file.voters))
    }

    /// The voter sets in the log, or in what a power cut can make of it, by their offset and what
    /// is recorded there.
    pub(crate) fn voters_in_log(&self) -> impl Iterator<Item = (i64, (i32, u64), &VoterSet)> {
        let unsynced = self.unsynced.iter().filter_map(|write| match write {
            Write::Append(batch) => Some(batch),
            Write::Truncate(_) => None,
        });
        let batches = self.image.batches.iter().chain(&self.synced.batches).chain(unsynced);
        batches.filter_map(|batch| {
            let voters = batch.voters.as_ref()?;
            Some((batch.end() - 1, (batch.epoch, *batch.payloads.last()?), voters))
        })
    }

    /// The snapshot that holds the most.
    pub(crate) fn latest_snapshot(&self) -> Option<(SnapshotId, &SnapshotFile)> {
        self.snapshots.last_key_value().map(|(id, file)| (*id, file))
    }
}

//! Snapshot files of the metadata log (KIP-630), as bytes.
//!
//! A file `<end offset>-<epoch>.checkpoint` holds record batches: a control batch with the
//! header (and, of a dynamic quorum, `kraft.version` and the voters), the image's records, and a
//! control batch with the footer. Offsets within the file count from 0.

use std::fmt;
use std::str::FromStr;

use vltava_wire::batch::{BatchBuilder, BatchError, Batches, ControlRecord, ControlRecordError};
use vltava_wire::records::raft::{
    KRaftVersionRecord, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use vltava_wire::{LeaderEpoch, Offset, Str};

use crate::{BATCH_BYTES_MAX, Changes, Image, Provenance, ReplayError};

/// The ending of a snapshot's file.
pub const SUFFIX: &str = ".checkpoint";

/// Records of one batch of a snapshot; small, so that neither side holds much at a time.
const RECORDS_PER_BATCH: usize = 1024;

/// Which part of the log a snapshot replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The offset after the last record that the snapshot contains.
    pub end_offset: Offset,
    /// The epoch of that last record.
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// The snapshot that a quorum is founded with.
    pub const BOOTSTRAP: Self = Self { end_offset: Offset(0), epoch: LeaderEpoch(0) };

    /// The name of the snapshot's file.
    pub fn file_name(self) -> String {
        format!("{self}{SUFFIX}")
    }

    /// The snapshot whose file has that name; `None` for other files.
    pub fn from_file_name(name: &str) -> Option<Self> {
        name.strip_suffix(SUFFIX)?.parse().ok()
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end_offset.get(), self.epoch.get())
    }
}

impl FromStr for SnapshotId {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let error = || CheckpointError::Name(text.to_owned());
        let (end_offset, epoch) = text.split_once('-').ok_or_else(error)?;
        if end_offset.len() != 20 || epoch.len() != 10 {
            return Err(error());
        }
        Ok(Self {
            end_offset: Offset(end_offset.parse().map_err(|_| error())?),
            epoch: LeaderEpoch(epoch.parse().map_err(|_| error())?),
        })
    }
}

/// Why bytes are no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// A name that is not `<end offset>-<epoch>`.
    #[error("{0:?} is not the name of a snapshot")]
    Name(String),
    /// Bytes that are no record batch, or one whose CRC is wrong.
    #[error("a batch of the snapshot is malformed")]
    Batch(#[source] BatchError),
    /// A control record that is not what its type says.
    #[error("a control record of the snapshot is malformed")]
    Control(#[source] ControlRecordError),
    /// Records that do not build an image.
    #[error("a record of the snapshot cannot be applied")]
    Replay(#[source] ReplayError),
    /// A snapshot that does not start with its header.
    #[error("the snapshot has no header")]
    NoHeader,
    /// A snapshot that was cut off.
    #[error("the snapshot has no footer: it is not whole")]
    NoFooter,
}

/// A snapshot, decoded.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The cluster, at the snapshot's last record.
    pub image: Image,
    /// The level of `kraft.version`; 0 if the snapshot has no such record.
    pub kraft_version: i16,
    /// The voters of the quorum at that record, if the snapshot names them.
    pub voters: Option<VotersRecord>,
    /// When the last record was appended, in ms since 1970.
    pub last_contained_log_timestamp: i64,
}

/// The bytes of the snapshot `id`, which holds `image`; `now` in ms since 1970.
///
/// With `voters`, the snapshot says `kraft.version` 1 and who they are.
pub fn encode(id: SnapshotId, image: &Image, voters: Option<&VotersRecord>, now: i64) -> Vec<u8> {
    let mut file = File { bytes: Vec::new(), id, next: Offset(0) };
    let mut head = file.builder().control();
    let header = SnapshotHeaderRecord {
        version: 0,
        last_contained_log_timestamp: image.provenance().timestamp.max(0),
    };
    head.append_control_record(now, &ControlRecord::SnapshotHeader(header));
    if let Some(voters) = voters {
        let version = KRaftVersionRecord { version: 0, k_raft_version: 1 };
        head.append_control_record(now, &ControlRecord::KraftVersion(version));
        head.append_control_record(now, &ControlRecord::KraftVoters(voters.clone()));
    }
    file.close(head);
    let mut batch = file.builder();
    image.each_record(|record| {
        batch.append(now, None, Some(&record.encode()), &[]);
        if batch.count() >= RECORDS_PER_BATCH || batch.size_in_bytes() >= BATCH_BYTES_MAX / 8 {
            file.close(std::mem::replace(&mut batch, BatchBuilder::new(Offset(0))));
            batch = file.builder();
        }
    });
    if !batch.is_empty() {
        file.close(batch);
    }
    let mut foot = file.builder().control();
    let footer = SnapshotFooterRecord { version: 0 };
    foot.append_control_record(now, &ControlRecord::SnapshotFooter(footer));
    file.close(foot);
    file.bytes
}

/// A snapshot file while it is made.
struct File {
    bytes: Vec<u8>,
    id: SnapshotId,
    next: Offset,
}

impl File {
    fn builder(&self) -> BatchBuilder {
        BatchBuilder::new(self.next).partition_leader_epoch(self.id.epoch)
    }

    fn close(&mut self, batch: BatchBuilder) {
        self.next = batch.next_offset();
        self.bytes.extend_from_slice(&batch.build());
    }
}

/// Reads the snapshot `id` of the cluster `cluster_id`.
///
/// # Errors
/// Bytes that are no whole snapshot: each batch's CRC, the header and the footer are checked.
pub fn decode(
    id: SnapshotId,
    cluster_id: Str,
    bytes: &[u8],
) -> Result<Checkpoint, CheckpointError> {
    let mut checkpoint = Checkpoint {
        image: Image::new(cluster_id),
        kraft_version: 0,
        voters: None,
        last_contained_log_timestamp: -1,
    };
    let mut changes = Changes::default();
    let (mut header, mut footer) = (false, false);
    for batch in Batches::new(bytes) {
        let batch = batch.map_err(CheckpointError::Batch)?;
        batch.verify_crc().map_err(CheckpointError::Batch)?;
        if batch.header.is_control() {
            let records = batch.records(BATCH_BYTES_MAX).map_err(CheckpointError::Batch)?;
            for record in &records {
                let record = record.map_err(CheckpointError::Batch)?;
                let control = ControlRecord::parse(&record).map_err(CheckpointError::Control)?;
                header |= matches!(control, Some(ControlRecord::SnapshotHeader(_)));
                footer |= matches!(control, Some(ControlRecord::SnapshotFooter(_)));
                checkpoint.note(control);
            }
        }
        if !header {
            return Err(CheckpointError::NoHeader);
        }
        checkpoint.image.replay_batch(&batch, &mut changes).map_err(CheckpointError::Replay)?;
    }
    if !footer {
        return Err(CheckpointError::NoFooter);
    }
    checkpoint.image.set_provenance(Provenance {
        offset: Offset(id.end_offset.get() - 1),
        epoch: id.epoch,
        timestamp: checkpoint.last_contained_log_timestamp,
    });
    Ok(checkpoint)
}

impl Checkpoint {
    fn note(&mut self, control: Option<ControlRecord>) {
        match control {
            Some(ControlRecord::SnapshotHeader(header)) => {
                self.last_contained_log_timestamp = header.last_contained_log_timestamp;
            }
            Some(ControlRecord::KraftVersion(level)) => self.kraft_version = level.k_raft_version,
            Some(ControlRecord::KraftVoters(voters)) => self.voters = Some(voters),
            _ => {}
        }
    }
}

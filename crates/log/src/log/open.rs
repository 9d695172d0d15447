//! Opening a log: what is below the recovery point is trusted, what is above it is checked and
//! cut at the first thing that is not right.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vltava_wire::batch::Batch;
use vltava_wire::{LeaderEpoch, Offset};

use super::{Log, corrupt};
use crate::config::LogConfig;
use crate::disk::{Disk, SyncKind, Volume};
use crate::epochs::{self, Epochs};
use crate::error::LogError;
use crate::folder::{self, Folder, Listing};
use crate::producers::{AbortedTransaction, Producers, snapshot};
use crate::scan::{HeaderWalk, Placed};
use crate::segment::{Found, Segment, read_batch};

/// Bytes read at once while headers are read for what they say of producers.
const REPLAY_BYTES: usize = 64 * 1024;

/// A control batch that is larger is no transaction marker.
const MARKER_BYTES_MAX: usize = 4096;

/// What is known from outside when a log is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Everything below was durable once: from the recovery-point checkpoint, or 0. The owner
    /// never persists more than [`Log::flushed_offset`].
    pub recovery_point: Offset,
    /// Whether the log was closed before ([`Log::close`]): nothing is scanned then.
    pub clean_shutdown: bool,
    /// From the log-start checkpoint, or 0.
    pub log_start_offset: Offset,
    /// Now, in ms since 1970.
    pub now_ms: i64,
}

/// What opening a log found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments there are.
    pub segments: usize,
    /// Bytes of records whose CRC was checked.
    pub scanned_bytes: u64,
    /// Bytes cut off as they were not whole, valid batches; all above the recovery point.
    pub truncated_bytes: u64,
    /// Segments removed with them.
    pub segments_removed: usize,
    /// Segments whose indexes were made anew, though they should have been right.
    pub indexes_rebuilt: usize,
    /// Bytes of batches whose headers were read to know the producers.
    pub producer_replay_bytes: u64,
}

struct Opening {
    folder: Folder,
    config: LogConfig,
    options: OpenOptions,
    report: RecoveryReport,
    segments: Vec<Segment>,
    epochs: Epochs,
}

impl Log {
    /// Opens the log in `dir`, or makes an empty one that starts at `log_start_offset`.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] and [`LogError::RecordsMissing`] if what was durable is not there
    /// any more; [`LogError::Disk`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        config: LogConfig,
        options: OpenOptions,
    ) -> Result<(Self, RecoveryReport), LogError> {
        Self::open_while(disk, dir, config, options, &|| true)
    }

    /// As [`open`](Self::open), for as long as `goes_on` says: it is asked before each segment.
    pub(crate) fn open_while(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        config: LogConfig,
        options: OpenOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(Self, RecoveryReport), LogError> {
        let volume = Volume::new(disk);
        volume.create_folder(&dir, SyncKind::LogFolder)?;
        let folder = Folder { volume: volume.clone(), dir, ending: "" };
        crate::clean::finish(&folder)?;
        let mut listing = folder.tidy_and_list()?;
        let path = folder.dir.join(epochs::FILE);
        let epochs = Epochs::load(volume, path.clone())?.map_err(|reason| LogError::Corrupt {
            file: path,
            position: 0,
            reason,
        })?;
        let report = RecoveryReport::default();
        let mut opening = Opening { folder, config, options, report, segments: Vec::new(), epochs };
        opening.load_segments(&listing, goes_on)?;
        let log_start_offset = opening.settle_ends(&mut listing)?;
        let producers = opening.load_producers(&mut listing)?;
        Ok(opening.finish(log_start_offset, producers, listing.snapshots))
    }
}

impl Opening {
    /// Up to where everything must be right.
    fn trusted_end(&self) -> Offset {
        if self.options.clean_shutdown { Offset(i64::MAX) } else { self.options.recovery_point }
    }

    fn load_segments(
        &mut self,
        listing: &Listing,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), LogError> {
        for (index, &(base_offset, size)) in listing.logs.iter().enumerate() {
            if !goes_on() {
                return Err(LogError::GivenUp { dir: self.folder.dir.clone() });
            }
            let next_base = listing.logs.get(index + 1).map(|(next, _)| *next);
            let found = Found {
                base_offset,
                size,
                next_base,
                index_interval_bytes: self.config.index_interval_bytes,
                now_ms: self.options.now_ms,
            };
            let trusted = self.options.clean_shutdown
                || next_base.is_some_and(|next| next <= self.options.recovery_point);
            if trusted {
                self.load_trusted(&found)?;
            } else if self.recover(&found)? {
                return self.remove_after(&listing.logs[index + 1..]);
            }
        }
        Ok(())
    }

    fn load_trusted(&mut self, found: &Found) -> Result<(), LogError> {
        let base = found.base_offset;
        let loaded = Segment::load(&self.folder, found)
            .map_err(|error| corrupt(&self.folder, base, error))?;
        if let Some(segment) = loaded {
            self.segments.push(segment);
            return Ok(());
        }
        self.report.indexes_rebuilt += 1;
        let nothing = Offset::ZERO;
        let recovered = Segment::recover(&self.folder, found, nothing, &mut |_| Ok(()))?;
        self.report.scanned_bytes += recovered.scanned_bytes;
        if let Some((position, reason)) = recovered.invalid {
            let file = self.folder.path(base, folder::LOG);
            return Err(LogError::Corrupt { file, position, reason });
        }
        self.push_checked(recovered.segment, found)
    }

    /// Takes a segment whose batches were checked. One that another follows must be durable
    /// with its indexes before it counts as such.
    fn push_checked(&mut self, mut segment: Segment, found: &Found) -> Result<(), LogError> {
        if found.next_base.is_some() {
            segment.sync(&self.folder, SyncKind::SegmentRoll)?;
            segment.seal(&self.folder)?;
            segment.retire();
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Checks a segment; says whether it was cut, so that none may follow it.
    fn recover(&mut self, found: &Found) -> Result<bool, LogError> {
        let trusted_end = self.trusted_end();
        let epochs = &mut self.epochs;
        let mut is_first = true;
        let mut visit = |batch: &Batch<'_>| {
            let (epoch, base_offset) =
                (batch.header.partition_leader_epoch, batch.header.base_offset);
            // What the file says of epochs from here on may be older than the records.
            if std::mem::take(&mut is_first) {
                epochs.truncate_from_end(base_offset);
            }
            let latest = epochs.latest().unwrap_or(LeaderEpoch::UNKNOWN);
            if epoch < latest && base_offset >= trusted_end {
                return Err(format!("a batch of leader epoch {epoch} after one of {latest}"));
            }
            epochs.assign(epoch, base_offset);
            Ok(())
        };
        let recovered = Segment::recover(&self.folder, found, trusted_end, &mut visit)?;
        self.report.scanned_bytes += recovered.scanned_bytes;
        let mut segment = recovered.segment;
        let Some((position, reason)) = recovered.invalid else {
            self.push_checked(segment, found)?;
            return Ok(false);
        };
        if segment.next_offset() < trusted_end {
            let file = self.folder.path(found.base_offset, folder::LOG);
            return Err(LogError::Corrupt { file, position, reason });
        }
        segment.cut_at(&self.folder, position)?;
        self.report.truncated_bytes += found.size - position;
        self.segments.push(segment);
        Ok(true)
    }

    /// Removes the segments after a cut, the last one first, so that a crash leaves no gap.
    fn remove_after(&mut self, logs: &[(Offset, u64)]) -> Result<(), LogError> {
        for &(base_offset, size) in logs.iter().rev() {
            self.folder.remove_segment(base_offset)?;
            self.report.segments_removed += 1;
            self.report.truncated_bytes += size;
        }
        Ok(())
    }

    /// Makes the log's start and end agree with what the owner says; returns the start.
    fn settle_ends(&mut self, listing: &mut Listing) -> Result<Offset, LogError> {
        let OpenOptions { recovery_point, clean_shutdown, log_start_offset, .. } = self.options;
        let end = self.segments.last().map_or(Offset::ZERO, Segment::next_offset);
        if end.max(log_start_offset) < recovery_point && !clean_shutdown {
            let dir = self.folder.dir.clone();
            return Err(LogError::RecordsMissing { dir, recovery_point, log_end_offset: end });
        }
        if self.segments.is_empty() || end < log_start_offset {
            self.begin_anew(listing)?;
        }
        let last = self.segments.last_mut().expect("one was made if there was none");
        last.activate(&self.folder)?;
        let end = last.next_offset();
        let start = log_start_offset.max(self.segments[0].base_offset());
        self.epochs.truncate_from_end(end);
        self.epochs.truncate_from_start(start);
        Ok(start)
    }

    /// Makes an empty segment at the log's start; all there is lies below. First goes what would
    /// be taken for something that the new records left.
    fn begin_anew(&mut self, listing: &mut Listing) -> Result<(), LogError> {
        self.epochs.clear();
        if let Some(epochs) = self.epochs.unwritten() {
            epochs.write()?;
        }
        for offset in listing.snapshots.drain(..) {
            self.folder.volume.remove_file(&self.folder.path(offset, folder::SNAPSHOT))?;
        }
        for segment in self.segments.drain(..).rev() {
            self.folder.remove_segment(segment.base_offset())?;
        }
        let OpenOptions { log_start_offset, now_ms, .. } = self.options;
        self.segments.push(Segment::begin(&self.folder, log_start_offset, now_ms)?);
        Ok(())
    }

    /// The newest snapshot that is whole, and the batches since.
    fn load_producers(&mut self, listing: &mut Listing) -> Result<Producers, LogError> {
        let end = self.segments.last().map_or(Offset::ZERO, Segment::next_offset);
        let beyond = listing.snapshots.partition_point(|offset| *offset <= end);
        // One beyond the end is of records that are gone. It must not come back when others
        // have been appended in their place.
        for offset in &listing.snapshots[beyond..] {
            self.folder.volume.remove_file(&self.folder.path(*offset, folder::SNAPSHOT))?;
        }
        if beyond < listing.snapshots.len() {
            self.folder.volume.sync_folder(&self.folder.dir, SyncKind::TruncateFolder)?;
        }
        listing.snapshots.truncate(beyond);
        let doubtful = self.segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let doubtful = doubtful.iter().filter(|segment| segment.doubts_aborted());
        self.report.indexes_rebuilt += doubtful.clone().count();
        let at_most = doubtful.map(Segment::base_offset).min().unwrap_or(Offset(i64::MAX));
        let (mut producers, from) = newest_snapshot(&self.folder, &mut listing.snapshots, at_most)?;
        if let Some(last) = self.segments.last_mut() {
            // It may know of markers that are gone.
            last.forget_aborted(&self.folder, end)?;
        }
        self.report.producer_replay_bytes =
            replay(&self.folder, &mut self.segments, from, &mut producers)?;
        producers.expire(self.options.now_ms, self.config.producer_id_expiration_ms);
        Ok(producers)
    }

    fn finish(
        self,
        log_start_offset: Offset,
        producers: Producers,
        snapshots: Vec<Offset>,
    ) -> (Log, RecoveryReport) {
        let last = self.segments.last().expect("one was made if there was none");
        // Segments that another follows were synced when they were, or just now.
        let flushed_offset = self.trusted_end().max(last.base_offset()).min(last.next_offset());
        let mut report = self.report;
        report.segments = self.segments.len();
        let log = Log {
            folder: self.folder,
            config: self.config,
            segments: self.segments,
            log_start_offset,
            flushed_offset,
            truncations: first_truncation(),
            epochs: self.epochs,
            producers,
            snapshots,
            bytes_since_snapshot: report.producer_replay_bytes,
            failure: None,
        };
        (log, report)
    }
}

/// Where a log begins to count its truncations: no two logs of a process ever count alike, so that
/// a flush of one that was replaced says nothing of the one in its place.
fn first_truncation() -> u64 {
    static LOGS: AtomicU64 = AtomicU64::new(0);
    LOGS.fetch_add(1, Ordering::Relaxed) << 32
}

/// The producers of the newest snapshot at or before `at_most` that is whole, and its offset.
/// Those that are not whole are removed from the list.
pub(super) fn newest_snapshot(
    folder: &Folder,
    snapshots: &mut Vec<Offset>,
    at_most: Offset,
) -> Result<(Producers, Offset), LogError> {
    for at in (0..snapshots.len()).rev() {
        let offset = snapshots[at];
        if offset > at_most {
            continue;
        }
        let bytes = folder.volume.read_file(&folder.path(offset, folder::SNAPSHOT))?;
        if let Some(producers) = bytes.and_then(|bytes| snapshot::decode(&bytes)) {
            return Ok((producers, offset));
        }
        snapshots.remove(at);
    }
    Ok((Producers::default(), Offset(i64::MIN)))
}

/// Notes what the batches from `from` on say of producers, and of transactions that were aborted;
/// returns how many bytes they take.
pub(super) fn replay(
    folder: &Folder,
    segments: &mut [Segment],
    from: Offset,
    producers: &mut Producers,
) -> Result<u64, LogError> {
    let mut bytes = 0;
    let last = segments.len().saturating_sub(1);
    for (at, segment) in segments.iter_mut().enumerate() {
        if segment.next_offset() <= from {
            continue;
        }
        bytes += replay_segment(folder, segment, from, producers)?;
        if at < last {
            segment.seal_aborted(folder)?;
            segment.retire();
        }
    }
    Ok(bytes)
}

fn replay_segment(
    folder: &Folder,
    segment: &mut Segment,
    from: Offset,
    producers: &mut Producers,
) -> Result<u64, LogError> {
    segment.forget_aborted(folder, from)?;
    let base = segment.base_offset();
    let file = segment.file(folder)?;
    let first = segment
        .find(folder, &file, from.max(base))
        .map_err(|error| corrupt(folder, base, error))?;
    let Some(first) = first else { return Ok(0) };
    let mut walk = HeaderWalk::new(&file, first.position, segment.size(), REPLAY_BYTES);
    while let Some(placed) = walk.next().map_err(|error| corrupt(folder, base, error))? {
        if placed.header.has_producer_id() && placed.header.base_offset >= from {
            let aborted = replay_batch(&file, &placed, producers)?;
            aborted.into_iter().for_each(|aborted| segment.note_aborted(aborted));
        }
    }
    Ok(segment.size() - first.position)
}

fn replay_batch(
    file: &crate::disk::OpenFile,
    placed: &Placed,
    producers: &mut Producers,
) -> Result<Option<AbortedTransaction>, LogError> {
    let header = placed.header;
    let mut bytes = bytes::BytesMut::new();
    if header.is_control() && header.size_in_bytes() <= MARKER_BYTES_MAX {
        bytes = read_batch(file, placed)?;
    }
    Ok(match Batch::parse(&bytes) {
        Ok(batch) => producers.replay(&batch),
        Err(_) => producers.replay(&Batch { at: 0, header, bytes: &[] }),
    })
}

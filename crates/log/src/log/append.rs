//! Appending: one pass checks and patches the batches, one write appends them.

use vltava_wire::batch::{
    Batch, BatchHeader, Batches, TimestampType, set_base_offset, set_max_timestamp_and_type,
    set_partition_leader_epoch,
};
use vltava_wire::{LeaderEpoch, Offset};

use super::Log;
use crate::error::{AppendError, LogError};
use crate::producers::{Checks, ProducerBatch, Staged, Verification};
use crate::segment::PendingAppend;

/// Who appends as the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: sequences are checked, control batches refused.
    #[default]
    Client,
    /// A group coordinator on this broker.
    Coordinator,
    /// A transaction's coordinator, anywhere: control batches that end transactions.
    TransactionMarker {
        /// The version of the transaction (`transaction.version`).
        version: i8,
    },
    /// The leader of the metadata quorum.
    RaftLeader,
}

/// With what a leader appends.
#[derive(Clone, Copy, Debug)]
pub struct AppendOptions {
    /// The leader's epoch, set in each batch.
    pub leader_epoch: LeaderEpoch,
    /// Who appends.
    pub origin: AppendOrigin,
    /// What is shown for a transaction's first batch.
    pub verification: Verification,
    /// Now, in ms since 1970.
    pub now_ms: i64,
}

impl AppendOptions {
    fn checks(&self) -> Checks {
        Checks {
            sequence: self.origin == AppendOrigin::Client,
            verification: self.verification,
            transaction_version: match self.origin {
                AppendOrigin::TransactionMarker { version } => version,
                _ => 0,
            },
        }
    }
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The time given to the records (ms since 1970), where the topic's timestamps are the
    /// broker's.
    pub log_append_time: Option<i64>,
    /// The log's first offset.
    pub log_start_offset: Offset,
    /// Bytes appended; 0 for a duplicate.
    pub bytes: usize,
    /// The batch was in the log already (an idempotent producer's retry): nothing was appended,
    /// and the offsets are those it has.
    pub is_duplicate: bool,
    /// It is a duplicate of records of which only that they are in the log is remembered:
    /// `base_offset` is −1, and `last_offset` is not before theirs. Kafka:
    /// `DUPLICATE_SEQUENCE_NUMBER`.
    pub is_old: bool,
}

/// What one pass over the batches found.
#[derive(Debug)]
struct Checked {
    base_offset: Offset,
    last_offset: Offset,
    max_timestamp: i64,
    staged: Staged,
    bytes: usize,
}

impl Checked {
    fn start(base_offset: Offset) -> Self {
        Self {
            base_offset,
            last_offset: base_offset + -1,
            max_timestamp: -1,
            staged: Staged::default(),
            bytes: 0,
        }
    }

    fn take(&mut self, header: &BatchHeader) {
        self.last_offset = header.last_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        self.bytes += header.size_in_bytes();
    }
}

enum Verdict {
    Append(Checked),
    Duplicate(ProducerBatch),
    /// Of records that are not after this batch.
    OldDuplicate(ProducerBatch),
}

impl Log {
    /// Checks `batches`, sets their offsets and leader epoch in place, and appends them with one
    /// write. Batches of an idempotent producer that are in the log already are answered with
    /// the offsets that they have there.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append_as_leader(
        &mut self,
        batches: &mut [u8],
        options: AppendOptions,
    ) -> Result<AppendInfo, AppendError> {
        self.check()?;
        let (epoch, latest) = (options.leader_epoch, self.latest_epoch());
        if let Some(latest) = latest.filter(|latest| epoch < *latest) {
            return Err(AppendError::StaleLeaderEpoch { epoch, latest });
        }
        let max = self.config.segment_bytes as usize;
        if batches.len() > max {
            return Err(AppendError::BatchesTooLarge { size: batches.len(), max });
        }
        let duplicate = |batch: ProducerBatch| AppendInfo {
            base_offset: batch.first_offset(),
            last_offset: batch.last_offset,
            log_append_time: self.append_time(batch.timestamp),
            log_start_offset: self.log_start_offset,
            bytes: 0,
            is_duplicate: true,
            is_old: false,
        };
        let checked = match self.check_as_leader(batches, options)? {
            Verdict::Append(checked) => checked,
            Verdict::Duplicate(batch) => return Ok(duplicate(batch)),
            Verdict::OldDuplicate(batch) => {
                return Ok(AppendInfo {
                    base_offset: Offset(-1),
                    log_append_time: None,
                    is_old: true,
                    ..duplicate(batch)
                });
            }
        };
        self.make_room(&checked, options.now_ms)?;
        self.write(batches)?;
        self.epochs.assign(epoch, checked.base_offset);
        Ok(self.commit(checked, self.append_time(options.now_ms)))
    }

    fn append_time(&self, time_ms: i64) -> Option<i64> {
        (self.config.timestamp_type == TimestampType::LogAppendTime).then_some(time_ms)
    }

    fn check_as_leader(
        &self,
        batches: &mut [u8],
        options: AppendOptions,
    ) -> Result<Verdict, AppendError> {
        let mut checked = Checked::start(self.log_end_offset());
        let checks = options.checks();
        let mut at = 0;
        while at < batches.len() {
            let invalid = |mut error: vltava_wire::batch::BatchError| {
                error.at += at;
                AppendError::InvalidBatch(error)
            };
            let batch = Batch::parse(&batches[at..]).map_err(invalid)?;
            self.check_batch(&batch, options)?;
            batch.verify_crc().map_err(invalid)?;
            if checks.sequence {
                if let Some(original) = self.producers.duplicate_of(&batch.header) {
                    return Ok(Verdict::Duplicate(original));
                }
                if let Some(remembered) = self.producers.surpassed(&batch.header) {
                    return Ok(Verdict::OldDuplicate(remembered));
                }
            }
            let size = batch.bytes.len();
            let bytes = &mut batches[at..at + size];
            let header = self.patch(bytes, checked.last_offset.next(), options)?;
            if header.has_producer_id() {
                let batch = Batch { at, header, bytes };
                self.producers.stage_as_leader(&mut checked.staged, &batch, &checks)?;
            }
            checked.take(&header);
            at += size;
        }
        if at == 0 { Err(AppendError::Empty) } else { Ok(Verdict::Append(checked)) }
    }

    fn check_batch(&self, batch: &Batch<'_>, options: AppendOptions) -> Result<(), AppendError> {
        let (size, max) = (batch.bytes.len(), self.config.max_message_bytes as usize);
        if size > max {
            return Err(AppendError::BatchTooLarge { size, max });
        }
        if options.origin != AppendOrigin::Client {
            return Ok(());
        }
        batch.header.check_produced().map_err(AppendError::InvalidRecord)?;
        if self.config.timestamp_type == TimestampType::LogAppendTime {
            return Ok(());
        }
        let from = options.now_ms.saturating_sub(self.config.timestamp_before_max_ms);
        let to = options.now_ms.saturating_add(self.config.timestamp_after_max_ms);
        // Who reads the records has checked all of them; −1 is the timestamp of those without one.
        let timestamp = batch.header.max_timestamp;
        if timestamp != -1 && !(from..=to).contains(&timestamp) {
            return Err(AppendError::InvalidTimestamp { timestamp, from, to });
        }
        Ok(())
    }

    /// Sets what the leader decides; returns the header as it is then.
    fn patch(
        &self,
        batch: &mut [u8],
        base_offset: Offset,
        options: AppendOptions,
    ) -> Result<BatchHeader, AppendError> {
        set_base_offset(batch, base_offset);
        set_partition_leader_epoch(batch, options.leader_epoch);
        if options.origin == AppendOrigin::Client
            && self.config.timestamp_type == TimestampType::LogAppendTime
        {
            set_max_timestamp_and_type(batch, TimestampType::LogAppendTime, options.now_ms);
        }
        let header = BatchHeader::parse(batch).map_err(AppendError::InvalidBatch)?;
        // Saturated offsets would be the same for two records.
        if base_offset.0.checked_add(i64::from(header.last_offset_delta) + 1).is_none() {
            return Err(AppendError::OffsetsExhausted);
        }
        Ok(header)
    }

    /// Appends what a leader sent, byte for byte. A batch that is cut off at the end of
    /// `batches` is left out, and so are batches of epochs beyond `leader_epoch` (the leader's,
    /// as the fetch that brought them said).
    ///
    /// `None` if nothing was left to append.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append_as_follower(
        &mut self,
        batches: &[u8],
        leader_epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Option<AppendInfo>, AppendError> {
        self.check()?;
        let Some(checked) = self.check_as_follower(batches, leader_epoch)? else {
            return Ok(None);
        };
        let batches = &batches[..checked.bytes];
        self.make_room(&checked, now_ms)?;
        self.write(batches)?;
        for batch in Batches::new(batches).flatten() {
            self.epochs.assign(batch.header.partition_leader_epoch, batch.header.base_offset);
        }
        Ok(Some(self.commit(checked, None)))
    }

    fn check_as_follower(
        &self,
        batches: &[u8],
        leader_epoch: LeaderEpoch,
    ) -> Result<Option<Checked>, AppendError> {
        let log_end_offset = self.log_end_offset();
        let mut checked = Checked::start(log_end_offset);
        let mut latest = self.latest_epoch().unwrap_or(LeaderEpoch::UNKNOWN);
        for batch in Batches::new(batches) {
            let batch = match batch {
                Err(error) if error.is_truncated() => break,
                other => other.map_err(AppendError::InvalidBatch)?,
            };
            let BatchHeader { base_offset, partition_leader_epoch: epoch, .. } = batch.header;
            if epoch > leader_epoch {
                break;
            }
            batch.verify_crc().map_err(AppendError::InvalidBatch)?;
            if base_offset < checked.last_offset.next() {
                let log_end_offset = checked.last_offset.next();
                return Err(AppendError::UnexpectedOffset { offset: base_offset, log_end_offset });
            }
            if batch.header.last_offset().0 == i64::MAX {
                return Err(AppendError::OffsetsExhausted);
            }
            if epoch < latest {
                return Err(AppendError::StaleLeaderEpoch { epoch, latest });
            }
            latest = epoch;
            if batch.header.has_producer_id() {
                self.producers.stage_as_follower(&mut checked.staged, &batch);
            }
            if checked.bytes == 0 {
                checked.base_offset = base_offset;
            }
            checked.take(&batch.header);
        }
        Ok((checked.bytes > 0).then_some(checked))
    }

    /// Makes a new segment if the batches do not go into the last one.
    fn make_room(&mut self, checked: &Checked, now_ms: i64) -> Result<(), AppendError> {
        let append = PendingAppend {
            bytes: checked.bytes,
            last_offset: checked.last_offset,
            max_timestamp: checked.max_timestamp,
            now_ms,
        };
        let active = self.segments.last_mut().expect("a log has a segment");
        let has_room =
            active.has_room(&self.folder, &self.config, &append).map_err(LogError::Disk)?;
        if has_room {
            return Ok(());
        }
        self.roll(checked.base_offset, now_ms).map_err(|error| {
            if error.is_sync_failure() {
                self.fail(error).into()
            } else {
                AppendError::Write(error)
            }
        })
    }

    fn write(&mut self, batches: &[u8]) -> Result<(), AppendError> {
        let active = self.segments.last_mut().expect("a log has a segment");
        let interval = self.config.index_interval_bytes;
        match active.append(&self.folder, interval, batches) {
            Ok(()) => Ok(()),
            Err((error, Ok(()))) => Err(AppendError::Write(error)),
            Err((_, Err(error))) => Err(self.fail(error).into()),
        }
    }

    fn commit(&mut self, checked: Checked, log_append_time: Option<i64>) -> AppendInfo {
        let active = self.segments.last_mut().expect("a log has a segment");
        for aborted in self.producers.commit(checked.staged) {
            active.note_aborted(aborted);
        }
        self.bytes_since_snapshot += checked.bytes as u64;
        AppendInfo {
            base_offset: checked.base_offset,
            last_offset: checked.last_offset,
            log_append_time,
            log_start_offset: self.log_start_offset,
            bytes: checked.bytes,
            is_duplicate: false,
            is_old: false,
        }
    }
}

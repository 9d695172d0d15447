//! The 61 bytes that every batch starts with.

use super::error::{BatchError, BatchErrorKind};
use crate::compression::Compression;
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Bytes of base offset and length, which the length does not count.
pub const LOG_OVERHEAD: usize = 12;

/// Bytes of a batch without records.
pub const BATCH_OVERHEAD: usize = 61;

/// The timestamp of what has none, and the largest timestamp of a batch without records.
pub const NO_TIMESTAMP: i64 = -1;

/// The base sequence of batches that no idempotent producer wrote.
pub const NO_SEQUENCE: i32 = -1;

/// The only format there is.
const MAGIC: i8 = 2;

pub(super) const EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
/// Where the bytes start that the CRC covers, up to the batch's end.
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;

/// Whose clock the timestamps of a batch are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's; each record has its own.
    #[default]
    CreateTime,
    /// The broker's; the batch's largest timestamp holds for all its records.
    LogAppendTime,
}

/// The flags of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub i16);

impl Attributes {
    const COMPRESSION: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The number of the codec.
    pub const fn compression_code(self) -> i8 {
        (self.0 & Self::COMPRESSION) as i8
    }

    /// Whose clock the timestamps are from.
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are for brokers, not for consumers.
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which tombstones may go (KIP-534).
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same flags with that codec.
    #[must_use]
    pub const fn with_compression(self, codec: Compression) -> Self {
        Self(self.0 & !Self::COMPRESSION | codec.code() as i16)
    }

    /// The same flags with that kind of timestamp.
    #[must_use]
    pub const fn with_timestamp_type(self, kind: TimestampType) -> Self {
        match kind {
            TimestampType::CreateTime => Self(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Self(self.0 | Self::LOG_APPEND_TIME),
        }
    }

    /// The same flags with the mark of a transaction.
    #[must_use]
    pub const fn with_transactional(self) -> Self {
        Self(self.0 | Self::TRANSACTIONAL)
    }

    /// The same flags with or without the mark of a delete horizon.
    #[must_use]
    pub const fn with_delete_horizon(self, has_horizon: bool) -> Self {
        if has_horizon {
            Self(self.0 | Self::DELETE_HORIZON)
        } else {
            Self(self.0 & !Self::DELETE_HORIZON)
        }
    }

    /// The same flags with the mark of a control batch.
    #[must_use]
    pub const fn with_control(self) -> Self {
        Self(self.0 | Self::CONTROL)
    }
}

/// The header of a batch, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record, also if compaction has removed that record.
    pub base_offset: Offset,
    /// Bytes of the batch after this field: [`LOG_OVERHEAD`] less than its size.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch; set by that leader.
    pub partition_leader_epoch: LeaderEpoch,
    /// CRC-32C of all that follows it.
    pub crc: u32,
    /// The flags.
    pub attributes: Attributes,
    /// The last record's offset less the base offset; never negative.
    pub last_offset_delta: i32,
    /// The first record's timestamp, in ms since 1970, or the delete horizon.
    pub base_timestamp: i64,
    /// The largest timestamp, in ms since 1970, or [`NO_TIMESTAMP`].
    pub max_timestamp: i64,
    /// The idempotent producer, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// The producer's epoch, or −1.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// How many records the batch says that it holds; not checked against its bytes here.
    pub records_count: i32,
}

/// Takes fields off the front of a header whose size was checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (value, rest) = self.0.split_first_chunk().expect("the header's size was checked");
        self.0 = rest;
        *value
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }
}

impl BatchHeader {
    /// Decodes the header at the front of `bytes`, which need not hold the rest of the batch.
    ///
    /// # Errors
    /// [`BatchErrorKind::Truncated`] for fewer bytes than a header has; `Magic`, `Length`,
    /// `Compression` and `OffsetDelta` for a header that no batch can have.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let error = |kind| BatchError::new(0, kind);
        // Older formats can be shorter than our header, so theirs is looked at first.
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic as i8 != MAGIC
        {
            return Err(error(BatchErrorKind::Magic(magic as i8)));
        }
        if bytes.len() < BATCH_OVERHEAD {
            let (needed, left) = (BATCH_OVERHEAD, bytes.len());
            return Err(error(BatchErrorKind::Truncated { needed, left }));
        }
        let header = Self::decode(bytes);
        if (header.batch_length as i64) < (BATCH_OVERHEAD - LOG_OVERHEAD) as i64 {
            return Err(error(BatchErrorKind::Length(header.batch_length)));
        }
        let codec = header.attributes.compression_code();
        if Compression::from_code(codec).is_none() {
            return Err(error(BatchErrorKind::Compression(codec)));
        }
        if header.last_offset_delta < 0 {
            let delta = i64::from(header.last_offset_delta);
            return Err(error(BatchErrorKind::OffsetDelta(delta)));
        }
        Ok(header)
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut fields = Fields(bytes);
        let base_offset = Offset(fields.i64());
        let batch_length = fields.i32();
        let partition_leader_epoch = LeaderEpoch(fields.i32());
        let [_magic] = fields.take();
        Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc: u32::from_be_bytes(fields.take()),
            attributes: Attributes(fields.i16()),
            last_offset_delta: fields.i32(),
            base_timestamp: fields.i64(),
            max_timestamp: fields.i64(),
            producer_id: ProducerId(fields.i64()),
            producer_epoch: ProducerEpoch(fields.i16()),
            base_sequence: fields.i32(),
            records_count: fields.i32(),
        }
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; BATCH_OVERHEAD] {
        let mut bytes = Vec::with_capacity(BATCH_OVERHEAD);
        bytes.extend_from_slice(&self.base_offset.0.to_be_bytes());
        bytes.extend_from_slice(&self.batch_length.to_be_bytes());
        bytes.extend_from_slice(&self.partition_leader_epoch.0.to_be_bytes());
        bytes.extend_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(&self.crc.to_be_bytes());
        bytes.extend_from_slice(&self.attributes.0.to_be_bytes());
        bytes.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes.extend_from_slice(&self.base_timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.max_timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.producer_id.0.to_be_bytes());
        bytes.extend_from_slice(&self.producer_epoch.0.to_be_bytes());
        bytes.extend_from_slice(&self.base_sequence.to_be_bytes());
        bytes.extend_from_slice(&self.records_count.to_be_bytes());
        bytes.try_into().expect("the fields take as many bytes as a header has")
    }

    /// Bytes of the whole batch, header included.
    pub fn size_in_bytes(&self) -> usize {
        self.batch_length as usize + LOG_OVERHEAD
    }

    /// The offset of the last record, also if compaction has removed that record.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// The offset after the batch.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// The sequence number of the last record, or [`NO_SEQUENCE`].
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        sequence_after(self.base_sequence, self.last_offset_delta)
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Compression {
        Compression::from_code(self.attributes.compression_code())
            .expect("parsing refuses codecs that do not exist")
    }

    /// Whose clock the timestamps are from.
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    /// Whether the records are for brokers, not for consumers.
    pub fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    /// Whether an idempotent producer wrote the batch.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id != ProducerId::NONE
    }

    /// The time from which tombstones in the batch may go, in ms since 1970 (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Checks what a broker demands of a batch that a producer sends, beyond its CRC: as many
    /// records as offsets, no control batch, a sequence number with a producer id.
    ///
    /// # Errors
    /// `Count`, `Control` or `Sequence`; Kafka answers each with INVALID_RECORD.
    pub fn check_produced(&self) -> Result<(), BatchErrorKind> {
        if self.is_control() {
            return Err(BatchErrorKind::Control);
        }
        if i64::from(self.records_count) != i64::from(self.last_offset_delta) + 1 {
            return Err(BatchErrorKind::Count(self.records_count));
        }
        if self.has_producer_id() && self.base_sequence < 0 {
            return Err(BatchErrorKind::Sequence(self.base_sequence));
        }
        Ok(())
    }
}

/// The sequence number `records` after `sequence`: after the largest comes 0 (KIP-98).
pub const fn sequence_after(sequence: i32, records: i32) -> i32 {
    ((sequence as i64 + records as i64) & i32::MAX as i64) as i32
}

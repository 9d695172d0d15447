//! The records of `__consumer_offsets`, as Kafka 4.2 writes them.
//!
//! A key starts with the type of the record (two bytes), a value with the version of its format.
//! Offsets are written as version 4 (version 1 where the client asked for an expiry of its own),
//! groups as version 3. Reading takes every version, and yields views of the batch: at load a
//! million records must not cost a million copies.

use bytes::Bytes;
use vltava_wire::records::group::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use vltava_wire::{Message, Str, Uuid, Writer};

const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;
const OFFSET_COMMIT_VERSION: i16 = 4;
const OFFSET_COMMIT_VERSION_WITH_EXPIRY: i16 = 1;
const GROUP_METADATA_VERSION: i16 = 3;

/// A record to append; without a value it takes back what the key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key's bytes, type first.
    pub key: Bytes,
    /// The value's bytes, version first.
    pub value: Option<Bytes>,
}

impl Record {
    /// Bytes of key and value.
    pub fn size_in_bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// How far a group has read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to read.
    pub offset: i64,
    /// The epoch of the leader that the last record was read from; −1 if not known.
    pub leader_epoch: i32,
    /// Whatever the client keeps with it.
    pub metadata: Str,
    /// When it was committed, in ms since 1970.
    pub commit_timestamp: i64,
    /// When it expires, in ms since 1970, if the client said so; else −1.
    pub expire_timestamp: i64,
    /// The topic's id, if the client said it; else zero.
    pub topic_id: Uuid,
}

/// The record that stores an offset, or takes it back.
pub fn offset_commit(
    group: &Str,
    topic: &Str,
    partition: i32,
    value: Option<&CommittedOffset>,
) -> Record {
    let key = OffsetCommitKey { group: group.clone(), topic: topic.clone(), partition };
    Record { key: prefixed(OFFSET_COMMIT, &key, 0), value: value.map(offset_value) }
}

fn offset_value(committed: &CommittedOffset) -> Bytes {
    let value = OffsetCommitValue {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.clone(),
        commit_timestamp: committed.commit_timestamp,
        expire_timestamp: committed.expire_timestamp,
        topic_id: committed.topic_id,
    };
    let version = match committed.expire_timestamp {
        -1 => OFFSET_COMMIT_VERSION,
        _ => OFFSET_COMMIT_VERSION_WITH_EXPIRY,
    };
    prefixed(version, &value, version)
}

/// The record that stores a group, or takes it back.
pub fn group_metadata(group: &Str, value: Option<&GroupMetadataValue>) -> Record {
    let key = GroupMetadataKey { group: group.clone() };
    Record {
        key: prefixed(GROUP_METADATA, &key, 0),
        value: value.map(|value| prefixed(GROUP_METADATA_VERSION, value, GROUP_METADATA_VERSION)),
    }
}

fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(prefix);
    message.write(&mut writer, version);
    writer.into_bytes()
}

/// Why a stored record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record without a key.
    #[error("a record without a key")]
    NoKey,
    /// A key or value that ends too early, or is not what its type or version says.
    #[error("a {0} that cannot be decoded")]
    Malformed(&'static str),
    /// A value of a version that is not known.
    #[error("a {what} of version {version}")]
    Version {
        /// What the value is of.
        what: &'static str,
        /// The version.
        version: i16,
    },
}

/// What a key says, as a view of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// An offset.
    Offset {
        /// The group.
        group: &'a str,
        /// The topic.
        topic: &'a str,
        /// The partition's index.
        partition: i32,
    },
    /// A group.
    Group(&'a str),
    /// A type that this broker does not use.
    Other(i16),
}

impl<'a> Key<'a> {
    /// Reads a key.
    ///
    /// # Errors
    /// [`RecordError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut slice = Slice(bytes);
        let key = match slice.i16("key")? {
            // Type 0 is an offset in a format of its own time, equal to type 1 but for the value.
            0 | OFFSET_COMMIT => Self::Offset {
                group: slice.text("key")?,
                topic: slice.text("key")?,
                partition: slice.i32("key")?,
            },
            GROUP_METADATA => Self::Group(slice.text("key")?),
            other => return Ok(Self::Other(other)),
        };
        Ok(key)
    }
}

impl CommittedOffset {
    /// Reads the value of an offset, of any version.
    ///
    /// # Errors
    /// [`RecordError::Version`] and [`RecordError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        const WHAT: &str = "committed offset";
        let mut slice = Slice(bytes);
        let version = slice.i16(WHAT)?;
        if !OffsetCommitValue::VERSIONS.contains(version) {
            return Err(RecordError::Version { what: WHAT, version });
        }
        let offset = slice.i64(WHAT)?;
        let leader_epoch = if version >= 3 { slice.i32(WHAT)? } else { -1 };
        let metadata = if version >= 4 { slice.compact_text(WHAT)? } else { slice.text(WHAT)? };
        // Most have no metadata; an empty text costs no allocation.
        let metadata = if metadata.is_empty() { Str::default() } else { Str::from(metadata) };
        let commit_timestamp = slice.i64(WHAT)?;
        let expire_timestamp = if version == 1 { slice.i64(WHAT)? } else { -1 };
        let topic_id = if version >= 4 { slice.topic_id(WHAT)? } else { Uuid::ZERO };
        Ok(Self { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id })
    }
}

/// Reads the value of a group, of any version.
///
/// # Errors
/// [`RecordError::Version`] and [`RecordError::Malformed`].
pub fn parse_group(bytes: Bytes) -> Result<GroupMetadataValue, RecordError> {
    const WHAT: &str = "group";
    let version = Slice(&bytes).i16(WHAT)?;
    if !GroupMetadataValue::VERSIONS.contains(version) {
        return Err(RecordError::Version { what: WHAT, version });
    }
    GroupMetadataValue::read(bytes.slice(2..), version).map_err(|_| RecordError::Malformed(WHAT))
}

/// A cursor that copies nothing.
struct Slice<'a>(&'a [u8]);

type Result<T, E = RecordError> = std::result::Result<T, E>;

impl<'a> Slice<'a> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(length).ok_or(RecordError::Malformed(what))?;
        self.0 = rest;
        Ok(value)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let value = self.take(N, what)?;
        Ok(value.try_into().expect("as many bytes were taken"))
    }

    fn i16(&mut self, what: &'static str) -> Result<i16> {
        self.array(what).map(i16::from_be_bytes)
    }

    fn i32(&mut self, what: &'static str) -> Result<i32> {
        self.array(what).map(i32::from_be_bytes)
    }

    fn i64(&mut self, what: &'static str) -> Result<i64> {
        self.array(what).map(i64::from_be_bytes)
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str> {
        let length = self.i16(what)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Malformed(what))?;
        self.utf8(length, what)
    }

    fn compact_text(&mut self, what: &'static str) -> Result<&'a str> {
        let length = self.varint(what)?.checked_sub(1).ok_or(RecordError::Malformed(what))?;
        self.utf8(length as usize, what)
    }

    fn utf8(&mut self, length: usize, what: &'static str) -> Result<&'a str> {
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| RecordError::Malformed(what))
    }

    fn varint(&mut self, what: &'static str) -> Result<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array(what)?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Malformed(what))
    }

    /// The tagged fields of an offset: the topic's id is the only one that is known.
    fn topic_id(&mut self, what: &'static str) -> Result<Uuid> {
        let mut id = Uuid::ZERO;
        for _ in 0..self.varint(what)? {
            let tag = self.varint(what)?;
            let length = self.varint(what)? as usize;
            let value = self.take(length, what)?;
            if tag == 0 {
                let bytes = value.try_into().map_err(|_| RecordError::Malformed(what))?;
                id = Uuid(u128::from_be_bytes(bytes));
            }
        }
        Ok(id)
    }
}

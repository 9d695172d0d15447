//! The records of `__consumer_offsets`, as Kafka 4.2 writes them.
//!
//! A key starts with the type of the record (two bytes), a value with the version of its format.
//! Offsets are written as version 4 (version 1 where the client asked for an expiry of its own),
//! groups as version 3. Reading takes every version, and yields views of the batch: at load a
//! million records must not cost a million copies.

use bytes::Bytes;
use vltava_wire::records::consumer_group::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue, TopicPartitions,
};
use vltava_wire::records::group::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use vltava_wire::{Message, Str, Uuid, Writer};

use super::consumer::change::from_stored;
use super::consumer::{Change, Current};
use super::share::record::{self as share, ShareKind};
pub use crate::shard::{Record, RecordError};

const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;
const CONSUMER_GROUP: i16 = 3;
const CONSUMER_MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT_ASSIGNMENT: i16 = 8;
const REGULAR_EXPRESSION: i16 = 16;
const OFFSET_COMMIT_VERSION: i16 = 4;
const OFFSET_COMMIT_VERSION_WITH_EXPIRY: i16 = 1;
const GROUP_METADATA_VERSION: i16 = 3;

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

/// The record that stores the epoch of a group of the new protocol and the hash of its topics.
pub fn consumer_group(group: &Str, value: Option<(i32, i64)>) -> Record {
    let key = ConsumerGroupMetadataKey { group_id: group.clone() };
    let value =
        value.map(|(epoch, metadata_hash)| ConsumerGroupMetadataValue { epoch, metadata_hash });
    of(CONSUMER_GROUP, &key, value.as_ref())
}

/// The record that stores what a member says of itself.
pub fn consumer_member(
    group: &Str,
    member: &Str,
    value: Option<&ConsumerGroupMemberMetadataValue>,
) -> Record {
    let (group_id, member_id) = (group.clone(), member.clone());
    of(CONSUMER_MEMBER, &ConsumerGroupMemberMetadataKey { group_id, member_id }, value)
}

/// The record that stores the epoch of a group's target assignment.
pub fn target_epoch(group: &Str, epoch: Option<i32>) -> Record {
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group.clone() };
    let value = epoch
        .map(|assignment_epoch| ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch });
    of(TARGET_EPOCH, &key, value.as_ref())
}

/// The record that stores what a member is to have.
pub fn target(group: &Str, member: &Str, partitions: Option<Vec<TopicPartitions>>) -> Record {
    let (group_id, member_id) = (group.clone(), member.clone());
    let key = ConsumerGroupTargetAssignmentMemberKey { group_id, member_id };
    let value = partitions
        .map(|topic_partitions| ConsumerGroupTargetAssignmentMemberValue { topic_partitions });
    of(TARGET, &key, value.as_ref())
}

/// The record that stores what a member has.
pub fn current_assignment(
    group: &Str,
    member: &Str,
    value: Option<&ConsumerGroupCurrentMemberAssignmentValue>,
) -> Record {
    let (group_id, member_id) = (group.clone(), member.clone());
    let key = ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id };
    of(CURRENT_ASSIGNMENT, &key, value)
}

/// The record that stores what a regular expression stands for.
pub fn regex(
    group: &Str,
    regex: &Str,
    value: Option<&ConsumerGroupRegularExpressionValue>,
) -> Record {
    let (group_id, regular_expression) = (group.clone(), regex.clone());
    let key = ConsumerGroupRegularExpressionKey { group_id, regular_expression };
    of(REGULAR_EXPRESSION, &key, value)
}

/// A record of the new protocol: keys and values of the first version.
pub(super) fn of<K: Message, V: Message>(kind: i16, key: &K, value: Option<&V>) -> Record {
    Record { key: prefixed(kind, key, 0), value: value.map(|value| prefixed(0, value, 0)) }
}

fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(prefix);
    message.write(&mut writer, version);
    writer.into_bytes()
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
    /// Something about a group of the new protocol: its id, and what.
    Consumer(&'a str, ConsumerKey<'a>),
    /// Something about a share group: its id, and what.
    Share(&'a str, ShareKind<'a>),
    /// A type that this broker does not use.
    Other(i16),
}

/// What a key says of a group of the new protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerKey<'a> {
    /// Its epoch.
    Group,
    /// The epoch of its target assignment.
    TargetEpoch,
    /// What a member says of itself.
    Member(&'a str),
    /// What a member is to have.
    Target(&'a str),
    /// What a member has.
    Current(&'a str),
    /// What a regular expression stands for.
    Regex(&'a str),
}

impl ConsumerKey<'_> {
    /// The change that a record of this key makes.
    ///
    /// # Errors
    /// [`RecordError::Version`] and [`RecordError::Malformed`].
    pub(super) fn change(self, value: Option<&[u8]>) -> Result<Change, RecordError> {
        Ok(match self {
            Self::Group => {
                let value = first::<ConsumerGroupMetadataValue>(value)?;
                Change::Group(value.map(|value| (value.epoch, value.metadata_hash)))
            }
            Self::TargetEpoch => {
                let value = first::<ConsumerGroupTargetAssignmentMetadataValue>(value)?;
                Change::TargetEpoch(value.map(|value| value.assignment_epoch))
            }
            Self::Member(member) => Change::Member(member.into(), first(value)?.map(Box::new)),
            Self::Target(member) => {
                let value = first::<ConsumerGroupTargetAssignmentMemberValue>(value)?;
                let target = value.map(|value| from_stored(&value.topic_partitions));
                Change::Target(member.into(), target)
            }
            Self::Current(member) => {
                let value = first::<ConsumerGroupCurrentMemberAssignmentValue>(value)?;
                Change::Current(member.into(), value.as_ref().map(Current::from_stored))
            }
            Self::Regex(regex) => Change::Regex(regex.into(), first(value)?),
        })
    }
}

/// A value of the new protocol, of which there is one version.
pub(super) fn first<M: Message>(value: Option<&[u8]>) -> Result<Option<M>, RecordError> {
    let Some(value) = value else { return Ok(None) };
    let version = Slice(value).i16(M::NAME)?;
    if !M::VERSIONS.contains(version) {
        return Err(RecordError::Version { what: M::NAME, version });
    }
    let body = Bytes::copy_from_slice(&value[2..]);
    M::read(body, version).map(Some).map_err(|_| RecordError::Malformed(M::NAME))
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
            CONSUMER_GROUP => Self::Consumer(slice.text("key")?, ConsumerKey::Group),
            TARGET_EPOCH => Self::Consumer(slice.text("key")?, ConsumerKey::TargetEpoch),
            kind @ (CONSUMER_MEMBER | TARGET | CURRENT_ASSIGNMENT | REGULAR_EXPRESSION) => {
                let (group, name) = (slice.text("key")?, slice.text("key")?);
                let what = match kind {
                    CONSUMER_MEMBER => ConsumerKey::Member(name),
                    TARGET => ConsumerKey::Target(name),
                    CURRENT_ASSIGNMENT => ConsumerKey::Current(name),
                    _ => ConsumerKey::Regex(name),
                };
                Self::Consumer(group, what)
            }
            share::GROUP => Self::Share(slice.text("key")?, ShareKind::Group),
            share::TARGET_EPOCH => Self::Share(slice.text("key")?, ShareKind::TargetEpoch),
            share::STATES => Self::Share(slice.text("key")?, ShareKind::States),
            kind @ (share::MEMBER | share::TARGET | share::CURRENT) => {
                let (group, name) = (slice.text("key")?, slice.text("key")?);
                let what = match kind {
                    share::MEMBER => ShareKind::Member(name),
                    share::TARGET => ShareKind::Target(name),
                    _ => ShareKind::Current(name),
                };
                Self::Share(group, what)
            }
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

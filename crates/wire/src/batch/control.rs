//! Control records: what brokers and coordinators write for each other into a log.

use bytes::Bytes;

use super::error::BatchErrorKind;
use super::record::Record;
use crate::records::raft::{
    EndTxnMarker, KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord,
    SnapshotHeaderRecord, VotersRecord,
};
use crate::{DecodeError, Message, Reader, Writer};

/// The version of the keys that are written.
pub const CONTROL_KEY_VERSION: i16 = 0;

/// What a control record says; its number is in the record's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ControlRecordType {
    /// The producer's transaction was aborted (KIP-98).
    Abort = 0,
    /// The producer's transaction was committed (KIP-98).
    Commit = 1,
    /// A leader of the metadata quorum begins its epoch (KIP-595).
    LeaderChange = 2,
    /// The first record of a snapshot (KIP-630).
    SnapshotHeader = 3,
    /// The last record of a snapshot (KIP-630).
    SnapshotFooter = 4,
    /// The version of the quorum's protocol (KIP-853).
    KraftVersion = 5,
    /// The voters of the quorum (KIP-853).
    KraftVoters = 6,
}

impl ControlRecordType {
    const ALL: [Self; 7] = [
        Self::Abort,
        Self::Commit,
        Self::LeaderChange,
        Self::SnapshotHeader,
        Self::SnapshotFooter,
        Self::KraftVersion,
        Self::KraftVoters,
    ];

    /// The number.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The type that a control record's key names; `None` for one that is not known, which
    /// readers pass over.
    ///
    /// # Errors
    /// [`BatchErrorKind::ControlKey`] for a key that is too short or of a negative version.
    pub fn from_key(key: Option<&[u8]>) -> Result<Option<Self>, BatchErrorKind> {
        // Newer versions of the key may go on after the type.
        let Some([a, b, c, d, ..]) = key else { return Err(BatchErrorKind::ControlKey) };
        let (version, code) = (i16::from_be_bytes([*a, *b]), i16::from_be_bytes([*c, *d]));
        if version < 0 {
            return Err(BatchErrorKind::ControlKey);
        }
        Ok(Self::ALL.into_iter().find(|kind| kind.code() == code))
    }

    /// The key of a control record of this type.
    pub const fn key(self) -> [u8; 4] {
        let [a, b] = CONTROL_KEY_VERSION.to_be_bytes();
        let [c, d] = self.code().to_be_bytes();
        [a, b, c, d]
    }
}

/// A control record, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlRecord {
    /// The producer's transaction was aborted.
    Abort(EndTxnMarker),
    /// The producer's transaction was committed.
    Commit(EndTxnMarker),
    /// A leader of the metadata quorum begins its epoch.
    LeaderChange(LeaderChangeMessage),
    /// The first record of a snapshot.
    SnapshotHeader(SnapshotHeaderRecord),
    /// The last record of a snapshot.
    SnapshotFooter(SnapshotFooterRecord),
    /// The version of the quorum's protocol.
    KraftVersion(KRaftVersionRecord),
    /// The voters of the quorum.
    KraftVoters(VotersRecord),
}

/// Why a record is no control record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlRecordError {
    /// The key is too short or of a negative version.
    #[error("the key of a control record is not one")]
    Key,
    /// The value is not what the key says.
    #[error("the value of a control record of type {kind:?}")]
    Value {
        /// What the key says.
        kind: ControlRecordType,
        /// What is wrong with the value.
        source: DecodeError,
    },
}

impl ControlRecord {
    /// Decodes a record of a control batch; `None` for a type that is not known, which readers
    /// pass over.
    ///
    /// # Errors
    /// A key or a value that is none.
    pub fn parse(record: &Record<'_>) -> Result<Option<Self>, ControlRecordError> {
        let kind = ControlRecordType::from_key(record.key).map_err(|_| ControlRecordError::Key)?;
        let Some(kind) = kind else { return Ok(None) };
        let value = record.value.unwrap_or_default();
        Self::from_value(kind, value)
            .map(Some)
            .map_err(|source| ControlRecordError::Value { kind, source })
    }

    fn from_value(kind: ControlRecordType, value: &[u8]) -> Result<Self, DecodeError> {
        Ok(match kind {
            ControlRecordType::Abort => Self::Abort(read_prefixed(value)?),
            ControlRecordType::Commit => Self::Commit(read_prefixed(value)?),
            ControlRecordType::LeaderChange => Self::LeaderChange(read_with_version(value)?),
            ControlRecordType::SnapshotHeader => Self::SnapshotHeader(read_with_version(value)?),
            ControlRecordType::SnapshotFooter => Self::SnapshotFooter(read_with_version(value)?),
            ControlRecordType::KraftVersion => Self::KraftVersion(read_with_version(value)?),
            ControlRecordType::KraftVoters => Self::KraftVoters(read_with_version(value)?),
        })
    }

    /// The record's type.
    pub const fn kind(&self) -> ControlRecordType {
        match self {
            Self::Abort(_) => ControlRecordType::Abort,
            Self::Commit(_) => ControlRecordType::Commit,
            Self::LeaderChange(_) => ControlRecordType::LeaderChange,
            Self::SnapshotHeader(_) => ControlRecordType::SnapshotHeader,
            Self::SnapshotFooter(_) => ControlRecordType::SnapshotFooter,
            Self::KraftVersion(_) => ControlRecordType::KraftVersion,
            Self::KraftVoters(_) => ControlRecordType::KraftVoters,
        }
    }

    /// The record's value, in the version that its field `version` says: 0 is what Kafka 4
    /// writes and what its tools read.
    ///
    /// # Panics
    /// If the record was made with a `version` that is not declared.
    pub fn value(&self) -> Bytes {
        let mut writer = Writer::new();
        match self {
            Self::Abort(marker) | Self::Commit(marker) => {
                writer.i16(END_TXN_VERSION);
                marker.write(&mut writer, END_TXN_VERSION);
            }
            Self::LeaderChange(message) => message.write(&mut writer, message.version),
            Self::SnapshotHeader(message) => message.write(&mut writer, message.version),
            Self::SnapshotFooter(message) => message.write(&mut writer, message.version),
            Self::KraftVersion(message) => message.write(&mut writer, message.version),
            Self::KraftVoters(message) => message.write(&mut writer, message.version),
        }
        writer.into_bytes()
    }
}

/// The version of [`EndTxnMarker`] that is written.
const END_TXN_VERSION: i16 = 0;

fn leading_version(value: &[u8]) -> i16 {
    value.first_chunk().map_or(0, |version| i16::from_be_bytes(*version))
}

/// Reads a message whose version is before it. Of a version that is newer than what is known,
/// the part that is known is read, as Kafka does.
fn read_prefixed<M: Message>(value: &[u8]) -> Result<M, DecodeError> {
    let version = leading_version(value).min(M::VERSIONS.max);
    let mut reader = Reader::new(Bytes::copy_from_slice(value));
    reader.i16()?;
    M::decode(&mut reader, M::version(version)?)
}

/// Reads a message whose first field is its version.
fn read_with_version<M: Message>(value: &[u8]) -> Result<M, DecodeError> {
    M::read(Bytes::copy_from_slice(value), leading_version(value))
}

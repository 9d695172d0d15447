//! Control records: what brokers and coordinators write for each other into a log.

use super::error::BatchErrorKind;

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

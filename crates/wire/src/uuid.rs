//! Kafka's UUIDs: topic ids, directory ids, cluster ids.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A 128-bit id, shown as Kafka shows it: URL-safe base64 without padding, 22 characters.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

impl Uuid {
    /// The id that stands for "none".
    pub const ZERO: Self = Self(0);
    /// The id of the metadata topic `__cluster_metadata` (KIP-595).
    pub const METADATA_TOPIC: Self = Self(1);
    /// A replica whose log directory is not known yet (KIP-858).
    pub const UNASSIGNED_DIR: Self = Self::ZERO;
    /// A replica in a log directory that is offline (KIP-858).
    pub const LOST_DIR: Self = Self(1);
    /// A replica from before log directories had ids (KIP-858).
    pub const MIGRATING_DIR: Self = Self(2);

    /// Makes a version 4 (random) id out of 128 random bits.
    ///
    /// Ids that Kafka reserves (the first hundred) are impossible, as the version bits are set.
    /// Kafka's tools read an id that starts with `-` as an option, so the first bit pattern that
    /// would show as `-` is changed.
    pub const fn from_random(bits: u128) -> Self {
        let versioned = (bits & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
        let dash = 0b11_1110;
        if versioned >> 122 == dash { Self(versioned & !(1 << 127)) } else { Self(versioned) }
    }

    /// The 16 bytes, as the wire carries them.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Whether this is the id that stands for "none".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with the text of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: expected 22 characters of URL-safe base64")]
pub struct ParseUuidError {
    text: String,
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseUuidError { text: text.chars().take(40).collect() };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| error())?;
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| error())?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = Uuid::from_random(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string().len(), 22);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
    }

    #[test]
    fn no_id_starts_with_a_dash() {
        let id = Uuid::from_random(u128::MAX << 122 & !(1 << 122));
        assert!(!id.to_string().starts_with('-'), "{id}");
    }

    #[test]
    fn text_that_is_no_id_is_named() {
        let error = "not-an-id".parse::<Uuid>().unwrap_err();
        assert!(error.to_string().contains("not-an-id"));
    }
}

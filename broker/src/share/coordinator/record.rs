//! The records of `__share_group_state`, as Kafka 4.2 writes them.
//!
//! A key starts with the type of the record, a value with the version of its format. A snapshot
//! says all of a share-partition; an update says what has changed since.

use bytes::Bytes;
use vltava_wire::records::share_state::{
    ShareSnapshotKey, ShareSnapshotValue, ShareUpdateKey, ShareUpdateValue,
};
use vltava_wire::{Message, Str, Uuid, Writer};

use crate::shard::{Record, RecordError};

const SNAPSHOT: i16 = 0;
const UPDATE: i16 = 1;
/// There is one version of each value.
const VERSION: i16 = 0;

/// A partition as one share group sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShareKey {
    /// The group.
    pub group: Str,
    /// The topic.
    pub topic: Uuid,
    /// The partition's index.
    pub partition: i32,
}

impl ShareKey {
    /// The text by which its state finds its partition of `__share_group_state`.
    pub fn coordinator_key(&self) -> String {
        format!("{}:{}:{}", self.group, self.topic, self.partition)
    }

    /// Reads such a text, as FindCoordinator brings it; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, partition) = text.rsplit_once(':')?;
        let (group, topic) = rest.rsplit_once(':')?;
        let key = Self {
            group: group.into(),
            topic: topic.parse().ok()?,
            partition: partition.parse().ok()?,
        };
        (!group.trim().is_empty() && key.partition >= 0).then_some(key)
    }
}

fn prefixed<M: Message>(prefix: i16, message: &M) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(prefix);
    message.write(&mut writer, VERSION);
    writer.into_bytes()
}

/// The record that says all of a share-partition, or, without a value, that there is none.
pub fn snapshot(key: &ShareKey, value: Option<&ShareSnapshotValue>) -> Record {
    let ShareKey { group, topic, partition } = key.clone();
    let key = ShareSnapshotKey { group_id: group, topic_id: topic, partition };
    Record { key: prefixed(SNAPSHOT, &key), value: value.map(|value| prefixed(VERSION, value)) }
}

/// The record that says what has changed.
pub fn update(key: &ShareKey, value: &ShareUpdateValue) -> Record {
    let ShareKey { group, topic, partition } = key.clone();
    let key = ShareUpdateKey { group_id: group, topic_id: topic, partition };
    Record { key: prefixed(UPDATE, &key), value: Some(prefixed(VERSION, value)) }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// All of a share-partition; nothing, if there is none any more.
    Snapshot(ShareKey, Option<ShareSnapshotValue>),
    /// What has changed.
    Update(ShareKey, Option<ShareUpdateValue>),
    /// A type that this broker does not know.
    Other,
}

fn split(bytes: &[u8], what: &'static str) -> Result<(i16, Bytes), RecordError> {
    let (prefix, rest) = bytes.split_first_chunk().ok_or(RecordError::Malformed(what))?;
    Ok((i16::from_be_bytes(*prefix), Bytes::copy_from_slice(rest)))
}

fn value<M: Message>(bytes: Option<&[u8]>) -> Result<Option<M>, RecordError> {
    let Some(bytes) = bytes else { return Ok(None) };
    let (version, body) = split(bytes, M::NAME)?;
    if !M::VERSIONS.contains(version) {
        return Err(RecordError::Version { what: M::NAME, version });
    }
    M::read(body, version).map(Some).map_err(|_| RecordError::Malformed(M::NAME))
}

/// Reads a record.
///
/// # Errors
/// It is none of this topic's.
pub fn parse(key: Option<&[u8]>, bytes: Option<&[u8]>) -> Result<Said, RecordError> {
    const WHAT: &str = "key of a share-partition";
    let (kind, body) = split(key.ok_or(RecordError::NoKey)?, WHAT)?;
    let malformed = |_| RecordError::Malformed(WHAT);
    match kind {
        SNAPSHOT => {
            let key = ShareSnapshotKey::read(body, VERSION).map_err(malformed)?;
            let ShareSnapshotKey { group_id, topic_id, partition } = key;
            let key = ShareKey { group: group_id.detach(), topic: topic_id, partition };
            Ok(Said::Snapshot(key, value(bytes)?))
        }
        UPDATE => {
            let key = ShareUpdateKey::read(body, VERSION).map_err(malformed)?;
            let ShareUpdateKey { group_id, topic_id, partition } = key;
            let key = ShareKey { group: group_id.detach(), topic: topic_id, partition };
            Ok(Said::Update(key, value(bytes)?))
        }
        _ => Ok(Said::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ShareKey {
        ShareKey { group: "g:1".into(), topic: Uuid(7), partition: 3 }
    }

    #[test]
    fn a_key_is_found_again_in_its_text() {
        assert_eq!(ShareKey::parse(&key().coordinator_key()), Some(key()));
        for text in ["", "g", "g:t:0", ":AAAAAAAAAAAAAAAAAAAABw:0", "g:AAAAAAAAAAAAAAAAAAAABw:-1"] {
            assert_eq!(ShareKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn records_say_what_was_written() {
        let said = |record: &Record| parse(Some(&record.key), record.value.as_deref());
        let whole = ShareSnapshotValue { start_offset: 5, ..Default::default() };
        let record = snapshot(&key(), Some(&whole));
        assert_eq!(said(&record), Ok(Said::Snapshot(key(), Some(whole))));
        assert_eq!(said(&snapshot(&key(), None)), Ok(Said::Snapshot(key(), None)));
        let news = ShareUpdateValue { leader_epoch: 2, ..Default::default() };
        assert_eq!(said(&update(&key(), &news)), Ok(Said::Update(key(), Some(news))));
        assert_eq!(parse(None, None), Err(RecordError::NoKey));
    }
}

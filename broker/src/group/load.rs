//! Loading: a shard's state out of the log that holds it.
//!
//! A log of a million commits is mostly the same keys over and over, so a record costs no copy
//! but that of its value: names are copied when they are met first, and of a group's many
//! states only the last is decoded.

use std::collections::HashMap;

use bytes::Bytes;
use vltava_wire::batch::Record;
use vltava_wire::{Offset, ProducerId, Str};

use super::config::GroupConfig;
use super::consumer::ConsumerGroup;
use super::desk::OffsetChange;
use super::machine::Shard;
use super::record::{self, CommittedOffset, ConsumerKey, Key};
use super::share::ShareGroup;
use super::share::record::ShareKind;
use super::state::Group;
use crate::shard::{LoadError, RecordError, Replay};

/// Takes in the records of a partition.
#[derive(Debug)]
pub struct GroupReplay {
    shard: Shard,
    /// The last stored state of each group, undecoded, and where it is.
    groups: HashMap<Str, (Offset, Vec<u8>)>,
    /// Records of kinds that are not known here.
    skipped: u64,
}

impl GroupReplay {
    /// Nothing has been taken in.
    pub fn new(config: GroupConfig) -> Self {
        Self { shard: Shard::new(config), groups: HashMap::new(), skipped: 0 }
    }

    fn take_consumer(
        &mut self,
        id: &str,
        key: ConsumerKey<'_>,
        value: Option<&[u8]>,
    ) -> Result<(), RecordError> {
        let groups = &mut self.shard.consumers;
        if value.is_none() && key == ConsumerKey::Group {
            groups.remove(id);
            return Ok(());
        }
        if !groups.contains_key(id) {
            if value.is_none() {
                return Ok(());
            }
            groups.insert(Str::from(id), ConsumerGroup::new(Str::from(id)));
        }
        let group = groups.get_mut(id).expect("the group was just made");
        group.apply(key.change(value)?);
        Ok(())
    }

    fn take_share(
        &mut self,
        id: &str,
        key: ShareKind<'_>,
        value: Option<&[u8]>,
    ) -> Result<(), RecordError> {
        let groups = &mut self.shard.shares;
        if value.is_none() && key == ShareKind::Group {
            groups.remove(id);
            return Ok(());
        }
        if !groups.contains_key(id) {
            if value.is_none() {
                return Ok(());
            }
            groups.insert(Str::from(id), ShareGroup::new(Str::from(id)));
        }
        let group = groups.get_mut(id).expect("the group was just made");
        group.apply(key.change(value)?);
        Ok(())
    }

    fn take_group(&mut self, group: &str, at: Offset, value: &[u8]) {
        match self.groups.get_mut(group) {
            Some((offset, stored)) => {
                *offset = at;
                stored.clear();
                stored.extend_from_slice(value);
            }
            None => {
                self.groups.insert(Str::from(group), (at, value.to_vec()));
            }
        }
    }
}

impl Replay for GroupReplay {
    type Machine = Shard;

    fn record(
        &mut self,
        producer: Option<ProducerId>,
        record: &Record<'_>,
    ) -> Result<(), RecordError> {
        match Key::parse(record.key.ok_or(RecordError::NoKey)?)? {
            Key::Offset { group, topic, partition } => {
                let value = record.value.map(CommittedOffset::parse).transpose()?;
                let offsets = &mut self.shard.offsets;
                match (producer, value) {
                    (Some(producer), value @ Some(_)) => {
                        let (group, topic) = (Str::from(group), Str::from(topic));
                        let change = OffsetChange { group, topic, partition, value };
                        offsets.pending.put(producer, change);
                    }
                    (None, Some(value)) => offsets.put(group, topic, partition, value),
                    (_, None) => offsets.remove(group, topic, partition),
                }
            }
            Key::Group(group) => match record.value {
                Some(value) => self.take_group(group, record.offset, value),
                None => {
                    self.groups.remove(group);
                }
            },
            Key::Consumer(group, key) => self.take_consumer(group, key, record.value)?,
            Key::Share(group, key) => self.take_share(group, key, record.value)?,
            Key::Other(_) => self.skipped += 1,
        }
        Ok(())
    }

    fn end_transaction(&mut self, producer: ProducerId, commits: bool) {
        self.shard.offsets.end_transaction(producer, commits);
    }

    fn finish(mut self) -> Result<Shard, LoadError> {
        if self.skipped > 0 {
            tracing::warn!(
                records = self.skipped,
                "passed over records of group protocols that are not supported"
            );
        }
        // A group that was left without its epoch is what compaction has left of one that is gone.
        self.shard.consumers.retain(|_, group| group.epoch > 0 || !group.members.is_empty());
        self.shard.shares.retain(|_, group| group.epoch > 0 || !group.members.is_empty());
        for (id, (at, stored)) in self.groups {
            let value = record::parse_group(Bytes::from(stored))
                .map_err(|source| LoadError::Record { at, source })?;
            let group = Group::stored(id.clone(), &value);
            self.shard.groups.insert(id, group);
        }
        Ok(self.shard)
    }
}

//! What is taken back of groups and offsets, many at once.

use vltava_wire::Str;

use super::config::APPEND_BYTES_MAX;
use super::desk::{Desk, OffsetChange, Then};
use super::offsets::to_record;
use super::record::Record;

/// Collects what is to be taken back, and appends it in batches of bounded size.
#[derive(Debug, Default)]
pub(super) struct DeletionBatch {
    records: Vec<Record>,
    bytes: usize,
    groups: Vec<Str>,
    changes: Vec<OffsetChange>,
    /// Whether a batch was appended already.
    appended: bool,
}

impl DeletionBatch {
    /// Takes back an offset.
    pub(super) fn forget(&mut self, change: OffsetChange, desk: &mut Desk) {
        self.add(to_record(&change));
        self.changes.push(change);
        self.append_if_full(desk);
    }

    /// Takes back a group without members.
    pub(super) fn delete(&mut self, group: Str, tombstones: Vec<Record>, desk: &mut Desk) {
        tombstones.into_iter().for_each(|record| self.add(record));
        self.groups.push(group);
        self.append_if_full(desk);
    }

    fn append_if_full(&mut self, desk: &mut Desk) {
        if self.bytes >= APPEND_BYTES_MAX {
            self.append(desk);
        }
    }

    fn add(&mut self, record: Record) {
        self.bytes += record.size_in_bytes();
        self.records.push(record);
    }

    /// Appends what is left; says whether there was anything to append at all.
    pub(super) fn finish(mut self, desk: &mut Desk) -> bool {
        self.append(desk);
        self.appended
    }

    fn append(&mut self, desk: &mut Desk) {
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return;
        }
        let (groups, changes) =
            (std::mem::take(&mut self.groups), std::mem::take(&mut self.changes));
        desk.append(records, Then::Deletion { groups, changes }, None);
        (self.bytes, self.appended) = (0, true);
    }
}

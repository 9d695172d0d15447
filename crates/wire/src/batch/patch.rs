//! What a leader changes in a batch before it appends it, in place.
//!
//! Each function takes a slice that starts with a whole batch, as [`super::Batch::parse`] has
//! found it; they panic on one that is shorter than its header.

use super::header::{
    ATTRIBUTES_AT, Attributes, BatchHeader, CRC_AT, EPOCH_AT, MAX_TIMESTAMP_AT, TimestampType,
};
use crate::{LeaderEpoch, Offset};

fn put(batch: &mut [u8], at: usize, value: &[u8]) {
    batch[at..at + value.len()].copy_from_slice(value);
}

/// Sets the offset of the first record; outside of the CRC.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], offset: Offset) {
    put(batch, 0, &offset.0.to_be_bytes());
}

/// Sets the epoch of the leader that appends the batch; outside of the CRC.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    put(batch, EPOCH_AT, &epoch.0.to_be_bytes());
}

/// Sets whose clock the timestamps are from and the largest one (ms since 1970), and computes
/// the CRC anew over the whole batch, unless nothing changes.
///
/// # Panics
/// If `batch` is not a whole batch.
pub fn set_max_timestamp_and_type(batch: &mut [u8], kind: TimestampType, max_timestamp: i64) {
    let header = BatchHeader::parse(batch).expect("the batch was parsed before");
    if header.timestamp_type() == kind && header.max_timestamp == max_timestamp {
        return;
    }
    let Attributes(flags) = header.attributes.with_timestamp_type(kind);
    put(batch, ATTRIBUTES_AT, &flags.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, &max_timestamp.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..header.size_in_bytes()]);
    put(batch, CRC_AT, &crc.to_be_bytes());
}

/// Computes the CRC anew over the whole batch, after its records were replaced.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn refresh_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    put(batch, CRC_AT, &crc.to_be_bytes());
}

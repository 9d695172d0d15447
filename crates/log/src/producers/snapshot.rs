//! Snapshots of the producers: `NNN.snapshot`, where NNN is the offset up to which all batches
//! are in it.
//!
//! Version 1: `i16` version, `u32` CRC-32C of what follows it, an array of entries. Of each
//! producer's batches only the last one is kept.

use std::collections::HashMap;

use vltava_wire::{Offset, ProducerEpoch, ProducerId};

use super::transactions::Transactions;
use super::{ProducerBatch, ProducerEntry, Producers, Recent};

const VERSION: i16 = 1;
/// Where the bytes start that the CRC covers.
const ENTRIES_AT: usize = 6;
const ENTRY_BYTES: usize = 46;

/// The snapshot's bytes.
pub(crate) fn encode(producers: &Producers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRIES_AT + 4 + producers.entries.len() * ENTRY_BYTES);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(producers.entries.len() as i32).to_be_bytes());
    for entry in producers.entries.values() {
        let none = ProducerBatch {
            last_sequence: -1,
            last_offset: Offset(-1),
            offset_delta: 0,
            timestamp: entry.last_timestamp,
        };
        let batch = entry.batches().last().copied().unwrap_or(none);
        bytes.extend_from_slice(&entry.producer_id.0.to_be_bytes());
        bytes.extend_from_slice(&entry.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&batch.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&batch.last_offset.0.to_be_bytes());
        bytes.extend_from_slice(&batch.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        let first = entry.current_txn_first_offset.unwrap_or(Offset(-1));
        bytes.extend_from_slice(&first.0.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[ENTRIES_AT..]);
    bytes[2..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The producers in a snapshot; `None` if the bytes are not a whole one.
pub(crate) fn decode(bytes: &[u8]) -> Option<Producers> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (crc, content) = rest.split_first_chunk()?;
    if i16::from_be_bytes(*version) != VERSION
        || u32::from_be_bytes(*crc) != crc32c::crc32c(content)
    {
        return None;
    }
    let (count, entries) = content.split_first_chunk()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    if entries.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let entries: Option<HashMap<ProducerId, ProducerEntry>> = entries
        .chunks_exact(ENTRY_BYTES)
        .map(|bytes| decode_entry(bytes).map(|entry| (entry.producer_id, entry)))
        .collect();
    let entries = entries?;
    let mut transactions = Transactions::default();
    for entry in entries.values() {
        if let Some(first_offset) = entry.current_txn_first_offset {
            transactions.begin(entry.producer_id, first_offset);
        }
    }
    Some(Producers { entries, transactions, ..Producers::default() })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*value)
}

fn decode_entry(mut bytes: &[u8]) -> Option<ProducerEntry> {
    let mut entry = ProducerEntry::new(ProducerId(i64::from_be_bytes(take(&mut bytes)?)));
    entry.epoch = ProducerEpoch(i16::from_be_bytes(take(&mut bytes)?));
    let last_sequence = i32::from_be_bytes(take(&mut bytes)?);
    let last_offset = Offset(i64::from_be_bytes(take(&mut bytes)?));
    let offset_delta = i32::from_be_bytes(take(&mut bytes)?);
    let timestamp = i64::from_be_bytes(take(&mut bytes)?);
    entry.last_timestamp = timestamp;
    entry.coordinator_epoch = i32::from_be_bytes(take(&mut bytes)?);
    let first = i64::from_be_bytes(take(&mut bytes)?);
    entry.current_txn_first_offset = (first >= 0).then_some(Offset(first));
    if last_offset >= Offset::ZERO {
        let mut recent = Recent::default();
        recent.push(ProducerBatch { last_sequence, last_offset, offset_delta, timestamp });
        entry.recent = recent;
    }
    Some(entry)
}

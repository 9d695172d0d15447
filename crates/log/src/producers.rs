//! What is known of idempotent producers (KIP-98).

use std::collections::VecDeque;

use vltava_wire::{Offset, ProducerEpoch, ProducerId};

/// One of the last batches of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The sequence number of the last record.
    pub last_sequence: i32,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The last record's offset less the first one's.
    pub offset_delta: i32,
    /// The largest timestamp, in ms since 1970.
    pub timestamp: i64,
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Its last batches of this epoch, the oldest first, at most five.
    pub batches: VecDeque<ProducerBatch>,
    /// The largest timestamp of its last batch or marker, in ms since 1970.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last transaction marker, −1 if none.
    pub coordinator_epoch: i32,
    /// Where its open transaction starts.
    pub current_txn_first_offset: Option<Offset>,
}

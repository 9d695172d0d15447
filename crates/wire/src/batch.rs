//! Record batches of version 2 (KIP-98), the unit in which records are sent, stored and fetched.
//!
//! Brokers treat batches as opaque: they read the header ([`BatchHeader`]), check the CRC, patch
//! base offset and leader epoch in place ([`set_base_offset`], [`set_partition_leader_epoch`]:
//! both lie outside the CRC) and keep the rest as it came. [`Batches`] walks over what lies in a
//! slice; [`Batch::records`] decodes the records of one; [`BatchBuilder`] makes one; [`Remains`] is
//! what compaction leaves of one.
//!
//! Older formats (magic 0 and 1) are refused by name: Kafka 4 does not write them any more.

mod builder;
mod control;
mod error;
mod header;
mod iter;
mod patch;
mod record;
mod remains;
mod varint;

pub use builder::{BatchBuilder, HeaderPair};
pub use control::{CONTROL_KEY_VERSION, ControlRecord, ControlRecordError, ControlRecordType};
pub use error::{BatchError, BatchErrorKind};
pub use header::{
    Attributes, BATCH_OVERHEAD, BatchHeader, LOG_OVERHEAD, NO_SEQUENCE, NO_TIMESTAMP,
    TimestampType, sequence_after,
};
pub use iter::{Batch, Batches};
pub use patch::{
    refresh_crc, set_base_offset, set_max_timestamp_and_type, set_partition_leader_epoch,
};
pub use record::{Headers, Record, RecordHeader, Records, RecordsIter};
pub use remains::Remains;

#[cfg(test)]
mod tests;

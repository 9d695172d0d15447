//! A log on a faulty disk, and batches to append to it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use vltava_log::{
    AppendError, AppendInfo, AppendOptions, AppendOrigin, FaultyDisk, Log, LogConfig, LogError,
    OpenOptions, Verification,
};
use vltava_wire::batch::{BatchBuilder, ControlRecord};
use vltava_wire::records::raft::EndTxnMarker;
use vltava_wire::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

pub const NOW_MS: i64 = 1_700_000_000_000;

pub fn options() -> OpenOptions {
    OpenOptions {
        recovery_point: Offset::ZERO,
        clean_shutdown: false,
        log_start_offset: Offset::ZERO,
        now_ms: NOW_MS,
    }
}

pub fn dir() -> PathBuf {
    PathBuf::from("/data/t-0")
}

pub fn open_with(
    disk: &FaultyDisk,
    config: LogConfig,
    options: OpenOptions,
) -> Result<Log, LogError> {
    Log::open(Arc::new(disk.clone()), dir(), config, options).map(|(log, _)| log)
}

/// A new log.
pub fn log(config: LogConfig) -> Log {
    open_with(&FaultyDisk::new(1), config, options()).unwrap()
}

pub fn leader(epoch: i32) -> AppendOptions {
    let origin = AppendOrigin::Client;
    let verification = Verification::default();
    AppendOptions { leader_epoch: LeaderEpoch(epoch), origin, verification, now_ms: NOW_MS }
}

fn fill(mut builder: BatchBuilder, records: usize, timestamp: i64) -> BytesMut {
    for record in 0..records {
        builder.append(timestamp + record as i64, None, Some(&[7; 20]), &[]);
    }
    builder.build()
}

/// A batch of no idempotent producer.
pub fn plain(records: usize, timestamp: i64) -> BytesMut {
    fill(BatchBuilder::new(Offset::ZERO), records, timestamp)
}

/// A batch as a leader sends it.
pub fn replicated(base: i64, epoch: i32, records: usize) -> BytesMut {
    let builder = BatchBuilder::new(Offset(base)).partition_leader_epoch(LeaderEpoch(epoch));
    fill(builder, records, NOW_MS)
}

/// A batch of a producer.
pub fn idempotent(id: i64, epoch: i16, sequence: i32, records: usize) -> BytesMut {
    let builder = BatchBuilder::new(Offset::ZERO);
    fill(builder.producer(ProducerId(id), ProducerEpoch(epoch), sequence), records, NOW_MS)
}

pub fn append(log: &mut Log, mut batch: BytesMut) -> Result<AppendInfo, AppendError> {
    log.append_as_leader(&mut batch, leader(0))
}

/// A batch of a producer's transaction.
pub fn transactional(id: i64, epoch: i16, sequence: i32, records: usize) -> BytesMut {
    let builder = BatchBuilder::new(Offset::ZERO).transactional();
    fill(builder.producer(ProducerId(id), ProducerEpoch(epoch), sequence), records, NOW_MS)
}

/// The marker that ends a producer's transaction.
pub fn marker(id: i64, epoch: i16, commits: bool, coordinator_epoch: i32) -> BytesMut {
    let builder = BatchBuilder::new(Offset::ZERO).control().transactional();
    let mut builder = builder.producer(ProducerId(id), ProducerEpoch(epoch), -1);
    let marker = EndTxnMarker { coordinator_epoch };
    builder.append_control_record(
        NOW_MS,
        &if commits { ControlRecord::Commit(marker) } else { ControlRecord::Abort(marker) },
    );
    builder.build()
}

/// Appends a batch of a transaction of which the coordinator knows.
pub fn append_verified(log: &mut Log, mut batch: BytesMut) -> Result<AppendInfo, AppendError> {
    let options = AppendOptions { verification: Verification::NotRequired, ..leader(0) };
    log.append_as_leader(&mut batch, options)
}

/// Appends a marker as the coordinator of transactions of that version has it appended.
pub fn append_marker(
    log: &mut Log,
    mut batch: BytesMut,
    version: i8,
) -> Result<AppendInfo, AppendError> {
    let origin = AppendOrigin::TransactionMarker { version };
    log.append_as_leader(&mut batch, AppendOptions { origin, ..leader(0) })
}

/// Appends batches of one record each.
pub fn append_many(log: &mut Log, count: usize) {
    for _ in 0..count {
        append(log, plain(1, NOW_MS)).unwrap();
    }
}

/// The offset after the last record that a replica with these bytes would have.
pub fn read_all(log: &Log) -> Vec<i64> {
    let mut offsets = Vec::new();
    let mut at = log.log_start_offset();
    while let Some(slice) = log.locate(at, 1 << 20, Offset(i64::MAX), true).unwrap() {
        for batch in vltava_wire::batch::Batches::new(&slice.read().unwrap()) {
            let header = batch.unwrap().header;
            offsets.push(header.base_offset.0);
            at = header.next_offset();
        }
    }
    offsets
}

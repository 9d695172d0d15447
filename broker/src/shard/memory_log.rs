//! A log in memory for the tests of coordinators, whose high watermark and whose reads the test
//! may hold back.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};
use vltava_wire::batch::{Batch, Batches, set_base_offset};
use vltava_wire::{LeaderEpoch, Offset, PartitionId};

use super::InTransaction;
use super::log::{AppendError, Appended, Bounds, ReadError, StateLog};

type Committed = oneshot::Sender<Result<(), AppendError>>;

#[derive(Default)]
struct Partition {
    epoch: i32,
    bytes: Vec<u8>,
    end: i64,
    high_watermark: i64,
    waiting: Vec<Committed>,
}

/// A log in memory, whose high watermark and whose reads the test may hold back.
#[derive(Default)]
pub(crate) struct MemoryLog {
    partitions: Mutex<HashMap<PartitionId, Partition>>,
    held: Mutex<(bool, bool, Option<AppendError>)>,
    read_on: Condvar,
    /// Notified when somebody waits for what lies in the log already.
    waiting: Notify,
}

impl MemoryLog {
    pub(crate) fn elect(&self, partition: PartitionId, epoch: i32) {
        self.partitions.lock().expect("a lock").entry(partition).or_default().epoch = epoch;
    }

    pub(crate) fn hold_watermark(&self) {
        self.held.lock().expect("a lock").0 = true;
    }

    pub(crate) fn hold_reads(&self, hold: bool) {
        self.held.lock().expect("a lock").1 = hold;
        self.read_on.notify_all();
    }

    pub(crate) fn refuse(&self, error: Option<AppendError>) {
        self.held.lock().expect("a lock").2 = error;
    }

    /// Waits until a new leader waits for what lies in the log.
    pub(crate) async fn waits_for_commit(&self) {
        self.waiting.notified().await;
    }

    /// The high watermark passes all that lies in the log, and is held no more.
    pub(crate) fn commit_held(&self) {
        self.held.lock().expect("a lock").0 = false;
        self.release(Ok(()));
    }

    /// Ends all waits for the high watermark.
    pub(crate) fn release(&self, outcome: Result<(), AppendError>) {
        for partition in self.partitions.lock().expect("a lock").values_mut() {
            if outcome.is_ok() {
                partition.high_watermark = partition.end;
            }
            for waiter in partition.waiting.drain(..) {
                waiter.send(outcome.clone()).ok();
            }
        }
    }
}

impl StateLog for MemoryLog {
    fn append(
        &self,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        mut batch: BytesMut,
        _: Option<&InTransaction>,
    ) -> Result<Appended, AppendError> {
        let (hold, _, refuse) = self.held.lock().expect("a lock").clone();
        let mut partitions = self.partitions.lock().expect("a lock");
        let partition = partitions.get_mut(&partition).ok_or(AppendError::NotLeader)?;
        if partition.epoch != leader_epoch.get() {
            return Err(AppendError::NotLeader);
        }
        if let Some(error) = refuse {
            return Err(error);
        }
        let base_offset = Offset(partition.end);
        set_base_offset(&mut batch, base_offset);
        partition.end = Batch::parse(&batch).expect("a batch").header.next_offset().get();
        partition.bytes.extend_from_slice(&batch);
        let (sender, receiver) = oneshot::channel();
        match hold {
            true => partition.waiting.push(sender),
            false => {
                partition.high_watermark = partition.end;
                drop(sender.send(Ok(())));
            }
        }
        let committed = receiver.map(|outcome| outcome.unwrap_or(Err(AppendError::NotLeader)));
        Ok(Appended { base_offset, committed: committed.boxed() })
    }

    fn read(&self, id: PartitionId, from: Offset, max_bytes: usize) -> Result<Bytes, ReadError> {
        let held = self.held.lock().expect("a lock");
        drop(self.read_on.wait_while(held, |held| held.1).expect("a lock"));
        let partitions = self.partitions.lock().expect("a lock");
        let bytes = &partitions.get(&id).ok_or(ReadError::NoReplica)?.bytes;
        let first = Batches::new(bytes)
            .map(|batch| batch.expect("a batch"))
            .find(|batch| batch.header.next_offset() > from);
        let Some(first) = first else { return Ok(Bytes::new()) };
        let end = (first.at + max_bytes.max(first.bytes.len())).min(bytes.len());
        Ok(Bytes::copy_from_slice(&bytes[first.at..end]))
    }

    fn committed(
        &self,
        id: PartitionId,
        epoch: LeaderEpoch,
        end: Offset,
    ) -> BoxFuture<'static, Result<(), AppendError>> {
        let held = self.held.lock().expect("a lock").0;
        let mut partitions = self.partitions.lock().expect("a lock");
        let Some(partition) = partitions.get_mut(&id).filter(|it| it.epoch == epoch.get()) else {
            return async { Err(AppendError::NotLeader) }.boxed();
        };
        assert!(end.get() <= partition.end, "what is waited for lies in the log");
        let (sender, receiver) = oneshot::channel();
        match held {
            true => partition.waiting.push(sender),
            false => drop(sender.send(Ok(()))),
        }
        self.waiting.notify_one();
        receiver.map(|outcome| outcome.unwrap_or(Err(AppendError::NotLeader))).boxed()
    }

    fn bounds(&self, partition: PartitionId) -> Result<Bounds, ReadError> {
        let partitions = self.partitions.lock().expect("a lock");
        let partition = partitions.get(&partition).ok_or(ReadError::NoReplica)?;
        Ok(Bounds {
            log_start: Offset::ZERO,
            high_watermark: Offset(partition.high_watermark),
            log_end: Offset(partition.end),
        })
    }
}

//! Snapshots: when they are due, and what is given up after one (KIP-630).

use std::time::Duration;

use vltava_config::{Values, keys};
use vltava_metadata::{SnapshotId, checkpoint};
use vltava_quorum::{Event, Instant, rpc};

use super::inbox::Inbox;
use super::message::Message;
use super::{Driver, DriverError};
use crate::clock::Clock;
use crate::store::{StoreError, quorum_id};

/// When snapshots are taken, and what is kept.
#[derive(Debug)]
pub(super) struct Snapshots {
    inbox: Inbox,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    bytes_max: u64,
    /// `metadata.log.max.snapshot.interval.ms`; `None` for no such limit.
    interval: Option<Duration>,
    /// `metadata.max.retention.bytes`; `None` keeps all.
    retention: Option<u64>,
    latest: SnapshotId,
    latest_at: Instant,
    /// Bytes that were appended since.
    bytes: u64,
    /// Whether one is being written.
    writing: bool,
}

impl Snapshots {
    pub(super) fn new(values: &Values, latest: SnapshotId, now: Instant, inbox: Inbox) -> Self {
        let positive = |number: i64| u64::try_from(number).ok();
        let interval = values.get(keys::METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS);
        let bytes_max = values.get(keys::METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS);
        Self {
            inbox,
            bytes_max: positive(bytes_max).unwrap_or(u64::MAX),
            interval: positive(interval).filter(|ms| *ms > 0).map(Duration::from_millis),
            retention: positive(values.get(keys::METADATA_MAX_RETENTION_BYTES)),
            latest,
            latest_at: now,
            bytes: 0,
            writing: false,
        }
    }

    pub(super) fn appended(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// A snapshot took the place of all that was here.
    pub(super) fn restart(&mut self, id: SnapshotId, now: Instant) {
        (self.latest, self.latest_at, self.bytes) = (id, now, 0);
    }

    fn is_due(&self, id: SnapshotId, now: Instant) -> bool {
        let old = self.interval.is_some_and(|interval| self.latest_at + interval <= now);
        !self.writing
            && id.end_offset > self.latest.end_offset
            && (old || self.bytes >= self.bytes_max)
    }
}

impl Driver {
    /// Has a snapshot of what is committed written, beside the loop, if one is due.
    pub(super) fn take_snapshot_if_due(&mut self) {
        let provenance = self.committed.provenance();
        let id = SnapshotId { end_offset: provenance.offset.next(), epoch: provenance.epoch };
        let now = self.clock.now();
        if !self.snapshots.is_due(id, now) {
            return;
        }
        let voters = self.machine.log().voters_at(id.end_offset).map(rpc::voters_to_wire);
        let (image, writer) = (self.committed.clone(), self.store.snapshot_writer());
        let inbox = self.snapshots.inbox.clone();
        let write = move || {
            let bytes = checkpoint::encode(id, &image, voters.as_ref(), Clock::wall_ms());
            let outcome = writer.write(id, &bytes).map(|()| bytes.len() as u64);
            inbox.tell(Message::SnapshotWritten { id, outcome });
        };
        match std::thread::Builder::new().name("snapshot".to_owned()).spawn(write) {
            Ok(_) => {
                self.snapshots.writing = true;
                self.snapshots.restart(id, now);
            }
            // The next commit tries again.
            Err(error) => tracing::warn!("cannot start a thread for a snapshot: {error}"),
        }
    }

    /// A snapshot is on disk: the log before it may go, if there is too much of it.
    pub(super) fn snapshot_written(
        &mut self,
        id: SnapshotId,
        outcome: Result<u64, StoreError>,
    ) -> Result<(), DriverError> {
        self.snapshots.writing = false;
        let size = outcome.map_err(DriverError::Store)?;
        self.store.snapshot_written(id, size).map_err(DriverError::Store)?;
        tracing::info!(bytes = size, "wrote the snapshot {id}");
        self.step(Event::SnapshotTaken { id: quorum_id(id) })?;
        if self.snapshots.retention.is_none_or(|retention| self.store.size() <= retention) {
            return Ok(());
        }
        match self.store.give_up_before_latest().map_err(DriverError::Store)? {
            Some(latest) => self.step(Event::LogStartMoved { snapshot: quorum_id(latest) }),
            None => Ok(()),
        }
    }
}

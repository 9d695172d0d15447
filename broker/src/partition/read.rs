//! Reading: record batches for consumers and followers, offsets by time and by epoch, and the
//! start of the log, which DeleteRecords moves.

use std::sync::Arc;
use std::time::Instant;

use vltava_log::{AbortedTransaction, Slice, TimestampOffset};
use vltava_wire::{BrokerEpoch, LeaderEpoch, NodeId, Offset};

use super::failure::PartitionError;
use super::replica::{Partition, Role, State};
use super::surroundings::News;
use super::waiter::{Mark, Registration, Wake};
use crate::replication::isr::{Event, FollowerFetch};
use crate::replication::truncate::EpochEnd;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A client: it sees what is on enough replicas.
    Consumer,
    /// A client that sees of transactions only what was committed (`read_committed`).
    CommittedConsumer,
    /// A follower: it sees all, and what it asks for says what it has.
    Follower {
        /// Its id.
        node: NodeId,
        /// The epoch of its registration; −1 if it does not say.
        broker_epoch: BrokerEpoch,
    },
}

impl Reader {
    /// Whether it is a client.
    pub fn is_consumer(self) -> bool {
        matches!(self, Self::Consumer | Self::CommittedConsumer)
    }
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAt {
    /// From where.
    pub offset: Offset,
    /// At most so many bytes.
    pub max_bytes: usize,
    /// Whether a first batch that is larger is returned all the same.
    pub min_one_batch: bool,
    /// The leader epoch that the reader knows; −1 if it does not say.
    pub leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the reader has; −1 if it does not say.
    pub last_epoch: LeaderEpoch,
    /// Where the reader's own log starts, if it is a follower.
    pub log_start: Offset,
    /// Whether a consumer may be served by a follower, too (KIP-392).
    pub any_replica: bool,
}

/// What can be read.
#[derive(Debug)]
pub struct Readable {
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable: Offset,
    /// The log's first offset.
    pub log_start: Offset,
    /// The transactions that were aborted and have records in the bytes; of interest to
    /// [`Reader::CommittedConsumer`] only.
    pub aborted: Vec<AbortedTransaction>,
    /// The bytes, still in their file; `None` if there are none.
    pub slice: Option<Slice>,
    /// Whether they are most likely in the page cache.
    pub is_hot: bool,
    /// The reader's log differs from ours: our largest epoch not above its last one, and where
    /// that ends. Then there are no bytes.
    pub diverging: Option<EpochEnd>,
}

/// Which offset is asked for (ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The end of what the reader may see.
    Latest,
    /// The log's first offset.
    Earliest,
    /// The first record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record of that time, in ms since 1970, or later.
    At(i64),
}

impl State {
    /// Where a log that ends with `last_epoch` before `offset` differs from this one.
    fn divergence(
        &mut self,
        offset: Offset,
        last_epoch: LeaderEpoch,
    ) -> Result<Option<EpochEnd>, PartitionError> {
        if last_epoch == LeaderEpoch::UNKNOWN {
            return Ok(None);
        }
        let log = self.log()?;
        let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
        let out_of_range = PartitionError::OffsetOutOfRange { offset, log_start, log_end };
        let Some((epoch, end)) = log.end_offset_for_epoch(last_epoch) else {
            return Err(out_of_range);
        };
        if offset < log_start {
            return Err(out_of_range);
        }
        let differs = epoch < last_epoch || end < offset;
        Ok(differs.then_some(EpochEnd { epoch, end }))
    }
}

impl Partition {
    /// Finds what can be read, and, if `notes` is set, takes a follower's fetch as the news that
    /// it has all before. The bytes are read from the slice without the partition's lock.
    ///
    /// # Errors
    /// `FencedLeaderEpoch`, `UnknownLeaderEpoch`, `NotLeader`, `UnknownReplica`,
    /// `OffsetOutOfRange`, `Offline`.
    pub fn read(
        &self,
        at: &ReadAt,
        reader: Reader,
        notes: bool,
    ) -> Result<Readable, PartitionError> {
        let mut state = self.state();
        state.check_epoch(at.leader_epoch)?;
        let follows = matches!(state.role, Role::Follower { .. });
        let log = if reader.is_consumer() && at.any_replica && follows {
            state.log()?
        } else {
            let (leading, log) = state.leading()?;
            if let Reader::Follower { node, .. } = reader
                && !leading.isr.is_replica(node)
            {
                return Err(PartitionError::UnknownReplica(node));
            }
            log
        };
        let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
        let high_watermark = state.high_watermark;
        let last_stable = state.log()?.last_stable_offset(high_watermark);
        let diverging = state.divergence(at.offset, at.last_epoch)?;
        if diverging.is_some() {
            return Ok(Readable {
                high_watermark,
                last_stable,
                log_start,
                aborted: Vec::new(),
                slice: None,
                is_hot: true,
                diverging,
            });
        }
        if at.offset < log_start || at.offset > log_end {
            let offset = at.offset;
            return Err(PartitionError::OffsetOutOfRange { offset, log_start, log_end });
        }
        let bound = match reader {
            Reader::Follower { node, broker_epoch } => {
                if notes {
                    self.note_follower(&mut state, at, node, broker_epoch)?;
                }
                log_end
            }
            Reader::Consumer => high_watermark,
            Reader::CommittedConsumer => last_stable,
        };
        let slice = self.locate(&mut state, at, bound)?;
        let aborted = match &slice {
            Some(slice) if reader == Reader::CommittedConsumer => {
                let found = state.log()?.aborted_transactions(at.offset, slice.next_offset());
                self.noting(&mut state, found)?
            }
            _ => Vec::new(),
        };
        Ok(Readable {
            high_watermark: state.high_watermark,
            last_stable,
            log_start,
            aborted,
            is_hot: slice.as_ref().is_none_or(|slice| state.is_hot(slice.base_offset())),
            slice,
            diverging: None,
        })
    }

    fn locate(
        &self,
        state: &mut State,
        at: &ReadAt,
        bound: Offset,
    ) -> Result<Option<Slice>, PartitionError> {
        if at.offset >= bound || (at.max_bytes == 0 && !at.min_one_batch) {
            return Ok(None);
        }
        let located = state.log()?.locate(at.offset, at.max_bytes, bound, at.min_one_batch);
        self.noting(state, located)
    }

    /// Whole batches from the one that holds `offset` on, one at least, whatever this broker's
    /// role is and whether they are committed; `None` at the log's end.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `Offline`.
    pub fn slice(&self, offset: Offset, max_bytes: usize) -> Result<Option<Slice>, PartitionError> {
        let mut state = self.state();
        let log = state.log()?;
        let located = log.locate(offset, max_bytes, log.log_end_offset(), true);
        self.noting(&mut state, located)
    }

    /// A follower asks for an offset: it has all before it.
    fn note_follower(
        &self,
        state: &mut State,
        at: &ReadAt,
        node: NodeId,
        broker_epoch: BrokerEpoch,
    ) -> Result<(), PartitionError> {
        let peers = &self.around.peers;
        let registered = peers.epoch(node);
        let names_epoch = broker_epoch != BrokerEpoch(-1);
        if names_epoch && registered.is_some_and(|epoch| epoch > broker_epoch) {
            return Err(PartitionError::UnknownReplica(node));
        }
        let eligible = (!names_epoch || registered == Some(broker_epoch)) && peers.is_active(node);
        let fetch = FollowerFetch {
            node,
            offset: at.offset,
            log_start: at.log_start,
            broker_epoch,
            eligible,
        };
        let now = Instant::now();
        let log_seen = state.leader_log();
        let (leading, log) = state.leading()?;
        let proposal = leading.isr.on(Event::Fetched(fetch), log_seen, now);
        if proposal.is_some() {
            self.around.tell(News::Proposal(self.this()));
        }
        if at.log_start > leading.low_watermark {
            let alive = |node| peers.is_alive(node);
            let low = leading.isr.low_watermark(log.log_start_offset(), alive);
            if let Some(low) = low.filter(|low| *low > leading.low_watermark) {
                leading.low_watermark = low;
                self.reached(state, Mark::LowWatermark, low);
            }
        }
        self.advance_high_watermark(state, now);
        Ok(())
    }

    /// Has `wake` woken when there is more to read than up to where a reader has come.
    pub fn watch(&self, at: &ReadAt, reader: Reader, wake: &Wake) -> Registration {
        let mark = match reader {
            Reader::Consumer => Mark::HighWatermark,
            Reader::CommittedConsumer => Mark::LastStable,
            Reader::Follower { .. } => Mark::LogEnd,
        };
        self.waiters.register(mark, at.offset.next(), wake)
    }

    /// As [`watch`](Self::watch), for a follower that knows so far how much is committed.
    pub fn watch_high_watermark(&self, known: Offset, wake: &Wake) -> Registration {
        self.waiters.register(Mark::HighWatermark, known.next(), wake)
    }

    /// The followers that a consumer could read from at an offset, each with the end of its log;
    /// none if this broker does not lead.
    pub fn followers_at(&self, offset: Offset) -> Vec<(NodeId, Offset)> {
        match &self.state().role {
            Role::Leader(leading) => leading.isr.followers_at(offset),
            _ => Vec::new(),
        }
    }

    /// Looks an offset up. Searching by time reads the log, most of it without the partition's
    /// lock: call it where that does not stall others.
    ///
    /// # Errors
    /// As [`read`](Self::read); `OffsetNotAvailable` while a new leader does not know yet how far
    /// its records are committed.
    pub fn find_offset(
        &self,
        query: OffsetQuery,
        reader: Reader,
        leader_epoch: LeaderEpoch,
    ) -> Result<Option<TimestampOffset>, PartitionError> {
        let mut state = self.state();
        state.check_epoch(leader_epoch)?;
        let high_watermark = state.high_watermark;
        let (leading, log) = state.leading()?;
        let (epoch, epoch_start) = (leading.epoch, leading.epoch_start);
        let last = match reader {
            Reader::Consumer => high_watermark,
            Reader::CommittedConsumer => log.last_stable_offset(high_watermark),
            Reader::Follower { .. } => log.log_end_offset(),
        };
        let lags = reader.is_consumer() && high_watermark < epoch_start;
        let plain = |offset, leader_epoch| TimestampOffset { timestamp: -1, offset, leader_epoch };
        let timestamp = match query {
            OffsetQuery::Latest if lags => return Err(PartitionError::OffsetNotAvailable),
            OffsetQuery::Latest => return Ok(Some(plain(last, epoch))),
            OffsetQuery::Earliest => {
                let start = log.log_start_offset();
                let at = log.epoch_at(start).unwrap_or(LeaderEpoch::UNKNOWN);
                return Ok(Some(plain(start, at)));
            }
            OffsetQuery::MaxTimestamp => log.largest_timestamp(),
            OffsetQuery::At(timestamp) => Ok(Some(timestamp)),
        };
        let timestamp = self.noting(&mut state, timestamp)?;
        drop(state);
        let found = match timestamp {
            Some(timestamp) => self.first_at_or_after(timestamp, leader_epoch)?,
            None => None,
        };
        match found.filter(|found| found.offset < last) {
            None if lags => Err(PartitionError::OffsetNotAvailable),
            found => Ok(found),
        }
    }

    /// The first record of a time or later. Batches are read and decompressed without the lock.
    fn first_at_or_after(
        &self,
        timestamp: i64,
        leader_epoch: LeaderEpoch,
    ) -> Result<Option<TimestampOffset>, PartitionError> {
        let mut from = Offset::ZERO;
        loop {
            let batch = {
                let mut state = self.state();
                state.check_epoch(leader_epoch)?;
                let (_, log) = state.leading()?;
                let batch = log.batch_at_or_after(timestamp, from);
                self.noting(&mut state, batch)?
            };
            let Some(batch) = batch else { return Ok(None) };
            match batch.first() {
                // A batch's header may promise a timestamp that none of its records has.
                Ok(None) => from = batch.next_offset(),
                Ok(found) => return Ok(found),
                Err(error) => return self.noting(&mut self.state(), Err(error)),
            }
        }
    }

    /// The largest epoch of this leader's not above `epoch`, and where it ends; `None` if the log
    /// knows too little to say (KIP-101).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn epoch_end(
        &self,
        epoch: LeaderEpoch,
        leader_epoch: LeaderEpoch,
    ) -> Result<Option<EpochEnd>, PartitionError> {
        let mut state = self.state();
        state.check_epoch(leader_epoch)?;
        let (_, log) = state.leading()?;
        Ok(log.end_offset_for_epoch(epoch).map(|(epoch, end)| EpochEnd { epoch, end }))
    }

    /// Moves the log's start forward; `None` moves it to the high watermark. Returns the new
    /// start; what followers do is for [`deleted_everywhere`](Self::deleted_everywhere).
    ///
    /// # Errors
    /// `NotLeader`; `KeepsRecords` where the topic is only compacted; `OffsetOutOfRange` beyond the
    /// high watermark; a failure of the log.
    pub fn delete_records(&self, before: Option<Offset>) -> Result<Offset, PartitionError> {
        let mut state = self.state();
        let high_watermark = state.high_watermark;
        let offset = before.unwrap_or(high_watermark);
        let deletes = state.settings.deletes;
        let (_, log) = state.leading()?;
        if !deletes {
            return Err(PartitionError::KeepsRecords);
        }
        if offset > high_watermark || offset < Offset::ZERO {
            return Err(PartitionError::OffsetOutOfRange {
                offset,
                log_start: log.log_start_offset(),
                log_end: high_watermark,
            });
        }
        if offset > log.log_start_offset() {
            let advanced = log.advance_log_start_offset(offset);
            self.noting(&mut state, advanced)?;
            // A transaction that began before is not waited for any more.
            let stable = state.log()?.last_stable_offset(high_watermark);
            self.reached(&mut state, Mark::LastStable, stable);
        }
        Ok(state.log()?.log_start_offset())
    }

    /// Waits until all live replicas start at `offset` or beyond; returns the least of their
    /// starts.
    ///
    /// # Errors
    /// `NotLeader` if this broker lost the leadership; `Offline`.
    pub async fn deleted_everywhere(
        self: Arc<Self>,
        offset: Offset,
    ) -> Result<Offset, PartitionError> {
        let this = Arc::clone(&self);
        self.wait(Mark::LowWatermark, offset, move |state| {
            let (leading, log) = state.leading()?;
            let alive = |node| this.around.peers.is_alive(node);
            let low = leading.isr.low_watermark(log.log_start_offset(), alive);
            Ok(low.filter(|low| *low >= offset))
        })
        .await
    }

    /// Whether the partition has a leader role here, whatever the state of its log.
    pub fn is_led_here(&self) -> bool {
        matches!(self.state().role, Role::Leader(_))
    }
}

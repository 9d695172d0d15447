//! The log of one partition: segments, indexes, recovery, retention and compaction.
//!
//! A [`Log`] is a folder in Kafka's own format, so that Apache's tools read it and a folder that
//! Apache Kafka wrote opens here. It is synchronous and knows neither topics, nor clocks, nor
//! threads: time comes in as an argument, and the one slow thing, fsync, can be taken away from
//! the log's lock as a [`FlushTicket`].
//!
//! The walk of a record: [`Log::append_as_leader`] checks and patches the batches and writes them
//! with one write; [`Log::begin_flush`] → [`FlushTicket::sync`] → [`Log::complete_flush`] makes
//! them durable, many appends at once; [`Log::locate`] finds the bytes for a fetch, which
//! [`Slice::read`] reads (or a socket takes from [`Slice::as_file`]) without the lock.
//!
//! *Invariants*
//! - what [`Log::flushed_offset`] has passed survives a power cut, byte for byte; with it do the
//!   leader epochs of those records;
//! - corruption below the recovery point is an error that names file and position; above it the
//!   log is cut at the first byte that is not a whole, valid batch;
//! - a failed fsync is never tried again: the log says [`LogError::Failed`] from then on;
//! - every fsync, rename and short write is in [`disk`], nowhere else.

pub mod checkpoint;
mod clean;
mod config;
pub mod disk;
mod epochs;
mod error;
mod folder;
mod index;
mod log;
mod producers;
mod relocation;
mod scan;
mod segment;

pub use clean::{
    CleanRound, CleanStats, Cleanable, CleanedSegment, OffsetMap, Pace, Stopped, SwapOutcome,
};
pub use config::LogConfig;
pub use disk::{Disk, DiskError, DiskFile, FaultyDisk, RealDisk, SmallFile, SyncKind};
pub use epochs::EpochEntry;
pub use error::{AppendError, CleanError, LogError, ReadError};
pub use log::{
    AppendInfo, AppendOptions, AppendOrigin, FlushResult, FlushTicket, Log, LowerRecoveryPoint,
    OpenOptions, RecoveryReport, Retention, Slice, TimedBatch, TimestampOffset,
};
pub use producers::{
    AbortedTransaction, ProducerBatch, ProducerEntry, ToVerify, Verification, VerificationGuard,
};
pub use relocation::{FutureLog, TakeOverError};

//! Compaction: of the records with one key the last is kept, as Kafka's log cleaner does it.
//!
//! A round, by the log's owner: [`Log::cleanable`] says how dirty a log is; [`Log::begin_clean`]
//! notes which segments there are; then, without the log's lock, [`CleanRound::map_keys`] reads the
//! dirty part and notes the last offset of each key ([`OffsetMap`]), and [`CleanRound::clean_next`]
//! copies what is kept of a group of segments into a new one, again and again; each of these is
//! put in their place by [`Log::swap_in`]. The owner notes [`CleanRound::end_offset`]: up to there
//! the log is clean now, and only what comes after it is dirty.
//!
//! *Invariants*
//! - a record keeps its offset, and a segment its base offset;
//! - nothing is touched at or beyond the first offset that is not committed and decided: neither
//!   the active segment, nor beyond the high watermark, nor an open transaction;
//! - the new segment ends where the last of the old ones ended, by a batch without records if need
//!   be: from that alone a start after a crash knows which of the old ones it replaces;
//! - who reads an old segment goes on doing so: its file lives for as long as it is open.
//!
//! [`Log::cleanable`]: crate::Log::cleanable
//! [`Log::begin_clean`]: crate::Log::begin_clean
//! [`Log::swap_in`]: crate::Log::swap_in

mod extent;
mod filter;
mod offset_map;
mod round;
mod swap;
mod transactions;

pub use extent::Cleanable;
pub use offset_map::OffsetMap;
pub use round::{CleanRound, CleanStats, CleanedSegment, Pace, Stopped};
pub use swap::SwapOutcome;
pub(crate) use swap::finish;

//! Reading frames: a length of four bytes, then as many bytes.
//!
//! A connection that waits for a frame has no buffer at all. Small frames are read ahead into a
//! buffer of a few KiB and copied out; a large one has a buffer of its own, which grows with
//! what arrives. Both are charged to the budget before the frame is filled.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prometheus_client::metrics::counter::Counter;
use tokio::io::AsyncRead;
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_read_buf;
use vltava_wire::ApiKey;

use crate::budget::{Budget, Charge, Origin};
use crate::guess::guess;

/// The read-ahead buffer of one connection, in bytes: it is not charged to the budget, so it is
/// small, and it exists only while bytes are in it.
const BUFFER: usize = 8 * 1024;

/// The length prefix, in bytes.
const PREFIX: usize = 4;

/// What a large frame is given at first, in bytes, and the factor by which that grows as the
/// bytes arrive: who declares much and sends little holds little. Each step copies what came
/// before; a batch of a MiB, a producer's usual largest, is copied once, at its beginning.
const FIRST_STEP: usize = 64 * 1024;
const GROWTH: usize = 16;

/// How fast a large frame comes at least, in bytes a second, the time aside that it may stand
/// still: who sends a byte now and then would keep the memory from all others.
const PACE_MIN: usize = 64 * 1024;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("closed by the client")]
    Closed,
    #[error("closed by the client within a frame, {got} of {length} bytes in")]
    CutOff { got: usize, length: usize },
    #[error("reading failed: {0}")]
    Read(std::io::Error),
    #[error("a frame declares {declared} bytes, {limit} are allowed{guess}")]
    TooLarge { declared: i32, limit: usize, guess: &'static str },
    #[error("a frame declares the impossible length {declared}{guess}")]
    Negative { declared: i32, guess: &'static str },
    #[error("a frame stood still for {0:?}, {got} of {length} bytes in", got = .1, length = .2)]
    Stalled(Duration, usize, usize),
    #[error("a frame was waited for {0:?}, {got} of {length} bytes in", got = .1, length = .2)]
    Slow(Duration, usize, usize),
}

/// Reads the frames of one connection. Its futures may be dropped at any point and made anew.
#[derive(Debug)]
pub(crate) struct FrameReader {
    limit: usize,
    stall_max: Duration,
    budget: Arc<Budget>,
    /// Whether other nodes come here.
    peers: bool,
    buffer: BytesMut,
    large: Option<Large>,
    progress: Instant,
    /// Since when there is nothing to read of a frame that has begun.
    pending_since: Option<Instant>,
    stalled: Option<Pin<Box<Sleep>>>,
    received: Counter,
}

/// A frame that does not fit into the buffer.
#[derive(Debug)]
struct Large {
    bytes: BytesMut,
    length: usize,
    charge: Charge,
    /// How long its bytes were waited for so far. What we wait for ourselves, such as memory, does
    /// not count.
    waited: Duration,
}

/// A frame's bytes and what they are charged; both go when the last view of them goes.
struct Charged {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl FrameReader {
    pub(crate) fn new(
        limit: usize,
        stall_max: Duration,
        budget: Arc<Budget>,
        peers: bool,
        received: Counter,
    ) -> Self {
        Self {
            limit,
            stall_max,
            budget,
            peers,
            buffer: BytesMut::new(),
            large: None,
            progress: Instant::now(),
            pending_since: None,
            stalled: None,
            received,
        }
    }

    /// When bytes came in last.
    pub(crate) fn progress(&self) -> Instant {
        self.progress
    }

    /// The next frame, if it is in the buffer already and the budget allows it.
    pub(crate) fn take_now(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.large.is_some() {
            return Ok(None);
        }
        let Some(length) = self.declared()? else { return Ok(None) };
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        let charge = self.budget.try_charge(length);
        Ok(charge.map(|charge| self.copy_out(length, charge)))
    }

    /// The next frame, without its length prefix.
    pub(crate) async fn next<R: AsyncRead + Unpin>(
        &mut self,
        socket: &mut R,
    ) -> Result<Bytes, FrameError> {
        // Nobody may have read since the last call.
        self.pending_since = None;
        loop {
            if let Some(large) = &mut self.large {
                if large.bytes.len() == large.length {
                    return Ok(self.finish_large());
                }
                let origin = origin(self.peers, &large.bytes);
                if large.make_room(origin).await {
                    // What we waited for is not the client's to answer for.
                    self.progress = Instant::now();
                }
            } else if let Some(length) = self.declared()? {
                if PREFIX + length > BUFFER {
                    self.begin_large(length);
                    continue;
                }
                if self.buffer.len() >= PREFIX + length {
                    let origin = origin(self.peers, &self.buffer[PREFIX..PREFIX + length]);
                    let mut charge = self.budget.nothing();
                    charge.grow(length, length, origin).await;
                    return Ok(self.copy_out(length, charge));
                }
            }
            self.fill(socket).await?;
        }
    }

    /// The length of the frame at the front of the buffer, checked.
    fn declared(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let declared = i32::from_be_bytes(*prefix);
        let guess = guess(*prefix);
        match usize::try_from(declared) {
            Err(_) => Err(FrameError::Negative { declared, guess }),
            Ok(length) if length > self.limit => {
                Err(FrameError::TooLarge { declared, limit: self.limit, guess })
            }
            Ok(length) => Ok(Some(length)),
        }
    }

    fn copy_out(&mut self, length: usize, charge: Charge) -> Bytes {
        self.buffer.advance(PREFIX);
        let bytes = self.buffer[..length].to_vec();
        self.buffer.advance(length);
        self.stalled = None;
        Bytes::from_owner(Charged { bytes, _charge: charge })
    }

    fn begin_large(&mut self, length: usize) {
        self.buffer.advance(PREFIX);
        // At most the buffer's few KiB; they are charged with the first step.
        let bytes = std::mem::take(&mut self.buffer);
        let (charge, waited) = (self.budget.nothing(), Duration::ZERO);
        self.large = Some(Large { bytes, length, charge, waited });
    }

    fn finish_large(&mut self) -> Bytes {
        let large = self.large.take().expect("called while a large frame is read");
        self.stalled = None;
        Bytes::from_owner(Charged { bytes: large.bytes.into(), _charge: large.charge })
    }

    /// Reads once.
    async fn fill<R: AsyncRead + Unpin>(&mut self, socket: &mut R) -> Result<(), FrameError> {
        let count = poll_fn(|context| self.poll_fill(context, socket)).await?;
        if count > 0 {
            self.progress = Instant::now();
            self.received.inc_by(count as u64);
            return Ok(());
        }
        Err(match self.position() {
            Some((got, length)) => FrameError::CutOff { got, length },
            None => FrameError::Closed,
        })
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut R,
    ) -> Poll<Result<usize, FrameError>> {
        let socket = Pin::new(socket);
        let polled = match &mut self.large {
            Some(large) => {
                let room = large.charge.bytes() - large.bytes.len();
                poll_read_buf(socket, context, &mut (&mut large.bytes).limit(room))
            }
            None => {
                let room = BUFFER - self.buffer.len();
                self.buffer.reserve(room);
                poll_read_buf(socket, context, &mut (&mut self.buffer).limit(room))
            }
        };
        if polled.is_pending() {
            return self.poll_stalled(context);
        }
        if let (Some(since), Some(large)) = (self.pending_since.take(), &mut self.large) {
            large.waited += since.elapsed();
        }
        polled.map_err(FrameError::Read)
    }

    /// Nothing is there to read: between frames that costs nothing, within one it is timed.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, FrameError>> {
        let Some((got, length)) = self.position() else {
            self.buffer = BytesMut::new();
            return Poll::Pending;
        };
        let stall_max = self.stall_max;
        let stalled = self.progress + stall_max;
        let since = *self.pending_since.get_or_insert_with(Instant::now);
        let slow = self.large.as_ref().map(|large| since + large.patience(stall_max));
        let deadline = slow.map_or(stalled, |slow| slow.min(stalled));
        let timer =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(Err(match &self.large {
                    Some(large) if deadline < stalled => {
                        FrameError::Slow(large.waited + since.elapsed(), got, length)
                    }
                    _ => FrameError::Stalled(stall_max, got, length),
                }));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// How far the frame that has begun is read, and its length; the prefix counts as none.
    fn position(&self) -> Option<(usize, usize)> {
        match &self.large {
            Some(large) => Some((large.bytes.len(), large.length)),
            None if self.buffer.is_empty() => None,
            None => {
                let length = self.declared().ok().flatten().unwrap_or(0);
                Some((self.buffer.len().saturating_sub(PREFIX), length))
            }
        }
    }
}

impl Large {
    /// How much longer its next bytes may be waited for.
    fn patience(&self, stall_max: Duration) -> Duration {
        let paced = Duration::from_secs_f64(self.bytes.len() as f64 / PACE_MIN as f64);
        (stall_max + paced).saturating_sub(self.waited)
    }

    /// Makes sure that there is room for more, and that it is charged; says whether that was to do.
    async fn make_room(&mut self, origin: Origin) -> bool {
        let charged = self.charge.bytes();
        if self.bytes.len() < charged {
            return false;
        }
        let size = (charged * GROWTH).clamp(FIRST_STEP, FIRST_STEP.max(self.length));
        let size = size.min(self.length);
        self.charge.grow(size - charged, self.length, origin).await;
        self.bytes.reserve(size - self.bytes.len());
        true
    }
}

/// Whose a frame is that begins so. Clients come on the listener of nodes too, where they can send
/// whatever they like: what counts as a node's is bounded as well.
fn origin(peers: bool, body: &[u8]) -> Origin {
    let key = body.first_chunk().map(|key| i16::from_be_bytes(*key));
    match key.and_then(ApiKey::from_code) {
        Some(key) if peers && is_of_nodes(key) => Origin::Peer,
        _ => Origin::Client,
    }
}

/// Whether nodes send each other requests of this kind. One that is missing here waits as those of
/// clients do: for produces maybe, which wait for this very node.
fn is_of_nodes(key: ApiKey) -> bool {
    use ApiKey as K;
    matches!(
        key,
        K::ApiVersions
            | K::Fetch
            | K::OffsetForLeaderEpoch
            | K::ListOffsets
            | K::Vote
            | K::BeginQuorumEpoch
            | K::EndQuorumEpoch
            | K::FetchSnapshot
            | K::DescribeQuorum
            | K::AddRaftVoter
            | K::RemoveRaftVoter
            | K::UpdateRaftVoter
            | K::ControllerRegistration
            | K::BrokerRegistration
            | K::BrokerHeartbeat
            | K::AlterPartition
            | K::AllocateProducerIds
            | K::AssignReplicasToDirs
            | K::Envelope
            | K::AddPartitionsToTxn
            | K::WriteTxnMarkers
            | K::InitializeShareGroupState
            | K::ReadShareGroupState
            | K::ReadShareGroupStateSummary
            | K::WriteShareGroupState
            | K::DeleteShareGroupState
    )
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
